/* SPDX-License-Identifier: MIT */
/*
 * The table of .eh_frame_hdr finds the function; its instructions are run up to the address. Only
 * the stack pointer, the frame pointer and the return address are followed; a rule that needs
 * another register ends the walk. Every read stays within the readable segment it began in.
 *
 * The format: Linux Standard Base, "Exception Frames"; DWARF 5, 6.4.
 */
#include "cupti/stack/unwind_rules.h"

#include <limits.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#include "cupti/base/pages.h"

#if defined(__x86_64__)

#define REGISTER_BP     6
#define REGISTER_SP     7
#define REGISTER_RA     16
#define OPERATION_DEREF 0x06
#define OPERATION_BREG0 0x70

#define ENCODING_OMIT    0xff
#define ENCODING_DATAREL 0x30
#define ENCODING_PCREL   0x10
#define ENCODING_SDATA4  0x0b
#define SAVED_STATES     8

struct cursor {
    const uint8_t *at, *end;
    bool bad; /* ran into the end, or an unknown encoding */
};

static uint64_t fixed_read(struct cursor *cursor, size_t bytes, bool is_signed)
{
    uint64_t value = 0;

    if (cursor->bad || !cursor->at || (size_t)(cursor->end - cursor->at) < bytes) {
        cursor->bad = true;
        return 0;
    }
    memcpy(&value, cursor->at, bytes);
    cursor->at += bytes;
    if (is_signed && bytes < 8 && value >> (8 * bytes - 1))
        value |= ~UINT64_C(0) << (8 * bytes);
    return value;
}

static uint64_t leb_read(struct cursor *cursor, bool is_signed)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = (uint8_t)fixed_read(cursor, 1, false);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80 && !cursor->bad && shift < 70);
    if (is_signed && shift < 64 && byte & 0x40)
        value |= ~UINT64_C(0) << shift;
    return value;
}

static void skip(struct cursor *cursor, uint64_t bytes)
{
    if (cursor->bad || (uint64_t)(cursor->end - cursor->at) < bytes)
        cursor->bad = true;
    else
        cursor->at += bytes;
}

/** Decodes a pointer in one of the encodings of .eh_frame. */
static uint64_t pointer_read(struct cursor *cursor, uint8_t encoding)
{
    uint64_t place = (uint64_t)(uintptr_t)cursor->at, value = 0;

    switch (encoding & 0x0f) {
    case 0x00: value = fixed_read(cursor, 8, false); break;
    case 0x01: value = leb_read(cursor, false); break;
    case 0x02: value = fixed_read(cursor, 2, false); break;
    case 0x03: value = fixed_read(cursor, 4, false); break;
    case 0x04: value = fixed_read(cursor, 8, false); break;
    case 0x09: value = leb_read(cursor, true); break;
    case 0x0a: value = fixed_read(cursor, 2, true); break;
    case 0x0b: value = fixed_read(cursor, 4, true); break;
    case 0x0c: value = fixed_read(cursor, 8, true); break;
    default: cursor->bad = true;
    }
    return (encoding & 0x70) == ENCODING_PCREL ? value + place : value;
}

/** The common part of functions' descriptions (CIE). */
struct common {
    uint64_t code_align;
    int64_t data_align;
    uint8_t encoding;
    bool is_signal, has_length;
    struct cursor program;
};

/** How a register's value is found. */
struct saved {
    enum { SAVED_NOT, SAVED_AT_CFA, SAVED_AT_BP, SAVED_LOST, SAVED_STRANGELY } how;
    int32_t offset; /* INT32_MAX: one that does not fit */
};

struct row {
    enum { CFA_REGISTER, CFA_AT_BP, CFA_STRANGE } cfa_kind : 8;
    uint8_t cfa_register; /* UINT8_MAX: any but the first */
    int32_t cfa_offset;   /* as in struct saved */
    struct saved bp, ra;
};

static int32_t narrow(int64_t offset)
{
    return offset > INT32_MAX || offset < INT32_MIN ? INT32_MAX : (int32_t)offset;
}

