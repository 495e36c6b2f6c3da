/* SPDX-License-Identifier: MIT */
/*
 * The stack machine: a stack of value numbers, marks, and a memo. Protocols 2 to 5.
 *
 * Lists and dicts grow in place, so a memo reference to one sees later additions; a value may
 * contain itself, and values are followed only along known paths.
 */
#include "tools/replay/pickle.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_MOST (UINT32_C(1) << 24)
#define MEMO_MOST   (UINT32_C(1) << 24)
#define UNSET       UINT32_MAX

/* Comparisons for each byte. A dict of ten pairs has forty bytes at least, and each of the six keys
 * of interest is compared with all of them. */
#define LOOKS_OF_BYTE UINT64_C(16)
#define LOOKS_LEAST   UINT64_C(65536)

/** A growing array of numbers. */
struct numbers {
    uint32_t *number;
    size_t count, room;
};

struct pickle {
    struct pickle_value *values;
    size_t value_count, value_room;
    uint32_t root;
    uint64_t looks_left; /* pairs that pickle_get() may still compare */
};

struct machine {
    struct pickle *pickle;
    const unsigned char *bytes;
    size_t length, at;
    size_t opcode_at;
    struct numbers stack, marks, memo;
    uint32_t none, no, yes; /* values that are made once */
    char *why;
    size_t why_bytes;
};

/* ---- what there is ---- */

enum opcode_kind { DATA = 1, EXECUTES, OLD };

/** The names are those of Python's pickletools; missing numbers are not opcodes. */
static const struct {
    const char *name;
    uint8_t kind;
} opcodes[256] = {
    ['('] = {"MARK", DATA},
    ['.'] = {"STOP", DATA},
    ['0'] = {"POP", DATA},
    ['1'] = {"POP_MARK", DATA},
    ['2'] = {"DUP", DATA},
    ['F'] = {"FLOAT", OLD},
    ['I'] = {"INT", OLD},
    ['J'] = {"BININT", DATA},
    ['K'] = {"BININT1", DATA},
    ['L'] = {"LONG", OLD},
    ['M'] = {"BININT2", DATA},
    ['N'] = {"NONE", DATA},
    ['P'] = {"PERSID", EXECUTES},
    ['Q'] = {"BINPERSID", EXECUTES},
    ['R'] = {"REDUCE", EXECUTES},
    ['S'] = {"STRING", OLD},
    ['T'] = {"BINSTRING", OLD},
    ['U'] = {"SHORT_BINSTRING", OLD},
    ['V'] = {"UNICODE", OLD},
    ['X'] = {"BINUNICODE", DATA},
    ['a'] = {"APPEND", DATA},
    ['b'] = {"BUILD", EXECUTES},
    ['c'] = {"GLOBAL", EXECUTES},
    ['d'] = {"DICT", DATA},
    ['}'] = {"EMPTY_DICT", DATA},
    ['e'] = {"APPENDS", DATA},
    ['g'] = {"GET", OLD},
    ['h'] = {"BINGET", DATA},
    ['i'] = {"INST", EXECUTES},
    ['j'] = {"LONG_BINGET", DATA},
    ['l'] = {"LIST", DATA},
    [']'] = {"EMPTY_LIST", DATA},
    ['o'] = {"OBJ", EXECUTES},
    ['p'] = {"PUT", OLD},
    ['q'] = {"BINPUT", DATA},
    ['r'] = {"LONG_BINPUT", DATA},
    ['s'] = {"SETITEM", DATA},
    ['t'] = {"TUPLE", DATA},
    [')'] = {"EMPTY_TUPLE", DATA},
    ['u'] = {"SETITEMS", DATA},
    ['G'] = {"BINFLOAT", DATA},
    ['B'] = {"BINBYTES", DATA},
    ['C'] = {"SHORT_BINBYTES", DATA},
    [0x80] = {"PROTO", DATA},
    [0x81] = {"NEWOBJ", EXECUTES},
    [0x82] = {"EXT1", EXECUTES},
    [0x83] = {"EXT2", EXECUTES},
    [0x84] = {"EXT4", EXECUTES},
    [0x85] = {"TUPLE1", DATA},
    [0x86] = {"TUPLE2", DATA},
    [0x87] = {"TUPLE3", DATA},
    [0x88] = {"NEWTRUE", DATA},
    [0x89] = {"NEWFALSE", DATA},
    [0x8a] = {"LONG1", DATA},
    [0x8b] = {"LONG4", OLD},
    [0x8c] = {"SHORT_BINUNICODE", DATA},
    [0x8d] = {"BINUNICODE8", DATA},
    [0x8e] = {"BINBYTES8", DATA},
    [0x8f] = {"EMPTY_SET", OLD},
    [0x90] = {"ADDITEMS", OLD},
    [0x91] = {"FROZENSET", OLD},
    [0x92] = {"NEWOBJ_EX", EXECUTES},
    [0x93] = {"STACK_GLOBAL", EXECUTES},
    [0x94] = {"MEMOIZE", DATA},
    [0x95] = {"FRAME", DATA},
    [0x96] = {"BYTEARRAY8", OLD},
    [0x97] = {"NEXT_BUFFER", EXECUTES},
    [0x98] = {"READONLY_BUFFER", EXECUTES},
};

