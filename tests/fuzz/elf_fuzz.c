/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the reader of ELF files and debug information: for any input, the result is names
 * and lines, or nothing. A file is used only if its build-id is the recorded one, so that is taken
 * from the input; addresses are spread over the file, and a few are special.
 *
 * Threading: single-threaded.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/symbols/symbols.h"

#define ID_MOST_BYTES 64
#define ADDRESSES     64

/** The first build-id that the bytes hold, in hexadecimal; empty: none. */
static void build_id_find(const uint8_t *data, size_t bytes, char ret_id[2 * ID_MOST_BYTES + 1])
{
    /* A note: its name's length, its length, NT_GNU_BUILD_ID, "GNU". */
    static const uint8_t type_and_name[] = {3, 0, 0, 0, 'G', 'N', 'U', '\0'};

    *ret_id = '\0';
    for (size_t at = 8; at + sizeof type_and_name <= bytes; at++) {
        uint32_t length;

        if (memcmp(data + at, type_and_name, sizeof type_and_name) != 0)
            continue;
        memcpy(&length, data + at - 4, sizeof length);
        at += sizeof type_and_name;
        if (length > ID_MOST_BYTES || length > bytes - at)
            return;
        for (uint32_t i = 0; i < length; i++)
            snprintf(ret_id + 2 * (size_t)i, 3, "%02x", data[at + i]);
        return;
    }
}

static void symbol_check(const struct symbol *symbol)
{
    char text[300];
    size_t length = 0;

    symbol_text(symbol, text, sizeof text);
    length += strlen(text);
    for (size_t i = 0; i < symbol->frames; i++) {
        length += symbol->frame[i].function ? strlen(symbol->frame[i].function) : 0;
        length += symbol->frame[i].file ? strlen(symbol->frame[i].file) : 0;
    }
    if (length == SIZE_MAX) /* read everything */
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint64_t special[] = {0, 1, INT64_MAX, UINT64_MAX};
    char path[64], build_id[2 * ID_MOST_BYTES + 1];
    struct trace_site site = {.module = path, .build_id = build_id};
    int file = memfd_create("elf", MFD_CLOEXEC);

    if (file < 0 || write(file, data, bytes) != (ssize_t)bytes)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    build_id_find(data, bytes, build_id);
    for (size_t i = 0; i < ADDRESSES; i++) {
        site.offset = bytes * i / ADDRESSES;
        symbol_check(symbols_get(&site));
    }
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        site.offset = special[i];
        symbol_check(symbols_get(&site));
    }
    symbols_done();
    close(file);
    return 0;
}
