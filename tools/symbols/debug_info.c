/* SPDX-License-Identifier: MIT */
/*
 * The line of the innermost frame comes from the line table. Each inlined function names the line
 * that called it; that is the line of the next frame.
 *
 * Uses libdw directly, not through libdwfl, which finds units only by the index of addresses; clang
 * writes none. libdw opens split DWARF by the file name in the debug information; names of anything
 * but a regular file are refused first. Scopes are found here, because libdw's functions for them
 * recurse for each level, and a hostile file may have any number of levels.
 */
#include "tools/symbols/debug_info.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <gelf.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/base/grow.h"
#include "tools/base/texts.h"
#include "tools/symbols/debug_bounds.h"
#include "tools/symbols/elf_file.h"
#include "tools/symbols/module_files.h"

#define BYTE_ORDER_HERE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

#define SCOPES_MOST 128 /* more levels are not looked at */

/* Entries, ranges and units that a run looks at, for all addresses. Each takes some 40 ns. A
 * program has a few thousand addresses, and a unit a few thousand entries; a hostile file has
 * millions for each of thousands of addresses. Beyond, names come from symbols, and there are no
 * lines. */
#define LOOKS_MOST (UINT64_C(1) << 27)

/* Entries that libdw walks through are counted by their bytes. */
#define ENTRY_BYTES  8
#define ENDLESS_MOST 64 /* walks to the end of a unit that has no end of its entries */

/* Bytes that libdw takes in a run for files with split debug information, and for the paths of line
 * tables. Each is in proportion, but a file of some kilobytes may be named by thousands of units.
 */
#define TAKEN_MOST (UINT64_C(512) << 20)

struct debug_info {
    Dwarf *dwarf;
    const char *folder;
    struct texts paths; /* of files beside this one */
    int64_t *taken;     /* by the number of the path, from 0: bytes, or below 0: refused */
    uint32_t judged;
    struct key_index splits; /* units that were looked for in a file of their own: SEEN_ */
    struct key_index units;  /* units by their address here: rows of the following */
    struct unit_code *unit;
    size_t unit_count, unit_room;
    Dwarf_Die *code; /* entries with code, of one unit after the other */
    size_t code_count, code_room;
    const Elf_Data *lines; /* line tables; NULL: none */
    uint64_t lines_left;   /* bytes of tables that may still be read: they do not overlap */
    struct debug_bounds_lines sections;
    struct key_index tables; /* those that were looked at, by their place: SEEN_ */
};

/** Rows of what was looked at. */
enum { SEEN_REFUSED, SEEN_FINE };

/** The entries with code directly in a unit. */
struct unit_code {
    size_t begin, count;
};

/** A path through the entries of a unit, outermost first. */
struct scopes {
    int count; /* 0: too many levels */
    Dwarf_Die die[SCOPES_MOST];
};

static uint64_t looks; /* so many there were */
static uint64_t taken; /* so many bytes */

/** Counts a look; false: there were too many. */
static bool look(void)
{
    looks += looks < LOOKS_MOST;
    return looks < LOOKS_MOST;
}

/** Counts bytes that are taken; false: there would be too many. */
static bool take(uint64_t bytes)
{
    if (bytes > TAKEN_MOST - taken)
        return false;
    taken += bytes;
    return true;
}

/**
 * Finds the next entry of the same level. libdw walks through all that is in between, unless the
 * entry says where the next one is. `die` and `ret_next` are different.
 */
static bool sibling_find(Dwarf_Die *die, Dwarf_Die *ret_next)
{
    const char *from = die->addr, *to;
    bool found;

    *ret_next = (Dwarf_Die){0};
    if (!look())
        return false;
    found = dwarf_siblingof(die, ret_next) == 0;
    to = ret_next->addr;
    if (dwarf_hasattr(die, DW_AT_sibling) || dwarf_haschildren(die) <= 0)
        return found;
    if (!to) /* the unit has no end; nobody knows how long the walk was */
        looks += LOOKS_MOST / ENDLESS_MOST;
    else if ((uint64_t)(to - from) / ENTRY_BYTES < LOOKS_MOST - looks)
        looks += (uint64_t)(to - from) / ENTRY_BYTES;
    else
        looks = LOOKS_MOST;
    return found;
}

