/* SPDX-License-Identifier: MIT */
/*
 * Disk space for a file that will be written through a mapping: what is missing is an error here,
 * and never a SIGBUS in the traced program.
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_BASE_FILE_SPACE_H
#define CUPTI_BASE_FILE_SPACE_H

#include <stdint.h>

/**
 * Reserves the bytes from `from` up to `end`, and makes the file that long.
 * Errors: -EFBIG beyond the process's limit of file sizes, where the kernel would send SIGXFSZ;
 * others as the system said.
 */
int file_space_reserve(int fd, uint64_t from, uint64_t end);

#endif
