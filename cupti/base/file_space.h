/* SPDX-License-Identifier: MIT */
/*
 * Reserves disk space for a file that will be written through a mapping, so that missing space is
 * an error here and never a SIGBUS in the traced program.
 *
 * Threading: not thread-safe.
 */
#ifndef CUPTI_BASE_FILE_SPACE_H
#define CUPTI_BASE_FILE_SPACE_H

#include <stdint.h>

/**
 * Reserves the bytes from `from` up to `end`, and extends the file to there. Errors: -EFBIG beyond
 * the process's limit of file sizes, where the kernel would send SIGXFSZ; others from the system.
 */
int file_space_reserve(int fd, uint64_t from, uint64_t end);

#endif
