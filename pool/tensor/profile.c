/* SPDX-License-Identifier: MIT */
/*
 * Parses the tensors to reserve from a text of one row a line, or from the `sizes` of a JSON
 * report. A scan over the bytes: nothing is copied, nothing is trusted; nesting is bounded.
 */
#include <errno.h>
#include <string.h>

#include "pool/tensor/tensor.h"

#define DEPTH_MAX 64
#define COUNT_MAX (UINT32_C(1) << 24)

static const char *const type_names[CUPOOL_TENSOR_TYPES] = {
    [CUPOOL_TENSOR_BYTES] = "bytes",     [CUPOOL_TENSOR_BOOL] = "bool",
    [CUPOOL_TENSOR_I8] = "i8",           [CUPOOL_TENSOR_U8] = "u8",
    [CUPOOL_TENSOR_F8_E4M3] = "f8_e4m3", [CUPOOL_TENSOR_F8_E5M2] = "f8_e5m2",
    [CUPOOL_TENSOR_I16] = "i16",         [CUPOOL_TENSOR_F16] = "f16",
    [CUPOOL_TENSOR_BF16] = "bf16",       [CUPOOL_TENSOR_I32] = "i32",
    [CUPOOL_TENSOR_F32] = "f32",         [CUPOOL_TENSOR_I64] = "i64",
    [CUPOOL_TENSOR_F64] = "f64",         [CUPOOL_TENSOR_C64] = "c64",
    [CUPOOL_TENSOR_C128] = "c128",
};

struct scan {
    const char *at, *end;
    unsigned line;
};

static bool is_blank(char sign)
{
    return sign == ' ' || sign == '\t' || sign == '\r';
}

static void blanks_skip(struct scan *scan)
{
    while (scan->at < scan->end && is_blank(*scan->at))
        scan->at++;
}

static bool number_read(struct scan *scan, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *first = scan->at;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*scan->at++ - '0'), &number))
            return false;
    *ret_number = number;
    return scan->at > first;
}

/* Text. */

static bool line_ended(const struct scan *scan)
{
    return scan->at == scan->end || *scan->at == '\n' || *scan->at == '#';
}

static bool type_read(struct scan *scan, enum cupool_tensor_type *ret_type)
{
    const char *first = scan->at;

    while (!line_ended(scan) && !is_blank(*scan->at))
        scan->at++;
    for (unsigned type = 0; type < CUPOOL_TENSOR_TYPES; type++)
        if (strlen(type_names[type]) == (size_t)(scan->at - first) &&
            memcmp(type_names[type], first, (size_t)(scan->at - first)) == 0) {
            *ret_type = (enum cupool_tensor_type)type;
            return true;
        }
    return false;
}

static bool dimensions_read(struct scan *scan, struct cupool_tensor_shape *shape)
{
    for (shape->rank = 0; shape->rank < CUPOOL_TENSOR_RANK_MAX;) {
        if (!number_read(scan, &shape->dimensions[shape->rank++]))
            return false;
        if (scan->at == scan->end || *scan->at != 'x')
            return true;
        scan->at++;
    }
    return false;
}

static bool row_read(struct scan *scan, struct tensor_wish *wish)
{
    static const char flags_name[] = "flags=";
    uint64_t number;

    *wish = (struct tensor_wish){.count = 0};
    if (!number_read(scan, &number) || number == 0 || number > COUNT_MAX)
        return false;
    wish->count = (uint32_t)number;
    blanks_skip(scan);
    if (!type_read(scan, &wish->shape.type))
        return false;
    blanks_skip(scan);
    if (!line_ended(scan) && *scan->at != 'f' && !dimensions_read(scan, &wish->shape))
        return false;
    blanks_skip(scan);
    size_t left = (size_t)(scan->end - scan->at);
    if (left >= sizeof(flags_name) - 1 &&
        memcmp(scan->at, flags_name, sizeof(flags_name) - 1) == 0) {
        scan->at += sizeof(flags_name) - 1;
        if (!number_read(scan, &number) || number > UINT32_MAX)
            return false;
        wish->shape.flags = (uint32_t)number;
        blanks_skip(scan);
    }
    return line_ended(scan);
}

static int text_read(struct scan *scan, int (*each)(void *state, const struct tensor_wish *wish),
                     void *state)
{
    struct tensor_wish wish;

    for (; scan->at < scan->end; scan->line++) {
        blanks_skip(scan);
        if (!line_ended(scan)) {
            if (!row_read(scan, &wish))
                return -EINVAL;
            int error = each(state, &wish);
            if (error < 0)
                return error;
        }
        while (scan->at < scan->end && *scan->at != '\n')
            scan->at++;
        scan->at += scan->at < scan->end;
    }
    return 0;
}

/* JSON. */

