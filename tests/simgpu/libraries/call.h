/* SPDX-License-Identifier: MIT */
/*
 * Math libraries that compute nothing. Every exported function is a row of a list (NAME.def,
 * written by the script list), which says what it does with its arguments:
 *
 * CREATE(name, at)                a new object into the pointer that is argument `at`
 * DESTROY(name)                   the end of the object that is argument 0
 * SET(name, key), GET(name, key, bytes)   a property of an object
 * ATTRIBUTE_SET(name), ATTRIBUTE_GET(name)   (object, attribute, buffer, size[, size written])
 * SIZES(name, at, bytes, at, bytes)   plausible sizes into one pointer or two
 * ZEROS(name, mask4, mask8)       zeros of 4 or 8 bytes into the arguments of the masks
 * WORK(name, at)                  work on a stream: argument `at`; -1: the object's; -2: the
 * default ZERO(name)                      a floating-point result of the library's first interface
 * NOTHING(name)                   success
 * OWN(name)                       a body in own.c
 *
 * Arguments are numbered as the ABI passes integers and pointers: floating-point ones do not count.
 * Work is a unit on the stream, as a kernel that is skipped: it takes its place in order, captures
 * and counts, and touches no memory. An object that is no object is refused.
 */
#ifndef SIMGPU_LIBRARIES_CALL_H
#define SIMGPU_LIBRARIES_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIBRARY_API __attribute__((visibility("default")))

/** Error code of a library; 0 is success in all of them. */
struct library_errors {
    int no_handle;
    int failed;
};
extern const struct library_errors library_errors; /* own.c */

typedef const uintptr_t *call_arguments;

/** What SIZES and workspaces are: bytes, and elements where a count is asked for. */
#define LIBRARY_WORKSPACE_BYTES ((size_t)1 << 20)

int call_create(call_arguments a, int at);
int call_destroy(call_arguments a);
int call_set(call_arguments a, const char *key);
int call_get(call_arguments a, const char *key, int bytes);
int call_attribute_set(call_arguments a);
int call_attribute_get(call_arguments a);
int call_sizes(call_arguments a, int first_at, int first_bytes, int second_at, int second_bytes);
int call_zeros(call_arguments a, unsigned mask4, unsigned mask8);
int call_work(call_arguments a, int stream_at, const char *function);

/** Properties of an object by number; the last kept value, at most `bytes`. False: no object. */
bool object_keep(void *object, uint64_t key, const void *value, size_t bytes);
/** Number of kept bytes; at most `room` are copied. 0 without any. */
size_t object_kept(void *object, uint64_t key, void *ret, size_t room);

#endif