/** Whether an entry's code has an address. */
static bool has_address(Dwarf_Die *die, uint64_t address)
{
    Dwarf_Addr base, begin, end;
    ptrdiff_t at = 0;

    while (look() && (at = dwarf_ranges(die, at, &base, &begin, &end)) > 0)
        if (address >= begin && address < end)
            return true;
    return false;
}

/** Bytes that a file takes; below 0: libdw must not open it. A path is judged once. */
static int64_t file_taken(struct debug_info *info, const char *path)
{
    uint32_t number = texts_number(&info->paths, path);

    if (number > info->judged) {
        int64_t *grown = reallocarray(info->taken, number, sizeof *grown);

        if (!grown)
            return -ENOMEM;
        info->taken = grown;
        while (info->judged < number) /* paths that there was no memory for, too */
            info->taken[info->judged++] = -ENOMEM;
        if (taken < TAKEN_MOST)
            info->taken[number - 1] = module_files_taken_bytes(path);
    }
    return number ? info->taken[number - 1] : -ENOMEM;
}

/** Whether a path exists and must not be opened: what is no regular file may block, others take
 * memory out of proportion. */
static bool leads_astray(struct debug_info *info, const char *folder, const char *subfolder,
                         const char *name)
{
    char path[PATH_MAX];
    struct stat status;
    int64_t bytes;

    if (name[0] == '/')
        folder = subfolder = "";
    else if (subfolder[0] == '/')
        folder = "";
    if (snprintf(path, sizeof path, "%s/%s/%s", folder, subfolder, name) >= (int)sizeof path)
        return true;
    if (stat(path, &status) < 0)
        return false;
    bytes = S_ISREG(status.st_mode) ? file_taken(info, path) : -EINVAL;
    return bytes < 0 || !take((uint64_t)bytes);
}

/** Whether opening the common file of dwz, which libdw does by name, would be dangerous. */
static bool alternative_leads_astray(struct debug_info *info)
{
    const char *name;
    const void *id;

    return dwelf_dwarf_gnu_debugaltlink(info->dwarf, &name, &id) > 0 &&
           leads_astray(info, info->folder, "", name);
}

/** Finds the section of line tables, which libdw has inflated; NULL also where the lengths in it
 * are of another byte order. */
static const Elf_Data *lines_find(Dwarf *dwarf)
{
    Elf *elf = dwarf_getelf(dwarf);
    Elf_Scn *section = NULL;
    GElf_Ehdr file;
    GElf_Shdr header;

    if (!elf || !gelf_getehdr(elf, &file) || file.e_ident[EI_DATA] != BYTE_ORDER_HERE)
        return NULL;
    while ((section = elf_nextscn(elf, section))) {
        const char *name = gelf_getshdr(section, &header) ? elf_file_section_name(elf, &header)
                                                          : "";

        if (!strcmp(name, ".debug_line") || !strcmp(name, ".zdebug_line"))
            return elf_getdata(section, NULL);
    }
    return NULL;
}

/** libdw does not return without memory; by itself it would end with the status of a verdict. */
static _Noreturn void memory_end(void)
{
    fputs("cupool: out of memory for debug information\n", stderr);
    exit(2);
}

int debug_info_open(Dwarf *dwarf, const char *folder, struct debug_info **ret_info)
{
    struct debug_info *info;
    uint64_t bytes;

    if (debug_bounds_units(dwarf_getelf(dwarf), &bytes) < 0)
        return -ENOENT;
    info = calloc(1, sizeof *info);
    if (!info)
        return -ENOMEM;
    dwarf_new_oom_handler(dwarf, memory_end);
    info->dwarf = dwarf;
    info->folder = folder;
    if (alternative_leads_astray(info)) {
        debug_info_close(info);
        return -ENOENT;
    }
    if (debug_bounds_lines_find(dwarf_getelf(dwarf), &info->sections) == 0)
        info->lines = lines_find(dwarf);
    info->lines_left = info->lines ? info->lines->d_size : 0;
    *ret_info = info;
    return 0;
}

void debug_info_close(struct debug_info *info)
{
    if (!info)
        return;
    texts_done(&info->paths);
    key_index_done(&info->tables);
    key_index_done(&info->splits);
    key_index_done(&info->units);
    free(info->unit);
    free(info->code);
    free(info->taken);
    free(info);
}

