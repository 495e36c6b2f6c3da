/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the readers of budgets and baselines: for any input, the result is one line of
 * error or a value. Input that begins with a brace is a baseline; a valid one is compared with the
 * first valid one, in every format of a difference.
 *
 * Threading: single-threaded.
 */
#include "tests/fuzz/budget_fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tools/budget/budget.h"
#include "tools/budget/difference.h"
#include "tools/base/escape.h"
#include "tools/budget/snapshot.h"

/** An error is one line, with only characters permitted in a line. */
static void why_check(const char *why)
{
    char *line = NULL;
    size_t bytes = 0;
    uint32_t character;
    FILE *out = open_memstream(&line, &bytes);

    if (!*why || !out)
        abort();
    escape_line(out, "cupool check: %s", why);
    if (fclose(out) != 0 || !bytes || line[bytes - 1] != '\n')
        abort();
    for (size_t at = 0; at < bytes - 1;) {
        size_t length = escape_next(line + at, &character);

        if ((unsigned char)line[at] < ' ' || strncmp(line + at, "##", 2) == 0 ||
            (character == 0xfffd && strncmp(line + at, "\xef\xbf\xbd", 3) != 0))
            abort();
        at += length;
    }
    free(line);
}

static void difference_make(const struct snapshot *base, const struct snapshot *fresh)
{
    const struct difference_style style = {.base = "base", .fresh = "fresh", .tolerance = "+0%"};
    const struct tolerance tolerance = {0};
    struct difference *difference;
    char *text = NULL, devices[256];
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (!out || difference_create(base, fresh, &tolerance, &difference) < 0 ||
        difference_text(difference, &style, out) < 0 ||
        difference_markdown(difference, &style, out) < 0 ||
        difference_json(difference, &style, out) < 0)
        abort();
    difference_of_devices(base, fresh, devices, sizeof devices);
    difference_destroy(difference);
    fclose(out);
    free(text);
}

static void baseline_use(struct snapshot *snapshot)
{
    static struct snapshot *first;

    if (first) {
        difference_make(first, snapshot);
        difference_make(snapshot, first);
        snapshot_destroy(snapshot);
    } else {
        first = snapshot;
    }
}

static bool file_read(const char *path, bool is_baseline)
{
    struct snapshot *snapshot;
    struct budget *budget;
    char why[1024] = "";

    if (is_baseline && baseline_read(path, &snapshot, why, sizeof why) == 0) {
        baseline_use(snapshot);
        return true;
    }
    if (!is_baseline && budget_read(path, &budget, why, sizeof why) == 0) {
        budget_destroy(budget);
        return true;
    }
    why_check(why);
    return false;
}

bool budget_inputs_fuzz(const void *data, size_t bytes)
{
    bool is_baseline = bytes && *(const char *)data == '{', sound;
    int fd = memfd_create("input", MFD_CLOEXEC);
    char path[64];

    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    sound = file_read(path, is_baseline);
    close(fd);
    return sound;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    budget_inputs_fuzz(data, bytes);
    return 0;
}
