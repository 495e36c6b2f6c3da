/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the decoder of blocks. As they are, they are refused or valid. With corrected
 * checksums, so that the payload is reached, they are refused or decoded within the block. A
 * decoded block is encoded losslessly and restored.
 *
 * An input is an encoded block.
 *
 * Threading: single-threaded.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/cupool/codec.h"
#include "tests/fuzz/fuzz.h"

#define RAW_MAX ((size_t)1 << 20)

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static void seal(uint8_t *encoded, size_t bytes)
{
    struct cupool_codec_header header;

    memcpy(&header, encoded, sizeof(header));
    header.magic = CUPOOL_CODEC_MAGIC_NUMBER;
    header.version = CUPOOL_CODEC_VERSION_NUMBER;
    header.payload_bytes = bytes - sizeof(header);
    header.payload_crc = cupool_codec_crc32c(0, encoded + sizeof(header), header.payload_bytes);
    header.header_crc = cupool_codec_crc32c(0, &header,
                                            offsetof(struct cupool_codec_header, header_crc));
    memcpy(encoded, &header, sizeof(header));
}

/* Lossless encoding of a raw block of any bytes, and decoding. */
static void round_trip(struct cupool_codec_config config, void *raw, size_t raw_bytes)
{
    struct cupool_codec_info info;

    config.codec = config.type == CUPOOL_CODEC_TYPE_F32 ? CUPOOL_CODEC_RAW : CUPOOL_CODEC_LOSSLESS;
    expect(cupool_codec_query(&config, &info) == 0 && info.raw_bytes == raw_bytes);
    void *encoded = malloc(info.maximum_bytes), *again = malloc(raw_bytes);
    struct cupool_codec_block block = {
        .raw = raw, .encoded = encoded, .encoded_bytes = info.maximum_bytes};
    expect(encoded && again && cupool_codec_encode(&config, &block, 1) == 0);
    block.raw = again;
    expect(cupool_codec_decode(&config, &block, 1) == 0 && memcmp(raw, again, raw_bytes) == 0);
    free(encoded);
    free(again);
}

static void decode_check(uint8_t *encoded, size_t bytes)
{
    struct cupool_codec_header header;
    struct cupool_codec_config config;
    struct cupool_codec_info info;
    enum cupool_codec_fault fault;
    int result = cupool_codec_verify(encoded, bytes, &header, &fault);

    expect(result == (fault == CUPOOL_CODEC_SOUND ? 0 : -EBADMSG));
    if (result < 0)
        return;
    cupool_codec_config_of(&header, &config);
    expect(cupool_codec_query(&config, &info) == 0);
    if (info.raw_bytes > RAW_MAX)
        return;
    struct cupool_codec_block block = {
        .raw = malloc(info.raw_bytes), .encoded = encoded, .encoded_bytes = bytes};
    expect(block.raw);
    result = cupool_codec_decode(&config, &block, 1);
    expect(result == 0 || (result == -EBADMSG && block.fault == CUPOOL_CODEC_PAYLOAD));
    round_trip(config, block.raw, info.raw_bytes);
    free(block.raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *encoded = malloc(bytes ? bytes : 1); /* exactly as long, and aligned */

    expect(encoded);
    memcpy(encoded, data, bytes);
    decode_check(encoded, bytes);
    if (bytes >= sizeof(struct cupool_codec_header)) {
        seal(encoded, bytes);
        decode_check(encoded, bytes);
    }
    free(encoded);
    return 0;
}