/** Finds the unit of an address; by unit ranges if there is no index of addresses. */
static bool unit_find(struct debug_info *info, uint64_t address, Dwarf_Die *ret_unit)
{
    Dwarf_CU *unit = NULL;

    if (dwarf_addrdie(info->dwarf, address, ret_unit))
        return true;
    while (look() && dwarf_get_units(info->dwarf, unit, &unit, NULL, NULL, ret_unit, NULL) == 0)
        if ((dwarf_tag(ret_unit) == DW_TAG_compile_unit ||
             dwarf_tag(ret_unit) == DW_TAG_skeleton_unit) &&
            has_address(ret_unit, address))
            return true;
    return false;
}

static void scopes_add(struct scopes *scopes, const Dwarf_Die *die)
{
    if (scopes->count == SCOPES_MOST)
        scopes->count = 0;
    else
        scopes->die[scopes->count++] = *die;
}

/** Lists the entries with code directly in a unit, which its addresses are looked for in. */
static bool code_list(struct debug_info *info, const Dwarf_Die *unit, struct unit_code *ret_code)
{
    Dwarf_Die copy = *unit, die, next;
    bool found = dwarf_child(&copy, &die) == 0;

    ret_code->begin = info->code_count;
    for (; found; die = next) {
        if (dwarf_hasattr(&die, DW_AT_low_pc) || dwarf_hasattr(&die, DW_AT_ranges)) {
            if (ARRAY_GROW(info->code, info->code_count, info->code_room, 64) < 0)
                return false;
            info->code[info->code_count++] = die;
        }
        found = sibling_find(&die, &next);
    }
    ret_code->count = info->code_count - ret_code->begin;
    return true;
}

/** The same, made once. Empty: it is not known. */
static struct unit_code code_of_unit(struct debug_info *info, const Dwarf_Die *unit)
{
    uint64_t key = (uint64_t)(uintptr_t)unit->addr;
    struct unit_code code = {0};
    uint32_t row;

    if (ARRAY_GROW(info->unit, info->unit_count, info->unit_room, 64) < 0)
        return code;
    row = key_index_get(&info->units, key, (uint32_t)info->unit_count);
    if (row == KEY_INDEX_NONE || row < info->unit_count)
        return row == KEY_INDEX_NONE ? code : info->unit[row];
    if (!code_list(info, unit, &code))
        code = (struct unit_code){0};
    info->unit[info->unit_count++] = code;
    return code;
}

/** Finds the entry in a unit that has an address in its code. */
static bool code_find(struct debug_info *info, const Dwarf_Die *unit, uint64_t address,
                      Dwarf_Die *ret_die)
{
    struct unit_code code = code_of_unit(info, unit);

    for (size_t i = 0; i < code.count && look(); i++)
        if (has_address(&info->code[code.begin + i], address)) {
            *ret_die = info->code[code.begin + i];
            return true;
        }
    return false;
}

/** The same in another entry. */
static bool child_find(Dwarf_Die *die, uint64_t address, Dwarf_Die *ret_die)
{
    Dwarf_Die child, next;
    bool found = dwarf_child(die, &child) == 0;

    for (; found && !has_address(&child, address); child = next)
        found = sibling_find(&child, &next);
    *ret_die = child;
    return found;
}

/** Finds the entries with an address in their code, as nested there. */
static void scopes_of_address(struct debug_info *info, const Dwarf_Die *unit, uint64_t address,
                              struct scopes *ret_scopes)
{
    Dwarf_Die die, inner;
    bool found;

    ret_scopes->count = 0;
    scopes_add(ret_scopes, unit);
    for (found = code_find(info, unit, address, &die); found; die = inner) {
        scopes_add(ret_scopes, &die);
        if (!ret_scopes->count)
            return;
        found = child_find(&die, address, &inner);
    }
}

/** Finds the entries around one, which is the last. */
static void scopes_of_entry(Dwarf_Die *entry, struct scopes *ret_scopes)
{
    Dwarf_Off offset = dwarf_dieoffset(entry);
    Dwarf_Die die, next;

    ret_scopes->count = 0;
    if (!dwarf_diecu(entry, &die, NULL, NULL))
        return;
    scopes_add(ret_scopes, &die);
    while (ret_scopes->count && dwarf_dieoffset(&die) < offset && dwarf_child(&die, &next) == 0) {
        do
            die = next;
        while (sibling_find(&die, &next) && dwarf_dieoffset(&next) <= offset);
        scopes_add(ret_scopes, &die);
    }
}

