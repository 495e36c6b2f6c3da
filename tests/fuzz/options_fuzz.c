/* SPDX-License-Identifier: MIT */
/*
 * Feeds bytes to the parser of options: as the file of CUPOOL_CONF and, line by line, as the
 * variable CUPOOL. For any input, each complaint is one line, and every value in force can be
 * written and read back.
 *
 * Threading: single-threaded.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/options/options.h"

/** Reference for error messages. */
struct complaints {
    unsigned count;
};

static void complaint_check(void *state, const char *line)
{
    struct complaints *complaints = state;

    complaints->count++;
    if (!*line || strlen(line) >= OPTIONS_LINE_BYTES || strchr(line, '\n'))
        abort();
}

static void problems_check(const struct complaints *complaints, int problems)
{
    if (problems < 0 || (problems == 0) != (complaints->count == 0) || complaints->count > 11)
        abort();
}

/** A value that was written as text is the same value when it is read. */
static void values_check(const struct options *options)
{
    struct options again;
    char first[OPTIONS_LINE_BYTES], second[OPTIONS_LINE_BYTES], source[64];

    options_init(&again);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = options_row(i);

        if (!row || options->source[i] > OPTION_SOURCE_COMMAND)
            abort();
        options_format(options, i, first, sizeof first);
        options_format_source(options, i, source, sizeof source);
        if (*first &&
            options_set(&again, row->key, first, OPTION_SOURCE_COMMAND, "fuzz", NULL, NULL) < 0)
            abort();
        options_format(&again, i, second, sizeof second);
        if (*first && strcmp(first, second) != 0)
            abort();
    }
}

static void file_feed(const uint8_t *data, size_t bytes)
{
    struct complaints complaints = {0};
    struct options options;
    char path[64];
    int file = memfd_create("options", MFD_CLOEXEC);

    if (file < 0 || write(file, data, bytes) != (ssize_t)bytes)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    options_init(&options);
    problems_check(&complaints, options_read_file(&options, path, complaint_check, &complaints));
    values_check(&options);
    close(file);
}

static void list_feed(const uint8_t *data, size_t bytes)
{
    struct complaints complaints = {0};
    struct options options;
    char *list = malloc(bytes + 1);

    if (!list)
        abort();
    memcpy(list, data, bytes);
    list[bytes] = '\0';
    for (char *c = list; (c = strchr(c, '\n'));)
        *c = ',';
    for (char *c = list; (c = strchr(c, '='));)
        *c = ':';
    options_init(&options);
    problems_check(&complaints, options_set_list(&options, list, complaint_check, &complaints));
    values_check(&options);
    free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    file_feed(data, bytes);
    list_feed(data, bytes);
    return 0;
}
