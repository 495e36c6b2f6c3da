/* SPDX-License-Identifier: MIT */
/*
 * Reads a pickle as data only.
 *
 * A pickle is a program for a stack machine, and some of its instructions import and call functions
 * that the file names. This reader knows the instructions that make numbers, strings, lists,
 * tuples, dicts and references to these; any other one is refused with its position and name,
 * whatever surrounds it. Nothing is looked up, imported, called or constructed.
 *
 * Memory is bounded: each value takes some bytes of the file, strings stay in it, and there are at
 * most 16 million values.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPLAY_PICKLE_H
#define TOOLS_REPLAY_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pickle;

enum pickle_type {
    PICKLE_NONE,
    PICKLE_BOOL, /* number */
    PICKLE_INTEGER,
    PICKLE_REAL,
    PICKLE_TEXT, /* bytes, not terminated */
    PICKLE_LIST, /* lists and tuples: count, items */
    PICKLE_DICT, /* count pairs: item 2i is the key, 2i + 1 the value */
};

struct pickle_value {
    uint8_t type;   /* enum pickle_type */
    uint32_t count; /* items; bytes of a text */
    union {
        int64_t number;
        double real;
        const char *text;
        uint32_t *items; /* numbers of values */
    };
};

/**
 * Reads the pickle in `bytes`, which must outlive the result. On failure `ret_why` gives reason
 * and position. Errors: -EPERM an instruction that is not data, -EBADMSG damage, -ENOTSUP an
 * unsupported kind of data, -E2BIG too many values, -ENOMEM.
 */
int pickle_parse(const unsigned char *bytes, size_t length, struct pickle **ret_pickle,
                 char *ret_why, size_t why_bytes);

void pickle_destroy(struct pickle *pickle);

const struct pickle_value *pickle_root(const struct pickle *pickle);

/** An item of a list, or NULL. */
const struct pickle_value *pickle_item(const struct pickle *pickle,
                                       const struct pickle_value *value, size_t index);

/** Returns the value of a string key, or NULL: not a dict, no such key, or exhausted. */
const struct pickle_value *pickle_get(struct pickle *pickle, const struct pickle_value *value,
                                      const char *key);

/**
 * Whether pickle_get() was called more often than a pickle of this length can be meant: a few bytes
 * may name a list of lists any number of times.
 */
bool pickle_is_exhausted(const struct pickle *pickle);

/** Whether a value is this text. */
bool pickle_is(const struct pickle_value *value, const char *text);

/** An integer that is not negative, or `otherwise`. */
uint64_t pickle_unsigned(const struct pickle_value *value, uint64_t otherwise);

#endif