__attribute__((format(printf, 3, 4))) static int fail(struct machine *machine, int error,
                                                      const char *format, ...)
{
    char text[160];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(machine->why, machine->why_bytes, "byte %zu: %s", machine->opcode_at, text);
    return error;
}

/* ---- arrays ---- */

static int numbers_push(struct numbers *numbers, uint32_t number)
{
    if (numbers->count == numbers->room) {
        size_t room = numbers->room + numbers->room / 2 + 64;
        uint32_t *grown = reallocarray(numbers->number, room, sizeof *grown);

        if (!grown)
            return -ENOMEM;
        numbers->number = grown;
        numbers->room = room;
    }
    numbers->number[numbers->count++] = number;
    return 0;
}

static int value_new(struct machine *machine, struct pickle_value value, uint32_t *ret_number)
{
    struct pickle *pickle = machine->pickle;

    if (pickle->value_count == VALUES_MOST)
        return fail(machine, -E2BIG, "more than %u values", VALUES_MOST);
    if (pickle->value_count == pickle->value_room) {
        size_t room = pickle->value_room + pickle->value_room / 2 + 256;
        struct pickle_value *grown = reallocarray(pickle->values, room, sizeof *grown);

        if (!grown)
            return -ENOMEM;
        pickle->values = grown;
        pickle->value_room = room;
    }
    pickle->values[pickle->value_count] = value;
    *ret_number = (uint32_t)pickle->value_count++;
    return 0;
}

static int value_push(struct machine *machine, struct pickle_value value)
{
    uint32_t number = 0;
    int error = value_new(machine, value, &number);

    return error < 0 ? error : numbers_push(&machine->stack, number);
}

/* Room for a container grows by doubling: at each power of two from 4 on. */
static int items_add(struct pickle_value *value, const uint32_t *more, uint32_t count)
{
    uint32_t unit = value->type == PICKLE_DICT ? 2 : 1;
    uint64_t used = (uint64_t)value->count * unit;

    for (uint32_t i = 0; i < count; i++, used++) {
        if (used == 0 || (used >= 4 && !(used & (used - 1)))) {
            uint32_t *grown = reallocarray(value->items, used ? used * 2 : 4, sizeof *grown);

            if (!grown)
                return -ENOMEM;
            value->items = grown;
        }
        value->items[used] = more[i];
    }
    value->count += count / unit;
    return 0;
}

/* ---- operands ---- */

static int take(struct machine *machine, size_t bytes, const unsigned char **ret_bytes)
{
    if (machine->length - machine->at < bytes)
        return fail(machine, -EBADMSG, "the file ends within an instruction");
    *ret_bytes = machine->bytes + machine->at;
    machine->at += bytes;
    return 0;
}

/* A little-endian number of 1, 2, 4 or 8 bytes. */
static int operand(struct machine *machine, size_t bytes, uint64_t *ret_number)
{
    const unsigned char *from = NULL;
    int error = take(machine, bytes, &from);

    *ret_number = 0;
    for (size_t i = 0; error == 0 && i < bytes; i++)
        *ret_number |= (uint64_t)from[i] << (8 * i);
    return error;
}

static int text_push(struct machine *machine, size_t length_bytes)
{
    const unsigned char *from = NULL;
    uint64_t length;
    int error = operand(machine, length_bytes, &length);

    if (error == 0 && length > UINT32_MAX)
        return fail(machine, -EBADMSG, "a string of %llu bytes", (unsigned long long)length);
    if (error == 0)
        error = take(machine, length, &from);
    return error < 0 ? error
                     : value_push(machine, (struct pickle_value){.type = PICKLE_TEXT,
                                                                 .count = (uint32_t)length,
                                                                 .text = (const char *)from});
}