/** Declaration of a function, which an inlined copy or an out-of-line definition refers to. */
static Dwarf_Die declaration_of(Dwarf_Die *die)
{
    static const unsigned references[] = {DW_AT_abstract_origin, DW_AT_specification};
    Dwarf_Die declared = *die, next;
    Dwarf_Attribute attribute;

    for (int i = 0; i < 2; i++)
        if (dwarf_attr(&declared, references[i], &attribute) &&
            dwarf_formref_die(&attribute, &next))
            declared = next;
    return declared;
}

/** A scope in C++ notation; NULL: not printed. */
static const char *scope_name(Dwarf_Die *scope)
{
    const char *name = dwarf_diename(scope);

    switch (dwarf_tag(scope)) {
    case DW_TAG_namespace: return name ? name : "(anonymous namespace)";
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type: return name && name[0] != '<' ? name : "{lambda}";
    case DW_TAG_subprogram: return name;
    default: return NULL;
    }
}

/** Name and scopes of a function without a linkage name, such as one in an anonymous namespace.
 * Writes an empty string if nothing is known. */
static void qualified_name(Dwarf_Die *die, char *ret_text, size_t text_bytes)
{
    Dwarf_Die declared = declaration_of(die);
    const char *name = dwarf_diename(&declared), *scope;
    struct scopes scopes;
    size_t used = 0;

    scopes_of_entry(&declared, &scopes);
    name = name ? name : dwarf_diename(die);
    *ret_text = '\0';
    for (int i = 0; name && i + 1 < scopes.count && used < text_bytes; i++) {
        scope = scope_name(&scopes.die[i]);
        if (scope)
            used += (size_t)snprintf(ret_text + used, text_bytes - used, "%s::", scope);
    }
    if (name && used < text_bytes)
        snprintf(ret_text + used, text_bytes - used, "%s", name);
}

/**
 * The linkage name if there is one, because it distinguishes overloads; else the one from the
 * scopes, in `text`.
 */
static const char *function_name(Dwarf_Die *die, char *text, size_t text_bytes)
{
    Dwarf_Attribute attribute;
    const char *name = NULL;

    if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
        dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
        name = dwarf_formstring(&attribute);
    if (name)
        return name;
    qualified_name(die, text, text_bytes);
    return *text ? text : NULL;
}

static uint64_t number_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;

    return dwarf_attr(die, name, &attribute) && dwarf_formudata(&attribute, &value) == 0 ? value
                                                                                         : 0;
}

/** Returns the bytes of the line table at a place; UINT64_MAX: it has no beginning. */
static uint64_t table_bytes(const Elf_Data *lines, uint64_t place)
{
    const char *bytes = lines->d_buf;
    uint32_t length;
    uint64_t longer;

    if (!bytes || place > lines->d_size || lines->d_size - place < sizeof length + sizeof longer)
        return UINT64_MAX;
    memcpy(&length, bytes + place, sizeof length);
    memcpy(&longer, bytes + place + sizeof length, sizeof longer);
    return length == UINT32_MAX ? longer : length;
}

static const char *text_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;

    return dwarf_attr(die, name, &attribute) ? dwarf_formstring(&attribute) : NULL;
}

/** Whether a line table may be read, and its paths be kept. Tables that overlap, of which libdw
 * makes rows for each unit, are together longer than their section. */
static bool table_fits(struct debug_info *info, Dwarf_Die *unit, uint64_t place)
{
    uint64_t bytes = table_bytes(info->lines, place), paths;

    if (bytes > info->lines_left ||
        debug_bounds_paths(&info->sections, place, text_of(unit, DW_AT_comp_dir), &paths) < 0 ||
        !take(paths))
        return false;
    info->lines_left -= bytes;
    return true;
}

