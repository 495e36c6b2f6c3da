/* SPDX-License-Identifier: MIT */
#include "tools/symbols/debug_bounds.h"

#include <dwarf.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/symbols/elf_file.h"

#define BYTE_ORDER_HERE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

/* Of abbreviations to the sections that they are for. The tables that dwz joins make 2. */
#define UNITS_FOLD 16
/* Of paths to the line table. An entry of 5 bytes may be a path of some hundred. */
#define PATHS_FOLD 256

#define FORMATS_MOST 16 /* fields of an entry of a line table */

/** Bytes that are read from front to back. */
struct bytes {
    const unsigned char *at, *end;
    bool bad; /* they ended too early */
};

static uint64_t number_take(struct bytes *bytes, size_t size)
{
    uint64_t number = 0;

    if ((size_t)(bytes->end - bytes->at) < size) {
        bytes->bad = true;
        bytes->at = bytes->end;
        return 0;
    }
    memcpy((char *)&number + (BYTE_ORDER_HERE == ELFDATA2LSB ? 0 : sizeof number - size), bytes->at,
           size);
    bytes->at += size;
    return number;
}

static uint64_t leb_take(struct bytes *bytes)
{
    uint64_t number = 0;
    unsigned shift = 0, byte = 0x80;

    while (byte & 0x80 && !bytes->bad) {
        byte = (unsigned)number_take(bytes, 1);
        if (shift < 64)
            number |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    }
    return number;
}

/** Returns the length of a text, which is passed. */
static uint64_t text_take(struct bytes *bytes)
{
    const unsigned char *end = memchr(bytes->at, 0, (size_t)(bytes->end - bytes->at));
    uint64_t length = end ? (uint64_t)(end - bytes->at) : 0;

    bytes->bad |= !end;
    bytes->at = end ? end + 1 : bytes->end;
    return length;
}

/** Whether a section is the one of a kind: ".debug_KIND", ".zdebug_KIND", that of a split file, or
 * for optimization by the linker. */
static bool is_section(const char *name, const char *kind)
{
    size_t length = strlen(kind);

    name = strstr(name, "debug_");
    return name && !strncmp(name + 6, kind, length) &&
           (!name[6 + length] || !strcmp(name + 6 + length, ".dwo"));
}

/** Finds a section, inflated. False: there are several, or it is not. */
static bool section_find(Elf *elf, const char *kind, struct bytes *ret_bytes)
{
    Elf_Scn *section = NULL;
    GElf_Shdr header;
    bool found = false;

    *ret_bytes = (struct bytes){0};
    while ((section = elf_nextscn(elf, section))) {
        const char *name = gelf_getshdr(section, &header) ? elf_file_section_name(elf, &header)
                                                          : "";
        const Elf_Data *data;

        if (header.sh_type == SHT_NOBITS || !is_section(name, kind))
            continue;
        if (found)
            return false;
        found = true;
        if (header.sh_flags & SHF_COMPRESSED && elf_compress(section, 0, 0) < 0)
            return false;
        data = elf_getdata(section, NULL);
        if (!data || !data->d_buf)
            continue;
        *ret_bytes = (struct bytes){data->d_buf, (unsigned char *)data->d_buf + data->d_size,
                                    false};
        if (data->d_size >= 4 && !memcmp(data->d_buf, "ZLIB", 4)) /* .zdebug */
            return false;
    }
    return true;
}

static bool is_read(Elf *elf)
{
    GElf_Ehdr header;

    return gelf_getehdr(elf, &header) && header.e_ident[EI_DATA] == BYTE_ORDER_HERE;
}

/** Moves to a place; false: there is none, or no section. */
static bool place_go(struct bytes *bytes, uint64_t place)
{
    if (!bytes->at || place > (uint64_t)(bytes->end - bytes->at))
        return false;
    bytes->at += place;
    return true;
}

/** Returns the length of a table of abbreviations, of which no more than `most` is read. */
static uint64_t abbreviations_length(struct bytes bytes, uint64_t place, uint64_t most)
{
    const unsigned char *begin;

    if (!place_go(&bytes, place))
        return 0;
    begin = bytes.at;
    while ((uint64_t)(bytes.at - begin) <= most && leb_take(&bytes) && !bytes.bad) {
        uint64_t name, form;

        leb_take(&bytes); /* tag */
        number_take(&bytes, 1);
        do {
            name = leb_take(&bytes);
            form = leb_take(&bytes);
            if (form == DW_FORM_implicit_const)
                leb_take(&bytes);
        } while ((name || form) && !bytes.bad && (uint64_t)(bytes.at - begin) <= most);
    }
    return (uint64_t)(bytes.at - begin);
}