static int integer_push(struct machine *machine, int64_t number)
{
    return value_push(machine, (struct pickle_value){.type = PICKLE_INTEGER, .number = number});
}

/* Two's complement of up to 8 bytes; an address of 64 bits has 9, the last 0. */
static int long_push(struct machine *machine)
{
    const unsigned char *from = NULL;
    uint64_t length, number = 0;
    int error = operand(machine, 1, &length);

    if (error == 0)
        error = take(machine, length, &from);
    if (error < 0)
        return error;
    if (length > 9 || (length == 9 && from[8] != 0))
        return fail(machine, -ENOTSUP, "an integer of %u bytes", (unsigned)length);
    for (size_t i = 0; i < length && i < 8; i++)
        number |= (uint64_t)from[i] << (8 * i);
    if (length && length < 8 && from[length - 1] & 0x80)
        number |= UINT64_MAX << (8 * length);
    return integer_push(machine, (int64_t)number);
}

static int real_push(struct machine *machine)
{
    const unsigned char *from = NULL;
    uint64_t bits = 0;
    double real;
    int error = take(machine, 8, &from);

    if (error < 0)
        return error;
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | from[i];
    memcpy(&real, &bits, sizeof real);
    return value_push(machine, (struct pickle_value){.type = PICKLE_REAL, .real = real});
}

/* ---- stack, marks, memo ---- */

/* Number of values above the last mark, which bounds what an instruction may take. */
static size_t above_mark(const struct machine *machine)
{
    size_t base = machine->marks.count ? machine->marks.number[machine->marks.count - 1] : 0;

    return machine->stack.count - base;
}

static int need(struct machine *machine, size_t count)
{
    return above_mark(machine) >= count ? 0
                                        : fail(machine, -EBADMSG, "too few values on the stack");
}

static int mark_pop(struct machine *machine, size_t *ret_base)
{
    if (!machine->marks.count)
        return fail(machine, -EBADMSG, "missing mark");
    *ret_base = machine->marks.number[--machine->marks.count];
    return 0;
}

static struct pickle_value *value_at(struct machine *machine, size_t place)
{
    return &machine->pickle->values[machine->stack.number[place]];
}

/* Replaces the values from `base` on by a list or dict of them. */
static int container_make(struct machine *machine, enum pickle_type type, size_t base)
{
    size_t count = machine->stack.count - base;
    struct pickle_value value = {.type = (uint8_t)type};
    uint32_t number = 0;
    int error;

    if (type == PICKLE_DICT && count % 2)
        return fail(machine, -EBADMSG, "a key without a value");
    error = items_add(&value, machine->stack.number + base, (uint32_t)count);
    if (error == 0)
        error = value_new(machine, value, &number);
    if (error < 0) {
        free(value.items);
        return error;
    }
    machine->stack.count = base;
    return numbers_push(&machine->stack, number);
}

static int marked_make(struct machine *machine, enum pickle_type type)
{
    size_t base = 0;
    int error = mark_pop(machine, &base);

    return error < 0 ? error : container_make(machine, type, base);
}

static int tuple_make(struct machine *machine, size_t count)
{
    int error = need(machine, count);

    return error < 0 ? error : container_make(machine, PICKLE_LIST, machine->stack.count - count);
}

/* Moves the values from `base` on into the container below. */
static int container_extend(struct machine *machine, enum pickle_type type, size_t base)
{
    size_t count = machine->stack.count - base;
    int error;

    if (base == 0 || value_at(machine, base - 1)->type != type)
        return fail(machine, -EBADMSG, "missing %s to add to",
                    type == PICKLE_LIST ? "list" : "dict");
    if (type == PICKLE_DICT && count % 2)
        return fail(machine, -EBADMSG, "a key without a value");
    if (value_at(machine, base - 1)->count + count > UINT32_MAX / 4)
        return fail(machine, -E2BIG, "too many items");
    error = items_add(value_at(machine, base - 1), machine->stack.number + base, (uint32_t)count);
    machine->stack.count = base;
    return error;
}

static int marked_extend(struct machine *machine, enum pickle_type type)
{
    size_t base = 0;
    int error = mark_pop(machine, &base);

    return error < 0 ? error : container_extend(machine, type, base);
}

static int items_extend(struct machine *machine, enum pickle_type type, size_t count)
{
    int error = need(machine, count + 1);

    return error < 0 ? error : container_extend(machine, type, machine->stack.count - count);
}

