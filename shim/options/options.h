/* SPDX-License-Identifier: MIT */
/*
 * The options: one table (options.def), one typed structure, one parser for every source.
 *
 * Sources, later wins: built-in; the file named by CUPOOL_CONF (lines `key = value`, # begins a
 * comment); CUPOOL="key:value,key:value"; CUPOOL_<KEY>. A callback gets one line for each bad value
 * or unknown name; the previous value stays in force. The code uses libc only, allocates nothing
 * and may run before main in a foreign process.
 *
 * Threading: no shared state; a struct options belongs to its caller.
 */
#ifndef SHIM_OPTIONS_OPTIONS_H
#define SHIM_OPTIONS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OPTIONS_TEXT_BYTES 1024
#define OPTIONS_LINE_BYTES 2048

/* Values of the CHOICE options, in the order of their `accepted` column. */
enum option_mode { OPTION_MODE_OFF, OPTION_MODE_OBSERVE, OPTION_MODE_POOL };
enum option_backing { OPTION_BACKING_DRIVER, OPTION_BACKING_VMM, OPTION_BACKING_AUTO };
enum option_defrag { OPTION_DEFRAG_MOVE, OPTION_DEFRAG_OFF };
enum option_reuse { OPTION_REUSE_DEFERRED, OPTION_REUSE_SYNC, OPTION_REUSE_IMMEDIATE };
enum option_ipc_range { OPTION_IPC_RANGE_BLOCK, OPTION_IPC_RANGE_SEGMENT };
enum option_cupti { OPTION_CUPTI_AUTO, OPTION_CUPTI_ON, OPTION_CUPTI_OFF };
enum option_nvtx { OPTION_NVTX_AUTO, OPTION_NVTX_OFF };
enum option_mark_signal { OPTION_MARK_SIGNAL_NONE, OPTION_MARK_SIGNAL_USR2 };
enum option_postmortem { OPTION_POSTMORTEM_OFF, OPTION_POSTMORTEM_PRINT };
enum option_guard { OPTION_GUARD_OFF, OPTION_GUARD_REDZONE, OPTION_GUARD_PAGE };
enum option_fill { OPTION_FILL_NONE, OPTION_FILL_ZERO, OPTION_FILL_POISON };

/** A SIZE option: bytes, or a fraction of the device. At most one of the two is not 0. */
struct option_size {
    uint64_t bytes;
    uint32_t device_ppm; /* millionths of the device's memory: 10% is 100000 */
};

#define OPTION_CLASSES_MAX 32

/** A CLASSES option: ascending sizes; count 0: the built-in ones. */
struct option_classes {
    uint16_t bytes[OPTION_CLASSES_MAX];
    uint16_t count;
};

enum option_id {
#define OPTION(key, ...) OPTION_ID_##key,
#include "shim/options/options.def"
#undef OPTION
    OPTION_COUNT
};

enum option_type {
    OPTION_TYPE_CHOICE,
    OPTION_TYPE_SIZE,
    OPTION_TYPE_NUMBER,
    OPTION_TYPE_FLAG,
    OPTION_TYPE_TEXT,
    OPTION_TYPE_DURATION,
    OPTION_TYPE_CLASSES
};

/** Source of a value. */
enum option_source {
    OPTION_SOURCE_BUILT_IN,
    OPTION_SOURCE_FILE,        /* the file named by CUPOOL_CONF */
    OPTION_SOURCE_LIST,        /* the variable CUPOOL */
    OPTION_SOURCE_ENVIRONMENT, /* the option's own variable, CUPOOL_KEY */
    OPTION_SOURCE_COMMAND      /* the command line of `cupool run` */
};