/** Takes a length as DWARF has it. Returns the bytes of an offset; `ret_part`: what it is of. */
static size_t part_take(struct bytes *bytes, struct bytes *ret_part)
{
    uint64_t length = number_take(bytes, 4);
    size_t offset_bytes = length == UINT32_MAX ? 8 : 4;

    if (offset_bytes == 8)
        length = number_take(bytes, 8);
    *ret_part = *bytes;
    if (length < (uint64_t)(bytes->end - bytes->at))
        ret_part->end = bytes->at + length;
    bytes->at = ret_part->end;
    return offset_bytes;
}

/** Adds the tables of the units of a section to a sum that is at most `most`. */
static int units_add(struct bytes units, struct bytes tables, uint64_t most, uint64_t *sum)
{
    while (units.at < units.end) {
        struct bytes unit;
        size_t offset_bytes = part_take(&units, &unit);
        uint64_t version = number_take(&unit, 2), place;

        if (version >= 5)
            number_take(&unit, 2); /* kind, size of an address */
        place = number_take(&unit, offset_bytes);
        if (unit.bad)
            return 0; /* libdw ends here, too */
        *sum += abbreviations_length(tables, place, most - *sum);
        if (*sum > most)
            return -EFBIG;
    }
    return 0;
}

int debug_bounds_units(Elf *elf, uint64_t *ret_bytes)
{
    struct bytes tables, info, types;
    uint64_t most;
    int error;

    *ret_bytes = 0;
    if (!is_read(elf) || !section_find(elf, "abbrev", &tables) ||
        !section_find(elf, "info", &info) || !section_find(elf, "types", &types))
        return -EFBIG;
    most = UNITS_FOLD *
           (uint64_t)((tables.end - tables.at) + (info.end - info.at) + (types.end - types.at));
    error = units_add(info, tables, most, ret_bytes);
    return error < 0 ? error : units_add(types, tables, most, ret_bytes);
}

/** A line table whose paths are added up. */
struct table {
    struct bytes bytes;
    struct bytes texts, line_texts;
    size_t offset_bytes;
    uint64_t own_directory; /* its length; of the unit */
    uint64_t *directory;    /* lengths of paths */
    uint64_t directories;
    uint64_t sum, most;
};

/** Returns the length of a text elsewhere. */
static uint64_t far_text(struct table *table, struct bytes texts)
{
    uint64_t place = number_take(&table->bytes, table->offset_bytes);

    if (!place_go(&texts, place))
        return 0;
    if ((uint64_t)(texts.end - texts.at) > table->most)
        texts.end = texts.at + table->most;
    return strnlen((const char *)texts.at, (size_t)(texts.end - texts.at));
}

/** Passes a field; false: libdw may read another form otherwise. */
static bool field_take(struct table *table, uint64_t form, uint64_t *ret_number)
{
    struct bytes *bytes = &table->bytes;

    switch (form) {
    case DW_FORM_string: *ret_number = text_take(bytes); break;
    case DW_FORM_line_strp: *ret_number = far_text(table, table->line_texts); break;
    case DW_FORM_strp: *ret_number = far_text(table, table->texts); break;
    case DW_FORM_udata: *ret_number = leb_take(bytes); break;
    case DW_FORM_data1: *ret_number = number_take(bytes, 1); break;
    case DW_FORM_data2: *ret_number = number_take(bytes, 2); break;
    case DW_FORM_data4: *ret_number = number_take(bytes, 4); break;
    case DW_FORM_data8: *ret_number = number_take(bytes, 8); break;
    case DW_FORM_data16:
        number_take(bytes, 8);
        *ret_number = number_take(bytes, 8);
        break;
    default: return false;
    }
    return !bytes->bad;
}

/** Adds a path of `name` bytes in a directory; that of a relative one is in the unit's. */
static bool path_add(struct table *table, uint64_t name, uint64_t directory)
{
    uint64_t length = name + 2;

    if (directory < table->directories)
        length += table->directory[directory];
    table->sum += length + table->own_directory;
    return table->sum <= table->most;
}