struct machine {
    const struct common *common;
    struct row row, initial, kept[SAVED_STATES];
    unsigned keeps;
    uint64_t location;
};

/** Returns the end of the readable segment around an address; NULL: it is in none. */
static const uint8_t *segment_end(const struct dl_phdr_info *info, uint64_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t begin = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_LOAD && segment->p_flags & PF_R && address >= begin &&
            address - begin < segment->p_filesz)
            return (const uint8_t *)(uintptr_t)(begin + segment->p_filesz);
    }
    return NULL;
}

static struct cursor cursor_at(const struct dl_phdr_info *info, uint64_t address)
{
    const uint8_t *end = segment_end(info, address);

    return (struct cursor){(const uint8_t *)(uintptr_t)address, end, !end};
}

/** Opens an entry of .eh_frame: the cursor ends with the entry. */
static void entry_enter(struct cursor *cursor)
{
    uint64_t bytes = fixed_read(cursor, 4, false);

    if (cursor->bad || bytes < 4 || bytes >= 0xfffffff0 ||
        bytes > (uint64_t)(cursor->end - cursor->at))
        cursor->bad = true;
    else
        cursor->end = cursor->at + bytes;
}

static bool common_read(const struct dl_phdr_info *info, uint64_t address,
                        struct common *ret_common)
{
    struct cursor cursor = cursor_at(info, address), extra;
    struct common common = {0};
    const char *letter;
    uint8_t version;

    entry_enter(&cursor);
    if (fixed_read(&cursor, 4, false) != 0)
        return false;
    version = (uint8_t)fixed_read(&cursor, 1, false);
    letter = (const char *)cursor.at;
    while (fixed_read(&cursor, 1, false))
        ;
    common.code_align = leb_read(&cursor, false);
    common.data_align = (int64_t)leb_read(&cursor, true);
    if ((version == 1 ? fixed_read(&cursor, 1, false) : leb_read(&cursor, false)) != REGISTER_RA ||
        cursor.bad || (version != 1 && version != 3))
        return false;
    if (*letter == 'z') {
        uint64_t bytes = leb_read(&cursor, false);

        extra = cursor;
        skip(&cursor, bytes);
        common.has_length = true;
        for (letter++; *letter && !extra.bad; letter++)
            switch (*letter) {
            case 'R': common.encoding = (uint8_t)fixed_read(&extra, 1, false); break;
            case 'L': skip(&extra, 1); break;
            case 'P': pointer_read(&extra, (uint8_t)fixed_read(&extra, 1, false)); break;
            case 'S': common.is_signal = true; break;
            default: return false;
            }
    } else if (*letter) {
        return false;
    }
    common.program = cursor;
    *ret_common = common;
    return !cursor.bad;
}

/** Recognises a block "frame pointer + offset", optionally dereferenced. */
static bool expression_read(struct cursor *cursor, int64_t *ret_offset, bool *ret_deref)
{
    uint64_t bytes = leb_read(cursor, false);
    struct cursor block = *cursor;

    skip(cursor, bytes);
    if (cursor->bad)
        return false;
    block.end = cursor->at;
    if (fixed_read(&block, 1, false) != OPERATION_BREG0 + REGISTER_BP)
        return false;
    *ret_offset = (int64_t)leb_read(&block, true);
    *ret_deref = block.at < block.end && *block.at == OPERATION_DEREF;
    block.at += *ret_deref;
    return !block.bad && block.at == block.end;
}

static void saved_set(struct machine *machine, uint64_t number, struct saved saved)
{
    if (number == REGISTER_BP)
        machine->row.bp = saved;
    else if (number == REGISTER_RA)
        machine->row.ra = saved;
}

static void saved_restore(struct machine *machine, uint64_t number)
{
    if (number == REGISTER_BP)
        machine->row.bp = machine->initial.bp;
    else if (number == REGISTER_RA)
        machine->row.ra = machine->initial.ra;
}

static void cfa_set(struct row *row, uint64_t number, int64_t offset)
{
    row->cfa_kind = CFA_REGISTER;
    row->cfa_register = (uint8_t)(number < UINT8_MAX ? number : UINT8_MAX);
    row->cfa_offset = narrow(offset);
}

