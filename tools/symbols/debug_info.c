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

#include "tools/base/texts.h"
#include "tools/symbols/elf_file.h"
#include "tools/symbols/module_files.h"

#define BYTE_ORDER_HERE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

#define SCOPES_MOST 128 /* more levels are not looked at */

/* Entries, ranges and units that a run looks at, for all addresses. Each takes some 40 ns. A
 * program has a few thousand addresses, and a unit a few thousand entries; a hostile file has
 * millions for each of thousands of addresses. Beyond, names come from symbols, and there are no
 * lines. */
#define LOOKS_MOST (UINT64_C(1) << 27)

/* Bytes that libdw inflates of files with split debug information in a run: each is in proportion,
 * but a file of some kilobytes may have thousands of names. */
#define INFLATED_MOST (UINT64_C(512) << 20)

struct debug_info {
    Dwarf *dwarf;
    const char *folder;
    struct texts paths; /* of files beside this one */
    bool *refused;      /* by the number of the path, from 0 */
    uint32_t judged;
    const Elf_Data *lines;   /* line tables; NULL: none */
    uint64_t lines_left;     /* bytes of tables that may still be read: they do not overlap */
    struct key_index tables; /* those that were, by their place */
};

/** A path through the entries of a unit, outermost first. */
struct scopes {
    int count; /* 0: too many levels */
    Dwarf_Die die[SCOPES_MOST];
};

static uint64_t looks;    /* so many there were */
static uint64_t inflated; /* so many bytes */

/** Counts a look; false: there were too many. */
static bool look(void)
{
    looks += looks < LOOKS_MOST;
    return looks < LOOKS_MOST;
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

/** Whether libdw must not open a file, which it reads without a bound. */
static bool file_judge(const char *path)
{
    int64_t bytes = module_files_inflated_bytes(path);

    if (bytes < 0 || (uint64_t)bytes > INFLATED_MOST - inflated)
        return true;
    inflated += (uint64_t)bytes;
    return false;
}

/** The same for a path, which is judged once. */
static bool file_is_refused(struct debug_info *info, const char *path)
{
    uint32_t number = texts_number(&info->paths, path);

    if (number > info->judged) {
        bool *grown = reallocarray(info->refused, number, sizeof *grown);

        if (!grown)
            return true;
        info->refused = grown;
        while (info->judged < number) /* paths that there was no memory for, too */
            info->refused[info->judged++] = true;
        info->refused[number - 1] = file_judge(path);
    }
    return !number || info->refused[number - 1];
}

/** Whether a path exists and must not be opened: what is no regular file may block, others take
 * memory out of proportion. */
static bool leads_astray(struct debug_info *info, const char *folder, const char *subfolder,
                         const char *name)
{
    char path[PATH_MAX];
    struct stat status;

    if (name[0] == '/')
        folder = subfolder = "";
    else if (subfolder[0] == '/')
        folder = "";
    if (snprintf(path, sizeof path, "%s/%s/%s", folder, subfolder, name) >= (int)sizeof path)
        return true;
    return stat(path, &status) == 0 && (!S_ISREG(status.st_mode) || file_is_refused(info, path));
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

int debug_info_open(Dwarf *dwarf, const char *folder, struct debug_info **ret_info)
{
    struct debug_info *info;

    info = calloc(1, sizeof *info);
    if (!info)
        return -ENOMEM;
    info->dwarf = dwarf;
    info->folder = folder;
    if (alternative_leads_astray(info)) {
        debug_info_close(info);
        return -ENOENT;
    }
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
    free(info->refused);
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

/** Finds the entries with an address in their code, as nested there. */
static void scopes_of_address(const Dwarf_Die *unit, uint64_t address, struct scopes *ret_scopes)
{
    Dwarf_Die die = *unit, child;
    bool found = true;

    ret_scopes->count = 0;
    while (found) {
        scopes_add(ret_scopes, &die);
        if (!ret_scopes->count)
            return;
        found = dwarf_child(&die, &child) == 0;
        while (found && !has_address(&child, address))
            found = look() && dwarf_siblingof(&child, &child) == 0;
        die = child;
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
    do {
        while (look() && dwarf_siblingof(&die, &next) == 0 && dwarf_dieoffset(&next) <= offset)
            die = next;
        scopes_add(ret_scopes, &die);
    } while (ret_scopes->count && dwarf_dieoffset(&die) < offset && dwarf_child(&die, &die) == 0);
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

/** Whether the line table of a unit may be read. Tables that overlap, of which libdw makes rows for
 * each unit, are together longer than their section. */
static bool has_lines(struct debug_info *info, Dwarf_Die *unit)
{
    uint64_t place, bytes;

    if (!info->lines || !dwarf_hasattr(unit, DW_AT_stmt_list))
        return false;
    place = number_of(unit, DW_AT_stmt_list);
    if (key_index_find(&info->tables, place) != KEY_INDEX_NONE)
        return true;
    bytes = table_bytes(info->lines, place);
    if (bytes > info->lines_left || key_index_get(&info->tables, place, 0) == KEY_INDEX_NONE)
        return false;
    info->lines_left -= bytes;
    return true;
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

static const char *text_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;

    return dwarf_attr(die, name, &attribute) ? dwarf_formstring(&attribute) : NULL;
}

/** Whether a unit's scopes are in a file of their own that may be opened: libdw tries two places.
 */
static bool is_split(struct debug_info *info, Dwarf_Die *unit)
{
    const char *folder = text_of(unit, DW_AT_comp_dir), *name = text_of(unit, DW_AT_dwo_name);
    uint8_t type;

    name = name ? name : text_of(unit, DW_AT_GNU_dwo_name);
    return dwarf_cu_info(unit->cu, NULL, &type, NULL, NULL, NULL, NULL, NULL) == 0 &&
           type == DW_UT_skeleton && name && !leads_astray(info, info->folder, "", name) &&
           !leads_astray(info, info->folder, folder ? folder : "", name);
}

/** Location of a unit's scopes: a separate file if the compiler split it off. */
static Dwarf_Die unit_of_scopes(struct debug_info *info, Dwarf_Die *unit)
{
    Dwarf_Die split;

    if (is_split(info, unit) &&
        dwarf_cu_info(unit->cu, NULL, NULL, NULL, &split, NULL, NULL, NULL) == 0 && split.addr)
        return split;
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
    scopes_of_address(&inner, address, &scopes);
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