#define OPTION_MEMBER_CHOICE(key)   int key;
#define OPTION_MEMBER_SIZE(key)     struct option_size key;
#define OPTION_MEMBER_NUMBER(key)   uint64_t key;
#define OPTION_MEMBER_FLAG(key)     bool key;
#define OPTION_MEMBER_TEXT(key)     char key[OPTIONS_TEXT_BYTES];
#define OPTION_MEMBER_DURATION(key) uint64_t key; /* ns */
#define OPTION_MEMBER_CLASSES(key)  struct option_classes key;

/** The values in force. CHOICE members hold the enums above. */
struct options {
#define OPTION(key, type, ...) OPTION_MEMBER_##type(key)
#include "shim/options/options.def"
#undef OPTION
    uint8_t source[OPTION_COUNT]; /* enum option_source */
};

/** One row of the table, as text for people. */
struct option_row {
    const char *key;
    const char *built_in;
    const char *accepted;
    const char *unit;
    const char *help;
    enum option_type type;
};

/** Receives each problem: one line without newline that names the option, the value and what is
 * accepted. */
typedef void options_complain(void *state, const char *line);

/** All built-in values. */
void options_init(struct options *ret_options);

/**
 * Sets built-in values, then applies every source of this process's environment. Returns the
 * number of problems; `complain` (may be NULL) gets the first ten, then how many more there are.
 */
int options_load(struct options *ret_options, options_complain *complain, void *state);

/**
 * Sets one option. `where` names the source in a complaint ("CUPOOL_MODE"). Errors: -ENOENT
 * unknown key, -EINVAL bad value; each is passed to `complain`, and the option is unchanged.
 */
int options_set(struct options *options, const char *key, const char *value,
                enum option_source source, const char *where, options_complain *complain,
                void *state);

/**
 * Sets every option of a list "key:value,key:value". A comma before a digit belongs to the value.
 * Returns the number of problems; `complain` gets the first ten, then how many more there are.
 */
int options_set_list(struct options *options, const char *list, options_complain *complain,
                     void *state);

/** The same; `where` names the source in error messages. */
int options_set_list_of(struct options *options, const char *list, const char *where,
                        options_complain *complain, void *state);

/** Sets every option of a file. A line with a zero byte is ignored. Returns the number of problems;
 * `complain` gets the first ten, then how many more there are. */
int options_read_file(struct options *options, const char *path, options_complain *complain,
                      void *state);

/** Returns the table's row of an option; NULL outside the table. */
const struct option_row *options_row(size_t option);

/** The value in force as the user would write it. */
void options_format(const struct options *options, size_t option, char *ret_text,
                    size_t ret_text_bytes);

/** Returns the source of the value in force, for display: "built-in", "CUPOOL_MODE". */
void options_format_source(const struct options *options, size_t option, char *ret_text,
                           size_t ret_text_bytes);

/** The option's own variable: CUPOOL_KEY. */
void options_variable(size_t option, char *ret_text, size_t ret_text_bytes);

/**
 * Parses a size: 512, 64KiB, 1.5 GiB (binary units B, K, M, G, T, with or without iB), and a
 * fraction of the device such as 12.5% if `percent_allowed`. Errors: -EINVAL not a size, -ERANGE
 * does not fit 64 bits.
 */
int option_size_parse(const char *text, bool percent_allowed, struct option_size *ret_size);

/**
 * Parses a size that a row's accepted column permits: "min..max", "power of two", "multiple of
 * SIZE", "%", and also 0 if it begins with "0, or".
 * Errors as option_size_parse(); -EINVAL for what the column does not permit.
 */
int option_size_parse_within(const char *text, const char *accepted, struct option_size *ret_size);

/**
 * Parses a time: 0, 250ms, 1.5s, 10m (ns, us, ms, s, m, h); a number other than 0 needs its unit.
 * Errors as option_size_parse().
 */
int option_duration_parse(const char *text, uint64_t *ret_ns);

/** A time in the largest unit that divides it. */
void option_duration_format(uint64_t ns, char *ret_text, size_t ret_text_bytes);

#ifdef __cplusplus
}
#endif

#endif