/** Runs an instruction that sets the rule of a register. False: it is none. */
static bool register_run(struct machine *machine, struct cursor *cursor, uint8_t code)
{
    static const struct saved lost = {SAVED_LOST, 0}, same = {SAVED_NOT, 0};
    static const struct saved strangely = {SAVED_STRANGELY, 0};
    int64_t align = machine->common->data_align, offset = 0;
    bool deref = false;
    uint64_t number;

    if (code < 0x05 || (code > 0x09 && code < 0x10) || code == 0x12 || code == 0x13 ||
        code > 0x2f || (code > 0x16 && code < 0x2f) || code == 0x0a)
        return false;
    number = leb_read(cursor, false);
    switch (code) {
    case 0x05: /* offset_extended */
        saved_set(machine, number,
                  (struct saved){SAVED_AT_CFA, narrow((int64_t)leb_read(cursor, false) * align)});
        break;
    case 0x11: /* offset_extended_sf */
        saved_set(machine, number,
                  (struct saved){SAVED_AT_CFA, narrow((int64_t)leb_read(cursor, true) * align)});
        break;
    case 0x2f: /* GNU_negative_offset_extended */
        saved_set(machine, number,
                  (struct saved){SAVED_AT_CFA, narrow(-(int64_t)leb_read(cursor, false) * align)});
        break;
    case 0x06: saved_restore(machine, number); break;
    case 0x07: saved_set(machine, number, lost); break;
    case 0x08: saved_set(machine, number, same); break;
    case 0x10: /* expression */
        saved_set(machine, number,
                  expression_read(cursor, &offset, &deref) && !deref
                      ? (struct saved){SAVED_AT_BP, narrow(offset)}
                      : strangely);
        break;
    case 0x16: /* val_expression */
        expression_read(cursor, &offset, &deref);
        saved_set(machine, number, strangely);
        break;
    default: /* register, val_offset, val_offset_sf */
        leb_read(cursor, false);
        saved_set(machine, number, strangely);
    }
    return true;
}

/** Runs an instruction that sets the location of the frame. False: it is none. */
static bool cfa_run(struct machine *machine, struct cursor *cursor, uint8_t code)
{
    int64_t align = machine->common->data_align, offset = 0;
    struct row *row = &machine->row;
    bool deref = false;
    uint64_t number;

    switch (code) {
    case 0x0c: /* def_cfa */
        number = leb_read(cursor, false);
        cfa_set(row, number, (int64_t)leb_read(cursor, false));
        return true;
    case 0x12: /* def_cfa_sf */
        number = leb_read(cursor, false);
        cfa_set(row, number, (int64_t)leb_read(cursor, true) * align);
        return true;
    case 0x0d: cfa_set(row, leb_read(cursor, false), row->cfa_offset); return true;
    case 0x0e: row->cfa_offset = narrow((int64_t)leb_read(cursor, false)); return true;
    case 0x13: row->cfa_offset = narrow((int64_t)leb_read(cursor, true) * align); return true;
    case 0x0f: /* def_cfa_expression */
        row->cfa_kind = expression_read(cursor, &offset, &deref) && deref ? CFA_AT_BP : CFA_STRANGE;
        row->cfa_offset = narrow(offset);
        return true;
    default: return false;
    }
}

static void other_run(struct machine *machine, struct cursor *cursor, uint8_t code)
{
    switch (code) {
    case 0x00: break; /* nop */
    case 0x01: machine->location = pointer_read(cursor, machine->common->encoding); break;
    case 0x02:
        machine->location += fixed_read(cursor, 1, false) * machine->common->code_align;
        break;
    case 0x03:
        machine->location += fixed_read(cursor, 2, false) * machine->common->code_align;
        break;
    case 0x04:
        machine->location += fixed_read(cursor, 4, false) * machine->common->code_align;
        break;
    case 0x0a: /* remember_state */
        if (machine->keeps == SAVED_STATES)
            cursor->bad = true;
        else
            machine->kept[machine->keeps++] = machine->row;
        break;
    case 0x0b: /* restore_state */
        if (!machine->keeps)
            cursor->bad = true;
        else
            machine->row = machine->kept[--machine->keeps];
        break;
    case 0x2e: leb_read(cursor, false); break; /* GNU_args_size */
    default: cursor->bad = true;
    }
}

