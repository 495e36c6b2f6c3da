/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), the checksum of the trace file.
 *
 * Threading: pure function.
 */
#ifndef CUPTI_BASE_CRC32C_H
#define CUPTI_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** The checksum of `bytes` bytes; 0 bytes give 0. "123456789" gives 0xe3069283. */
uint32_t crc32c(const void *data, size_t bytes);

#endif
