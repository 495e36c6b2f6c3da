/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C. Where the processor has the instruction, three streams at once hide its latency of
 * three cycles; elsewhere eight table look-ups handle eight bytes.
 */
#include "kernels/codec/methods.h"

#include <pthread.h>
#include <stdbool.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define POLYNOMIAL   0x82f63b78u
#define STREAM_BYTES 1024

static uint32_t tables[8][256];
/* Shifts a remainder over STREAM_BYTES zeros, a byte of it at a time. */
static uint32_t shift_tables[4][256];

static void tables_fill(void)
{
    for (uint32_t at = 0; at < 256; at++) {
        uint32_t crc = at;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][at] = crc;
    }
    for (uint32_t at = 0; at < 256; at++)
        for (int each = 1; each < 8; each++)
            tables[each][at] = tables[each - 1][at] >> 8 ^ tables[0][tables[each - 1][at] & 0xff];
    for (uint32_t side = 0; side < 4; side++)
        for (uint32_t at = 0; at < 256; at++) {
            uint32_t crc = at << 8 * side;

            for (int zero = 0; zero < STREAM_BYTES; zero++)
                crc = crc >> 8 ^ tables[0][crc & 0xff];
            shift_tables[side][at] = crc;
        }
}

static void tables_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, tables_fill);
}

static uint32_t crc_plain(uint32_t crc, const uint8_t *data, size_t bytes)
{
    for (; bytes >= 8; data += 8, bytes -= 8) {
        crc ^= data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        crc = tables[7][crc & 0xff] ^ tables[6][crc >> 8 & 0xff] ^ tables[5][crc >> 16 & 0xff] ^
              tables[4][crc >> 24] ^ tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]] ^
              tables[0][data[7]];
    }
    while (bytes-- > 0)
        crc = crc >> 8 ^ tables[0][(crc ^ *data++) & 0xff];
    return crc;
}

uint32_t codec_crc32c_plain(uint32_t crc, const void *data, size_t bytes)
{
    tables_ready();
    return ~crc_plain(~crc, data, bytes);
}

#if defined(__x86_64__)
static uint32_t crc_shift(uint32_t crc)
{
    return shift_tables[0][crc & 0xff] ^ shift_tables[1][crc >> 8 & 0xff] ^
           shift_tables[2][crc >> 16 & 0xff] ^ shift_tables[3][crc >> 24];
}

static uint64_t word_at(const uint8_t *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof(word));
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t crc_fast(uint32_t start, const uint8_t *data,
                                                           size_t bytes)
{
    uint64_t crc = start;

    for (; bytes >= 3 * STREAM_BYTES; data += 3 * STREAM_BYTES, bytes -= 3 * STREAM_BYTES) {
        uint64_t second = 0, third = 0;

        for (size_t at = 0; at < STREAM_BYTES; at += 8) {
            crc = _mm_crc32_u64(crc, word_at(data + at));
            second = _mm_crc32_u64(second, word_at(data + STREAM_BYTES + at));
            third = _mm_crc32_u64(third, word_at(data + 2 * STREAM_BYTES + at));
        }
        crc = crc_shift((uint32_t)crc) ^ second;
        crc = crc_shift((uint32_t)crc) ^ third;
    }
    for (; bytes >= 8; data += 8, bytes -= 8)
        crc = _mm_crc32_u64(crc, word_at(data));
    while (bytes-- > 0)
        crc = _mm_crc32_u8((uint32_t)crc, *data++);
    return (uint32_t)crc;
}

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static bool has_instruction(void)
{
    return false;
}

static uint32_t crc_fast(uint32_t crc, const uint8_t *data, size_t bytes)
{
    return crc_plain(crc, data, bytes);
}
#endif

uint32_t cupool_codec_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    if (!has_instruction())
        return codec_crc32c_plain(crc, data, bytes);
    tables_ready();
    return ~crc_fast(~crc, data, bytes);
}