static int memo_put(struct machine *machine, uint64_t index)
{
    struct numbers *memo = &machine->memo;
    int error = need(machine, 1);

    if (error < 0)
        return error;
    if (index > memo->count + 65536 || index >= MEMO_MOST)
        return fail(machine, -EBADMSG, "memo entry %llu is out of range",
                    (unsigned long long)index);
    while (error == 0 && memo->count <= index)
        error = numbers_push(memo, UNSET);
    if (error == 0)
        memo->number[index] = machine->stack.number[machine->stack.count - 1];
    return error;
}

static int memo_get(struct machine *machine, uint64_t index)
{
    struct numbers *memo = &machine->memo;

    if (index >= memo->count || memo->number[index] == UNSET)
        return fail(machine, -EBADMSG, "memo entry %llu is empty", (unsigned long long)index);
    return numbers_push(&machine->stack, memo->number[index]);
}

static int pop(struct machine *machine)
{
    int error;

    if (machine->marks.count && above_mark(machine) == 0) {
        machine->marks.count--;
        return 0;
    }
    error = need(machine, 1);
    machine->stack.count -= error == 0;
    return error;
}

static int pop_mark(struct machine *machine)
{
    size_t base = 0;
    int error = mark_pop(machine, &base);

    if (error == 0)
        machine->stack.count = base;
    return error;
}

static int duplicate(struct machine *machine)
{
    int error = need(machine, 1);

    return error < 0
               ? error
               : numbers_push(&machine->stack, machine->stack.number[machine->stack.count - 1]);
}

static int protocol(struct machine *machine)
{
    uint64_t version;
    int error = operand(machine, 1, &version);

    return error == 0 && (version < 2 || version > 5)
               ? fail(machine, -ENOTSUP, "protocol %u", (unsigned)version)
               : error;
}

/* ---- running ---- */

static int step_number(struct machine *machine, unsigned char opcode)
{
    uint64_t number = 0;
    size_t bytes = opcode == 'K' || opcode == 'q' || opcode == 'h' ? 1 : opcode == 'M' ? 2 : 4;
    int error = operand(machine, bytes, &number);

    if (error < 0)
        return error;
    switch (opcode) {
    case 'J': return integer_push(machine, (int32_t)number);
    case 'K':
    case 'M': return integer_push(machine, (int64_t)number);
    case 'q':
    case 'r': return memo_put(machine, number);
    default: return memo_get(machine, number);
    }
}

static int step(struct machine *machine, unsigned char opcode)
{
    uint64_t ignored;

    switch (opcode) {
    case 0x80: return protocol(machine);
    case 0x95: return operand(machine, 8, &ignored);
    case '(': return numbers_push(&machine->marks, (uint32_t)machine->stack.count);
    case '0': return pop(machine);
    case '1': return pop_mark(machine);
    case '2': return duplicate(machine);
    case 'N': return numbers_push(&machine->stack, machine->none);
    case 0x88: return numbers_push(&machine->stack, machine->yes);
    case 0x89: return numbers_push(&machine->stack, machine->no);
    case 'J':
    case 'K':
    case 'M':
    case 'q':
    case 'r':
    case 'h':
    case 'j': return step_number(machine, opcode);
    case 0x94: return memo_put(machine, machine->memo.count);
    case 0x8a: return long_push(machine);
    case 'G': return real_push(machine);
    case 'C':
    case 0x8c: return text_push(machine, 1);
    case 'B':
    case 'X': return text_push(machine, 4);
    case 0x8d:
    case 0x8e: return text_push(machine, 8);
    case ']':
    case ')': return tuple_make(machine, 0);
    case '}': return container_make(machine, PICKLE_DICT, machine->stack.count);
    case 'l':
    case 't': return marked_make(machine, PICKLE_LIST);
    case 'd': return marked_make(machine, PICKLE_DICT);
    case 0x85:
    case 0x86:
    case 0x87: return tuple_make(machine, opcode - 0x84u);
    case 'a': return items_extend(machine, PICKLE_LIST, 1);
    case 'e': return marked_extend(machine, PICKLE_LIST);
    case 's': return items_extend(machine, PICKLE_DICT, 2);
    case 'u': return marked_extend(machine, PICKLE_DICT);
    default: return fail(machine, -EBADMSG, "unknown instruction");
    }
}