/** The same for that of a unit, which is judged once. */
static bool has_lines(struct debug_info *info, Dwarf_Die *unit)
{
    uint64_t place;
    uint32_t seen;

    if (!info->lines || !dwarf_hasattr(unit, DW_AT_stmt_list))
        return false;
    place = number_of(unit, DW_AT_stmt_list);
    seen = key_index_find(&info->tables, place);
    if (seen == KEY_INDEX_NONE)
        seen = key_index_get(&info->tables, place,
                             table_fits(info, unit, place) ? SEEN_FINE : SEEN_REFUSED);
    return seen == SEEN_FINE;
}

static const char *call_file(Dwarf_Die *die, Dwarf_Die *unit)
{
    size_t count;
    Dwarf_Files *files;
    uint64_t number = number_of(die, DW_AT_call_file);

    if (dwarf_getsrcfiles(unit, &files, &count) < 0 || number >= count)
        return NULL;
    return dwarf_filesrc(files, number, NULL, NULL);
}

/** Whether a unit's scopes are in a file of their own that may be opened: libdw tries two places.
 */
static bool split_fits(struct debug_info *info, Dwarf_Die *unit)
{
    const char *folder = text_of(unit, DW_AT_comp_dir), *name = text_of(unit, DW_AT_dwo_name);
    uint8_t type;

    name = name ? name : text_of(unit, DW_AT_GNU_dwo_name);
    return dwarf_cu_info(unit->cu, NULL, &type, NULL, NULL, NULL, NULL, NULL) == 0 &&
           type == DW_UT_skeleton && name && !leads_astray(info, info->folder, "", name) &&
           !leads_astray(info, info->folder, folder ? folder : "", name);
}

/** The same, judged once for each unit: libdw opens the file for each. */
static bool is_split(struct debug_info *info, const Dwarf_Die *unit)
{
    uint64_t key = (uint64_t)(uintptr_t)unit->cu;
    uint32_t seen = key_index_find(&info->splits, key);
    Dwarf_Die copy = *unit;

    if (seen == KEY_INDEX_NONE)
        seen = key_index_get(&info->splits, key,
                             split_fits(info, &copy) ? SEEN_FINE : SEEN_REFUSED);
    return seen == SEEN_FINE;
}

/** Location of a unit's scopes: a separate file if the compiler split it off. */
static Dwarf_Die unit_of_scopes(struct debug_info *info, Dwarf_Die *unit)
{
    Dwarf_Die split;

    if (is_split(info, unit) &&
        dwarf_cu_info(unit->cu, NULL, NULL, NULL, &split, NULL, NULL, NULL) == 0 && split.addr) {
        dwarf_new_oom_handler(dwarf_cu_getdwarf(split.cu), memory_end);
        return split;
    }
    return *unit;
}

const char *debug_info_directory(struct debug_info *info, uint64_t address)
{
    Dwarf_Die unit;

    return unit_find(info, address, &unit) ? text_of(&unit, DW_AT_comp_dir) : NULL;
}

void debug_info_frames(struct debug_info *info, uint64_t address, debug_info_frame *give,
                       void *state)
{
    Dwarf_Die unit, inner;
    Dwarf_Line *place;
    const char *file = NULL;
    int line = 0, column = 0, given = 0;
    struct scopes scopes;
    char name[1024];
    bool lines;

    if (!unit_find(info, address, &unit))
        return;
    lines = has_lines(info, &unit);
    place = lines ? dwarf_getsrc_die(&unit, address) : NULL;
    if (place) {
        file = dwarf_linesrc(place, NULL, NULL);
        dwarf_lineno(place, &line);
        dwarf_linecol(place, &column);
    }
    inner = unit_of_scopes(info, &unit);
    scopes_of_address(info, &inner, address, &scopes);
    for (int i = scopes.count; i-- > 0;) {
        Dwarf_Die *scope = &scopes.die[i];
        int tag = dwarf_tag(scope);

        if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
            continue;
        give(state, function_name(scope, name, sizeof name), file, (uint64_t)line,
             (uint64_t)column);
        given++;
        if (tag == DW_TAG_subprogram)
            break;
        file = lines ? call_file(scope, &inner) : NULL;
        line = (int)number_of(scope, DW_AT_call_line);
        column = (int)number_of(scope, DW_AT_call_column);
    }
    if (!given && file) /* a line table alone */
        give(state, NULL, file, (uint64_t)line, (uint64_t)column);
}