static bool directory_add(struct table *table, uint64_t length)
{
    uint64_t *grown = table->directory;

    if (!(table->directories & (table->directories + 1))) /* room for the next power of two */
        grown = reallocarray(grown, 2 * table->directories + 2, sizeof *grown);
    if (!grown)
        return false;
    table->directory = grown;
    table->directory[table->directories++] = length;
    return true;
}

/** Reads a list of directories or of files, before version 5. */
static bool list_read(struct table *table, bool files)
{
    struct bytes *bytes = &table->bytes;
    uint64_t length;

    while ((length = text_take(bytes)) && !bytes->bad) {
        if (!files) {
            if (!directory_add(table, length))
                return false;
            continue;
        }
        if (!path_add(table, length, leb_take(bytes)))
            return false;
        leb_take(bytes);
        leb_take(bytes);
    }
    return !bytes->bad;
}

/** The same since version 5, where entries are described first. */
static bool described_read(struct table *table, bool files)
{
    struct bytes *bytes = &table->bytes;
    uint64_t content[FORMATS_MOST], form[FORMATS_MOST], count;
    size_t formats = number_take(bytes, 1);

    if (formats > FORMATS_MOST)
        return false;
    for (size_t i = 0; i < formats; i++) {
        content[i] = leb_take(bytes);
        form[i] = leb_take(bytes);
    }
    count = leb_take(bytes);
    if (count && !formats)
        return false;
    for (; count && !bytes->bad; count--) {
        uint64_t name = 0, directory = 0;

        for (size_t i = 0; i < formats; i++) {
            uint64_t number = 0;

            if (!field_take(table, form[i], &number))
                return false;
            if (content[i] == DW_LNCT_path)
                name = number;
            if (content[i] == DW_LNCT_directory_index)
                directory = number;
        }
        if (files ? !path_add(table, name, directory) : !directory_add(table, name))
            return false;
    }
    return !bytes->bad;
}

static bool table_read(struct table *table, uint64_t version)
{
    struct bytes *bytes = &table->bytes;
    unsigned opcodes;

    if (version >= 5)
        number_take(bytes, 2); /* sizes of an address and of a selector */
    number_take(bytes, table->offset_bytes);
    number_take(bytes, version >= 4 ? 5 : 4);
    opcodes = (unsigned)number_take(bytes, 1);
    for (unsigned i = 1; i < opcodes; i++)
        number_take(bytes, 1);
    if (version >= 5)
        return described_read(table, false) && described_read(table, true);
    return directory_add(table, 0) && list_read(table, false) && list_read(table, true);
}

int debug_bounds_lines_find(Elf *elf, struct debug_bounds_lines *ret_sections)
{
    struct bytes lines, texts, line_texts;

    if (!is_read(elf) || !section_find(elf, "line", &lines) || !section_find(elf, "str", &texts) ||
        !section_find(elf, "line_str", &line_texts))
        return -EFBIG;
    *ret_sections = (struct debug_bounds_lines){lines.at,
                                                texts.at,
                                                line_texts.at,
                                                (size_t)(lines.end - lines.at),
                                                (size_t)(texts.end - texts.at),
                                                (size_t)(line_texts.end - line_texts.at)};
    return 0;
}

static struct bytes bytes_of(const unsigned char *section, size_t bytes)
{
    return (struct bytes){section, bytes ? section + bytes : section, false};
}

int debug_bounds_paths(const struct debug_bounds_lines *sections, uint64_t place,
                       const char *directory, uint64_t *ret_bytes)
{
    struct table table = {.own_directory = directory ? strnlen(directory, PATH_MAX) : 0,
                          .texts = bytes_of(sections->texts, sections->texts_bytes),
                          .line_texts = bytes_of(sections->line_texts, sections->line_texts_bytes)};
    struct bytes lines = bytes_of(sections->lines, sections->lines_bytes);
    uint64_t version;
    bool fits;

    *ret_bytes = 0;
    if (table.own_directory == PATH_MAX)
        return -EFBIG;
    if (!place_go(&lines, place) || lines.at == lines.end)
        return 0;
    table.offset_bytes = part_take(&lines, &table.bytes);
    table.most = PATHS_FOLD * (uint64_t)(table.bytes.end - table.bytes.at);
    version = number_take(&table.bytes, 2);
    fits = version >= 2 && version <= 5 && table_read(&table, version);
    free(table.directory);
    *ret_bytes = table.sum;
    return fits ? 0 : -EFBIG;
}