static void space_skip(struct scan *scan)
{
    for (; scan->at < scan->end && (is_blank(*scan->at) || *scan->at == '\n'); scan->at++)
        scan->line += *scan->at == '\n';
}

static bool sign_read(struct scan *scan, char sign)
{
    space_skip(scan);
    if (scan->at == scan->end || *scan->at != sign)
        return false;
    scan->at++;
    return true;
}

/* A string without its quotes, as it is written. */
static bool string_read(struct scan *scan, const char **ret_first, size_t *ret_bytes)
{
    if (!sign_read(scan, '"'))
        return false;
    *ret_first = scan->at;
    for (; scan->at < scan->end && *scan->at != '"'; scan->at++)
        if (*scan->at == '\\' && ++scan->at == scan->end)
            return false;
    if (scan->at == scan->end)
        return false;
    *ret_bytes = (size_t)(scan->at++ - *ret_first);
    return true;
}

/* Passes over a value of any kind. */
static bool value_skip(struct scan *scan)
{
    const char *string;
    size_t bytes;
    unsigned depth = 0;

    do {
        space_skip(scan);
        if (scan->at == scan->end)
            return false;
        switch (*scan->at) {
        case '"':
            if (!string_read(scan, &string, &bytes))
                return false;
            break;
        case '{':
        case '[':
            if (++depth > DEPTH_MAX)
                return false;
            scan->at++;
            break;
        case '}':
        case ']':
            if (depth-- == 0)
                return false;
            scan->at++;
            break;
        case ',':
        case ':':
            if (depth == 0)
                return false;
            scan->at++;
            break;
        default:
            do
                scan->at++;
            while (scan->at < scan->end && !memchr(",:]}[{\" \t\r\n", *scan->at, 10));
        }
    } while (depth > 0);
    return true;
}

static bool named(const char *first, size_t bytes, const char *name)
{
    return strlen(name) == bytes && memcmp(first, name, bytes) == 0;
}

/* Reads one row of `sizes`: the peak number of live blocks, without those never freed. */
static bool size_read(struct scan *scan, struct tensor_wish *wish)
{
    uint64_t up_to = 0, peak = 0, leaked = 0;
    const char *name;
    size_t bytes;

    if (!sign_read(scan, '{'))
        return false;
    do {
        if (!string_read(scan, &name, &bytes) || !sign_read(scan, ':'))
            return false;
        uint64_t *field = named(name, bytes, "up_to_bytes")     ? &up_to
                          : named(name, bytes, "peak_blocks")   ? &peak
                          : named(name, bytes, "leaked_blocks") ? &leaked
                                                                : NULL;
        space_skip(scan);
        if (field ? !number_read(scan, field) : !value_skip(scan))
            return false;
    } while (sign_read(scan, ','));
    if (!sign_read(scan, '}'))
        return false;
    uint64_t count = peak > leaked ? peak - leaked : 0;
    *wish = (struct tensor_wish){
        .shape = {.rank = 1, .type = CUPOOL_TENSOR_BYTES, .dimensions = {up_to}},
        .count = (uint32_t)(count < COUNT_MAX ? count : COUNT_MAX)};
    return true;
}

static int sizes_read(struct scan *scan, int (*each)(void *state, const struct tensor_wish *wish),
                      void *state)
{
    struct tensor_wish wish;

    if (!sign_read(scan, '['))
        return -EINVAL;
    if (sign_read(scan, ']'))
        return 0;
    do {
        if (!size_read(scan, &wish))
            return -EINVAL;
        int error = wish.count != 0 ? each(state, &wish) : 0;
        if (error < 0)
            return error;
    } while (sign_read(scan, ','));
    return sign_read(scan, ']') ? 0 : -EINVAL;
}

static int report_read(struct scan *scan, int (*each)(void *state, const struct tensor_wish *wish),
                       void *state)
{
    bool found = false;
    const char *name;
    size_t bytes;

    scan->at++;
    do {
        if (!string_read(scan, &name, &bytes) || !sign_read(scan, ':'))
            return -EINVAL;
        if (!found && named(name, bytes, "sizes")) {
            found = true;
            int error = sizes_read(scan, each, state);
            if (error < 0)
                return error;
        } else if (!value_skip(scan)) {
            return -EINVAL;
        }
    } while (sign_read(scan, ','));
    return found && sign_read(scan, '}') ? 0 : -EINVAL;
}

int tensor_profile_read(const char *text, size_t bytes,
                        int (*each)(void *state, const struct tensor_wish *wish), void *state,
                        unsigned *ret_line)
{
    struct scan scan = {.at = text, .end = text + bytes, .line = 1};
    struct scan begin = scan;
    int error;

    space_skip(&scan);
    if (scan.at < scan.end && *scan.at == '{') {
        error = report_read(&scan, each, state);
    } else {
        scan = begin;
        error = text_read(&scan, each, state);
    }
    *ret_line = scan.line;
    return error;
}