/** Runs instructions up to an address; false for an unknown one. */
static bool program_run(struct machine *machine, struct cursor *cursor, uint64_t address)
{
    while (!cursor->bad && cursor->at < cursor->end && machine->location <= address) {
        uint8_t code = (uint8_t)fixed_read(cursor, 1, false), low = code & 0x3f;
        struct saved saved = {SAVED_AT_CFA, 0};

        switch (code & 0xc0) {
        case 0x40: machine->location += low * machine->common->code_align; break;
        case 0x80:
            saved.offset = narrow((int64_t)leb_read(cursor, false) * machine->common->data_align);
            saved_set(machine, low, saved);
            break;
        case 0xc0: saved_restore(machine, low); break;
        default:
            if (!cfa_run(machine, cursor, code) && !register_run(machine, cursor, code))
                other_run(machine, cursor, code);
        }
    }
    return !cursor->bad;
}

static bool fits(int64_t value)
{
    return value > -(INT64_C(1) << 25) && value < INT64_C(1) << 25;
}

static struct unwind_rule rule_of_row(const struct row *row)
{
    struct unwind_rule rule = {.kind = UNWIND_END, .cfa = row->cfa_offset, .bp = row->bp.offset};

    if (row->ra.how != SAVED_AT_CFA || row->ra.offset != -8 || !fits(row->cfa_offset) ||
        !fits(row->bp.offset) || row->cfa_kind == CFA_STRANGE)
        return rule;
    switch (row->bp.how) {
    case SAVED_NOT: rule.bp_kind = UNWIND_BP_SAME; break;
    case SAVED_AT_CFA: rule.bp_kind = UNWIND_BP_AT_CFA; break;
    case SAVED_AT_BP: rule.bp_kind = UNWIND_BP_AT_BP; break;
    default: rule.bp_kind = UNWIND_BP_LOST;
    }
    if (row->cfa_kind == CFA_AT_BP)
        rule.kind = UNWIND_AT_BP;
    else if (row->cfa_register == REGISTER_SP)
        rule.kind = UNWIND_FROM_SP;
    else if (row->cfa_register == REGISTER_BP)
        rule.kind = UNWIND_FROM_BP;
    return rule;
}