/* An instruction that is not data ends the reading at once. */
static int opcode_admit(struct machine *machine, unsigned char opcode)
{
    if (!opcodes[opcode].name)
        return fail(machine, -EBADMSG, "0x%02x is not a pickle instruction", opcode);
    if (opcodes[opcode].kind == EXECUTES)
        return fail(machine, -EPERM,
                    "%s imports or calls something: rejected, a snapshot is data only",
                    opcodes[opcode].name);
    if (opcodes[opcode].kind == OLD)
        return fail(machine, -ENOTSUP, "%s is not an instruction of snapshots",
                    opcodes[opcode].name);
    return 0;
}

static int machine_run(struct machine *machine)
{
    int error = 0;

    while (error == 0) {
        unsigned char opcode;

        machine->opcode_at = machine->at;
        if (machine->at == machine->length)
            return fail(machine, -EBADMSG, "the file ends before the pickle does");
        opcode = machine->bytes[machine->at++];
        error = opcode_admit(machine, opcode);
        if (error == 0 && opcode == '.')
            break;
        if (error == 0)
            error = step(machine, opcode);
    }
    if (error == 0 && (machine->stack.count != 1 || machine->marks.count))
        return fail(machine, -EBADMSG, "the pickle ends with %zu values, not one",
                    machine->stack.count);
    if (error == 0)
        machine->pickle->root = machine->stack.number[0];
    return error;
}

static int constants_make(struct machine *machine)
{
    int error = value_new(machine, (struct pickle_value){.type = PICKLE_NONE}, &machine->none);

    if (error == 0)
        error = value_new(machine, (struct pickle_value){.type = PICKLE_BOOL}, &machine->no);
    if (error == 0)
        error = value_new(machine, (struct pickle_value){.type = PICKLE_BOOL, .number = 1},
                          &machine->yes);
    return error;
}

int pickle_parse(const unsigned char *bytes, size_t length, struct pickle **ret_pickle,
                 char *ret_why, size_t why_bytes)
{
    struct machine machine = {
        .bytes = bytes, .length = length, .why = ret_why, .why_bytes = why_bytes};
    int error;

    snprintf(ret_why, why_bytes, "out of memory");
    machine.pickle = calloc(1, sizeof *machine.pickle);
    error = machine.pickle ? constants_make(&machine) : -ENOMEM;
    if (error == 0)
        error = machine_run(&machine);
    free(machine.stack.number);
    free(machine.marks.number);
    free(machine.memo.number);
    if (error < 0) {
        pickle_destroy(machine.pickle);
        return error;
    }
    machine.pickle->looks_left = LOOKS_LEAST + LOOKS_OF_BYTE * length;
    *ret_pickle = machine.pickle;
    return 0;
}

void pickle_destroy(struct pickle *pickle)
{
    if (!pickle)
        return;
    for (size_t i = 0; i < pickle->value_count; i++)
        if (pickle->values[i].type == PICKLE_LIST || pickle->values[i].type == PICKLE_DICT)
            free(pickle->values[i].items);
    free(pickle->values);
    free(pickle);
}

/* ---- asking ---- */

const struct pickle_value *pickle_root(const struct pickle *pickle)
{
    return &pickle->values[pickle->root];
}

const struct pickle_value *pickle_item(const struct pickle *pickle,
                                       const struct pickle_value *value, size_t index)
{
    if (!value || value->type != PICKLE_LIST || index >= value->count)
        return NULL;
    return &pickle->values[value->items[index]];
}

bool pickle_is(const struct pickle_value *value, const char *text)
{
    return value && value->type == PICKLE_TEXT && value->count == strlen(text) &&
           !memcmp(value->text, text, value->count);
}

bool pickle_is_exhausted(const struct pickle *pickle)
{
    return !pickle->looks_left;
}

/* Counts a look at a value; false: there were too many. */
static bool look(struct pickle *pickle)
{
    if (pickle->looks_left)
        pickle->looks_left--;
    return pickle->looks_left;
}

const struct pickle_value *pickle_get(struct pickle *pickle, const struct pickle_value *value,
                                      const char *key)
{
    if (!look(pickle) || !value || value->type != PICKLE_DICT)
        return NULL;
    /* A later pair replaces an earlier one. */
    for (size_t i = value->count; i-- > 0 && look(pickle);)
        if (pickle_is(&pickle->values[value->items[2 * i]], key))
            return &pickle->values[value->items[2 * i + 1]];
    return NULL;
}

uint64_t pickle_unsigned(const struct pickle_value *value, uint64_t otherwise)
{
    return value && value->type == PICKLE_INTEGER && value->number >= 0 ? (uint64_t)value->number
                                                                        : otherwise;
}
