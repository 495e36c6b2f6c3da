/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C by the SSE 4.2 instruction where the processor has it, else nibble by nibble.
 *
 * The slow path keeps a table of 16 words: it runs once per 64 KiB, on processors that are very
 * rare.
 */
#include "cupti/base/crc32c.h"

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
#define POLYNOMIAL UINT32_C(0x82f63b78) /* reflected: the highest bit is x^0 */
#define ONE        UINT32_C(0x80000000)
#define LONG_BYTES 1024 /* below this one stream is as quick */

/** Product of two polynomials modulo the CRC's. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (uint32_t bit = ONE; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

/** Returns the register after `bytes` zero bytes. */
static uint32_t follow_zeros(uint32_t crc, size_t bytes)
{
    uint32_t power = ONE >> 8; /* x^8, then its squares */

    for (; bytes; bytes >>= 1) {
        if (bytes & 1)
            crc = multiply(power, crc);
        power = multiply(power, power);
    }
    return crc;
}

__attribute__((target("sse4.2"))) static uint64_t step(uint64_t crc, const unsigned char *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return __builtin_ia32_crc32di(crc, word);
}

/** Runs three streams side by side, because the instruction's latency is three times its
 * throughput. */
__attribute__((target("sse4.2"))) static uint32_t crc32c_threefold(uint32_t crc,
                                                                   const unsigned char *data,
                                                                   size_t third)
{
    uint64_t first = crc, second = 0, last = 0;

    for (size_t i = 0; i < third; i += sizeof first) {
        first = step(first, data + i);
        second = step(second, data + third + i);
        last = step(last, data + 2 * third + i);
    }
    second ^= follow_zeros((uint32_t)first, third);
    return (uint32_t)last ^ follow_zeros((uint32_t)second, third);
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse(uint32_t crc,
                                                             const unsigned char *data,
                                                             size_t bytes)
{
    if (bytes >= LONG_BYTES) {
        size_t third = bytes / 3 / sizeof(uint64_t) * sizeof(uint64_t);

        crc = crc32c_threefold(crc, data, third);
        data += 3 * third;
        bytes -= 3 * third;
    }
    for (; bytes >= sizeof(uint64_t); data += sizeof(uint64_t), bytes -= sizeof(uint64_t))
        crc = (uint32_t)step(crc, data);
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