/** Finds the function's description in the sorted table; 0: there is none. */
static uint64_t description_find(const struct dl_phdr_info *info, const ElfW(Phdr) * header,
                                 uint64_t address)
{
    uint64_t base = info->dlpi_addr + header->p_vaddr, count;
    struct cursor cursor = cursor_at(info, base);
    uint8_t encoding[4];
    uint64_t low = 0, high;

    for (int i = 0; i < 4; i++)
        encoding[i] = (uint8_t)fixed_read(&cursor, 1, false);
    if (cursor.bad || encoding[0] != 1 || encoding[2] == ENCODING_OMIT ||
        encoding[3] != (ENCODING_DATAREL | ENCODING_SDATA4))
        return 0;
    pointer_read(&cursor, encoding[1]);
    count = pointer_read(&cursor, encoding[2]);
    if (cursor.bad || !count || count > (uint64_t)(cursor.end - cursor.at) / 8)
        return 0;
    high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int32_t begin;

        memcpy(&begin, cursor.at + 8 * middle, sizeof begin);
        if (base + (uint64_t)(int64_t)begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return 0;
    skip(&cursor, 8 * (low - 1) + 4);
    return base + fixed_read(&cursor, 4, true);
}

/** State for reading a description; mapped, because the program's stack may be small. */
struct work {
    struct cursor cursor;
    struct common common;
    struct machine machine;
};

static bool description_read(const struct dl_phdr_info *info, uint64_t description,
                             uint64_t address, struct work *work, struct unwind_rule *ret_rule)
{
    struct cursor *cursor = &work->cursor;
    struct machine *machine = &work->machine;
    uint64_t place, back, begin, bytes;

    *cursor = cursor_at(info, description);
    entry_enter(cursor);
    place = (uint64_t)(uintptr_t)cursor->at;
    back = fixed_read(cursor, 4, false);
    if (cursor->bad || !back || !common_read(info, place - back, &work->common))
        return false;
    begin = pointer_read(cursor, work->common.encoding);
    bytes = pointer_read(cursor, work->common.encoding & 0x0f);
    if (cursor->bad || address < begin || address - begin >= bytes)
        return false;
    if (work->common.has_length)
        skip(cursor, leb_read(cursor, false));
    machine->common = &work->common;
    if (work->common.is_signal) {
        *ret_rule = (struct unwind_rule){.kind = UNWIND_SIGNAL};
        return true;
    }
    if (!program_run(machine, &work->common.program, UINT64_MAX))
        return false;
    machine->initial = machine->row;
    machine->location = begin;
    *ret_rule = program_run(machine, cursor, address) ? rule_of_row(&machine->row)
                                                      : (struct unwind_rule){.kind = UNWIND_END};
    return true;
}

static struct unwind_rule rule_in_module(const struct dl_phdr_info *info, uint64_t address)
{
    struct unwind_rule rule = {.kind = UNWIND_FRAME_POINTER};
    struct work *work = pages_map(sizeof *work);
    bool found = !work;

    if (!work) /* without the description nothing is known of the frame */
        rule.kind = UNWIND_END;
    for (int i = 0; i < info->dlpi_phnum && !found; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t description = segment->p_type == PT_GNU_EH_FRAME
                                   ? description_find(info, segment, address)
                                   : 0;

        found = description && description_read(info, description, address, work, &rule);
    }
    pages_unmap(work, sizeof *work);
    return rule;
}

#else

static struct unwind_rule rule_in_module(const struct dl_phdr_info *info, uint64_t address)
{
    return (struct unwind_rule){.kind = UNWIND_FRAME_POINTER};
}

#endif

struct search {
    uint64_t address;
    struct unwind_rule rule;
    uintptr_t begin, end;
    unwind_unloads unloads;
    bool wants_rule, found;
};

static bool module_has(const struct dl_phdr_info *info, uint64_t address, uintptr_t *ret_begin,
                       uintptr_t *ret_end)
{
    uint64_t low = UINT64_MAX, high = 0;
    bool found = false;

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t begin = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type != PT_LOAD)
            continue;
        low = begin < low ? begin : low;
        high = begin + segment->p_memsz > high ? begin + segment->p_memsz : high;
        found |= segment->p_flags & PF_X && address >= begin && address - begin < segment->p_memsz;
    }
    *ret_begin = low;
    *ret_end = high;
    return found;
}

static int visit(struct dl_phdr_info *info, size_t bytes, void *state)
{
    struct search *search = state;

    if (bytes >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs)
        search->unloads = info->dlpi_subs;
    if (!module_has(info, search->address, &search->begin, &search->end))
        return search->address == 0; /* only the count was wanted */
    search->found = true;
    if (search->wants_rule)
        search->rule = rule_in_module(info, search->address);
    return 1;
}

struct unwind_rule unwind_rule_find(uintptr_t address, unwind_unloads *ret_unloads)
{
    struct search search = {
        .address = address, .rule = {.kind = UNWIND_NOWHERE}, .wants_rule = true};

    dl_iterate_phdr(visit, &search);
    *ret_unloads = search.unloads;
    return search.rule;
}

unwind_unloads unwind_unloads_now(void)
{
    struct search search = {0};

    dl_iterate_phdr(visit, &search);
    return search.unloads;
}

bool unwind_module_find(uintptr_t address, uintptr_t *ret_begin, uintptr_t *ret_end)
{
    struct search search = {.address = address};

    dl_iterate_phdr(visit, &search);
    if (search.found) {
        *ret_begin = search.begin;
        *ret_end = search.end;
    }
    return search.found;
}
