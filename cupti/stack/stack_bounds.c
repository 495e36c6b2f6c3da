/* SPDX-License-Identifier: MIT */
/*
 * See stack_bounds.h. System calls are made directly: the C library's functions are points where a
 * thread may be cancelled.
 */
#include "cupti/stack/stack_bounds.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOKS_MOST 64
/* The kernel keeps at least 128 MiB below the main stack's end free of other mappings. */
#define MAIN_BYTES (UINT64_C(8) << 20)
#define LINE_BYTES 128

struct bounds {
    uintptr_t low, high;                 /* of the thread's own stack; 0: not looked */
    uintptr_t foreign_low, foreign_high; /* of the last stack that is not its own */
    unsigned looks;
};

static __thread struct bounds bounds __attribute__((tls_model("initial-exec")));

struct mapping {
    uintptr_t low, high;
    bool is_main_stack;
};

static const char *hex_read(const char *text, uintptr_t *ret_value)
{
    uintptr_t value = 0;

    for (;; text++) {
        if (*text >= '0' && *text <= '9')
            value = value << 4 | (uintptr_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            value = value << 4 | (uintptr_t)(*text - 'a' + 10);
        else
            break;
    }
    *ret_value = value;
    return text;
}

/** Whether a line of the list is the mapping of an address. */
static bool line_match(const char *line, uintptr_t address, struct mapping *ret_mapping)
{
    uintptr_t low, high;
    const char *end = hex_read(line, &low);

    if (*end != '-')
        return false;
    hex_read(end + 1, &high);
    if (address < low || address >= high)
        return false;
    *ret_mapping = (struct mapping){low, high, strstr(line, " [stack]") != NULL};
    return true;
}

static bool mapping_search(int file, uintptr_t address, struct mapping *ret_mapping)
{
    char part[2048], line[LINE_BYTES];
    size_t length = 0;
    long got;

    while ((got = syscall(SYS_read, file, part, sizeof part)) > 0)
        for (long i = 0; i < got; i++) {
            if (part[i] != '\n') {
                if (length + 1 < sizeof line)
                    line[length++] = part[i];
                continue;
            }
            line[length] = '\0';
            length = 0;
            if (line_match(line, address, ret_mapping))
                return true;
        }
    return false;
}

static bool mapping_find(uintptr_t address, struct mapping *ret_mapping)
{
    long file = syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    bool found;

    if (file < 0)
        return false;
    found = mapping_search((int)file, address, ret_mapping);
    syscall(SYS_close, file);
    return found;
}

static uintptr_t look(uintptr_t stack_pointer)
{
    uintptr_t control = (uintptr_t)pthread_self();
    struct mapping mapping;

    if (bounds.looks++ >= LOOKS_MOST || !mapping_find(stack_pointer, &mapping))
        return 0;
    if (mapping.is_main_stack) {
        bounds.high = mapping.high;
        bounds.low = mapping.high - MAIN_BYTES < mapping.low ? mapping.high - MAIN_BYTES
                                                             : mapping.low;
        return bounds.high;
    }
    if (control > stack_pointer && control <= mapping.high) {
        bounds.low = mapping.low;
        bounds.high = control;
        return bounds.high;
    }
    bounds.foreign_low = mapping.low;
    bounds.foreign_high = mapping.high;
    return 0;
}

uintptr_t stack_bounds_end(uintptr_t stack_pointer)
{
    if (__builtin_expect(stack_pointer >= bounds.low && stack_pointer < bounds.high, 1))
        return bounds.high;
    if (stack_pointer >= bounds.foreign_low && stack_pointer < bounds.foreign_high)
        return 0;
    return look(stack_pointer);
}
