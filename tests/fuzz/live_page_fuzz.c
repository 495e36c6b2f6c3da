/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the reader of live pages: a page is refused or shown, alone, beside a second one
 * and as OpenMetrics text, in a bounded number of lines. An input is the beginning of two pages,
 * each filled up with zeros; its first byte says how many parts of 64 belong to the first, 0: all.
 *
 * Threading: single-threaded.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tools/live/live_processes.h"

#define LINES_MOST 20000 /* 48 figures of 32 contexts of two pages with their peaks, and more */

static bool page_read(const uint8_t *data, size_t bytes, struct live_page *ret_page)
{
    int fd = memfd_create("page", MFD_CLOEXEC), error;

    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes ||
        ftruncate(fd, sizeof(struct live_page)) < 0)
        abort();
    error = live_page_read(fd, ret_page);
    close(fd);
    return error == 0;
}

static void lines_check(const char *text)
{
    size_t lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    if (lines > LINES_MOST)
        abort();
}

static void show(const struct live_processes *now, const struct live_processes *before)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (!out)
        abort();
    for (unsigned columns = 20; columns <= 100; columns += 80)
        live_text_print(now, before, UINT64_C(2000000000),
                        &(struct live_view){.columns = columns, .plain = columns < 100}, out);
    live_metrics_print(now, out);
    if (fclose(out) != 0 || !text)
        abort();
    lines_check(text);
    free(text);
}

/** An even sequence: a page that is being written is read again for a while. */
static void sequence_settle(uint8_t *data, size_t bytes)
{
    if (bytes > offsetof(struct live_page, sequence))
        data[offsetof(struct live_page, sequence)] &= 0xfe;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct live_page pages[2], before;
    struct live_processes now = {.page = pages}, earlier = {.page = &before};
    size_t rest = bytes ? bytes - 1 : 0, first = rest;
    uint8_t *copy;

    if (!bytes || rest > sizeof before)
        return 0;
    if (data[0] & 63)
        first = rest * (data[0] & 63) / 64;
    copy = malloc(bytes);
    if (!copy)
        abort();
    memcpy(copy, data + 1, rest);
    sequence_settle(copy, first);
    sequence_settle(copy + first, rest - first);
    now.count += page_read(copy, first, &pages[now.count]);
    now.count += page_read(copy + first, rest - first, &pages[now.count]);
    free(copy);
    before = pages[0];
    earlier.count = now.count > 0;
    show(&now, &(struct live_processes){0});
    show(&now, &earlier);
    return 0;
}
