/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C by the SSE 4.2 instruction where the processor has it, else nibble by nibble.
 *
 * The slow way keeps a table of 16 words: it runs once per 64 KiB on processors that hardly exist.
 */
#include "cupti/crc32c.h"

#include <string.h>

static uint32_t crc32c_portable(uint32_t crc, const unsigned char *data, size_t bytes)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    while (bytes--) {
        crc ^= *data++;
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc,
                                                             const unsigned char *data,
                                                             size_t bytes)
{
    uint64_t wide = crc, word;

    for (; bytes >= sizeof word; data += sizeof word, bytes -= sizeof word) {
        memcpy(&word, data, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (bytes--)
        crc = __builtin_ia32_crc32qi(crc, *data++);
    return crc;
}
#endif

uint32_t crc32c(const void *data, size_t bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_sse(UINT32_MAX, data, bytes);
#endif
    return ~crc32c_portable(UINT32_MAX, data, bytes);
}
