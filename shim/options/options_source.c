/* SPDX-License-Identifier: MIT */
/*
 * The sources of options: the file of CUPOOL_CONF, the list in CUPOOL, and one variable for each
 * option.
 *
 * A list is split at commas, and each part at its first colon. So a value may contain colons but no
 * comma; an option's own variable accepts any text. Empty variables count as unset.
 */
#include "shim/options/options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/pages.h"
#include "cupti/base/safe_text.h"

extern char **environ;

/** Variables with our prefix that are no options. */
static const char *const other_variables[] = {"CUPOOL_CONF", "CUPOOL_DEBUGINFOD", "CUPOOL_ENGINE",
                                              "CUPOOL_LIBRARY"};
static const char test_prefix[] = "CUPOOL_TEST_";

#define FILE_BYTES_MOST 65536
#define COMPLAINTS_MOST 10

static const char blanks[] = " \t\r";

static char *trim(char *text)
{
    char *end;

    text += strspn(text, blanks);
    end = text + strlen(text);
    while (end > text && strchr(blanks, end[-1]))
        end--;
    *end = '\0';
    return text;
}

static int tell(options_complain *complain, void *state, const char *where, const char *what,
                const char *text)
{
    char *line = complain ? pages_map(OPTIONS_LINE_BYTES) : NULL;

    if (!line)
        return 1;
    snprintf(line, OPTIONS_LINE_BYTES, "%s: %s '%.*s'; accepted: %s", where, what,
             (int)safe_text_cut(text, 200), text,
             strcmp(where, "CUPOOL") ? "lines key = value" : "key:value,key:value");
    complain(state, line);
    pages_unmap(line, OPTIONS_LINE_BYTES);
    return 1;
}

/** Sets one `key SEPARATOR value`. Returns the number of problems. */
static int pair_set(struct options *options, char *pair, char separator, enum option_source source,
                    const char *where, options_complain *complain, void *state)
{
    char *key = trim(pair), *value;

    if (!*key)
        return 0;
    value = strchr(key, separator);
    if (!value)
        return tell(complain, state, where, "missing value in", key);
    *value++ = '\0';
    return options_set(options, trim(key), trim(value), source, where, complain, state) < 0;
}

/* Finds the comma that ends a part of a list. Keys begin with a letter, so a comma before a
 * digit ends nothing. */
static const char *list_end(const char *list)
{
    const char *end = strchrnul(list, ',');

    while (*end && end[1] >= '0' && end[1] <= '9')
        end = strchrnul(end + 1, ',');
    return end;
}

static int list_set(struct options *options, const char *list, const char *where,
                    options_complain *complain, void *state)
{
    char *pair = pages_map(OPTIONS_LINE_BYTES);
    int problems = 0;

    while (pair && *list) {
        const char *end = list_end(list);
        size_t bytes = (size_t)(end - list);

        if (bytes < OPTIONS_LINE_BYTES) {
            memcpy(pair, list, bytes);
            pair[bytes] = '\0';
            problems += pair_set(options, pair, ':', OPTION_SOURCE_LIST, where, complain, state);
        } else {
            problems += tell(complain, state, where, "too long:", list);
        }
        list = *end ? end + 1 : end;
    }
    pages_unmap(pair, OPTIONS_LINE_BYTES);
    return problems;
}

/** State of reading a file line by line. */
struct line_reader {
    int fd;
    size_t left; /* bytes that are still to be read */
    size_t begin, end;
    char buffer[OPTIONS_LINE_BYTES];
    char line[OPTIONS_LINE_BYTES], where[OPTIONS_LINE_BYTES / 2];
};

#define INTERRUPTIONS_MAX 8

/** Returns the next byte, -1 at the end, negative errno - 1 on error. */
static int reader_byte(struct line_reader *reader)
{
    if (reader->begin == reader->end) {
        ssize_t got = -1;

        size_t room = reader->left < sizeof reader->buffer ? reader->left : sizeof reader->buffer;

        errno = EINTR;
        for (int tries = 0; got < 0 && errno == EINTR && tries < INTERRUPTIONS_MAX; tries++)
            got = read(reader->fd, reader->buffer, room);
        if (got <= 0)
            return got < 0 ? -errno - 1 : -1;
        reader->left -= (size_t)got;
        reader->begin = 0;
        reader->end = (size_t)got;
    }
    return (unsigned char)reader->buffer[reader->begin++];
}

/** Reads one line without its newline, cut to what fits, and says what is wrong with it, if
 * anything. 1: a line, 0: the end, or -errno. */
static int reader_line(struct line_reader *reader, char *ret_line, size_t ret_line_bytes,
                       const char **ret_fault)
{
    size_t used = 0;
    int byte;

    *ret_fault = NULL;
    while ((byte = reader_byte(reader)) >= 0 && byte != '\n') {
        if (used + 1 < ret_line_bytes)
            ret_line[used++] = (char)byte;
        else
            *ret_fault = "too long:";
        if (!byte)
            *ret_fault = "ignored because of a zero byte:";
    }
    ret_line[used] = '\0';
    if (byte < -1)
        return byte + 1;
    return byte >= 0 || used > 0;
}

static int file_error(const char *path, int error, options_complain *complain, void *state)
{
    char *line = complain ? pages_map(OPTIONS_LINE_BYTES) : NULL;

    if (!line)
        return 1;
    snprintf(line, OPTIONS_LINE_BYTES, "CUPOOL_CONF: cannot read '%.*s': %s",
             (int)safe_text_cut(path, 1000), path,
             error == -EINVAL  ? "not a regular file"
             : error == -EFBIG ? "longer than 64 KiB"
                               : strerror(-error));
    complain(state, line);
    pages_unmap(line, OPTIONS_LINE_BYTES);
    return 1;
}

/**
 * Accepts only a regular file: a program must not block on a pipe or a device. A file of 0 bytes,
 * as in /proc, is read as empty: it may have no end.
 */
static int file_open(const char *path, size_t *ret_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    int error = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0)
        error = -errno;
    else if (S_ISDIR(status.st_mode))
        error = -EISDIR;
    else if (!S_ISREG(status.st_mode))
        error = -EINVAL;
    else if (status.st_size > FILE_BYTES_MOST)
        error = -EFBIG;
    if (error == 0) {
        *ret_bytes = (size_t)status.st_size;
        return fd;
    }
    close(fd);
    return error;
}

static int file_set(struct options *options, const char *path, options_complain *complain,
                    void *state)
{
    struct line_reader *reader = pages_map(sizeof *reader);
    int problems = 0, number = 0, got = reader ? 0 : -ENOMEM;
    const char *fault;

    if (got == 0)
        got = reader->fd = file_open(path, &reader->left);
    while (got >= 0 && (got = reader_line(reader, reader->line, sizeof reader->line, &fault)) > 0) {
        snprintf(reader->where, sizeof reader->where, "%s:%d", path, ++number);
        *strchrnul(reader->line, '#') = '\0';
        if (fault)
            problems += tell(complain, state, reader->where, fault, reader->line);
        else
            problems += pair_set(options, reader->line, '=', OPTION_SOURCE_FILE, reader->where,
                                 complain, state);
    }
    if (got < 0)
        problems += file_error(path, got, complain, state);
    if (reader && reader->fd >= 0)
        close(reader->fd);
    pages_unmap(reader, sizeof *reader);
    return problems;
}

static bool variable_is_other(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof other_variables / sizeof *other_variables; i++)
        if (strlen(other_variables[i]) == length && !strncmp(other_variables[i], name, length))
            return true;
    return !strncmp(name, test_prefix, sizeof test_prefix - 1);
}

/** One variable CUPOOL_KEY=value. */
static int variable_set(struct options *options, const char *variable, options_complain *complain,
                        void *state)
{
    const char *equals = strchr(variable, '=');
    size_t length = equals ? (size_t)(equals - variable) : 0;
    char name[64], key[64];

    if (!equals || !equals[1] || variable_is_other(variable, length))
        return 0;
    snprintf(name, sizeof name, "%.*s", (int)length, variable);
    snprintf(key, sizeof key, "%s", name + strlen("CUPOOL_"));
    for (char *c = key; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return options_set(options, key, equals + 1, OPTION_SOURCE_ENVIRONMENT, name, complain, state) <
           0;
}

/** Passes the first complaints on. */
struct complaints {
    options_complain *complain;
    void *state;
    int count;
};

static void complain_bounded(void *state, const char *line)
{
    struct complaints *complaints = state;

    if (complaints->complain && complaints->count++ < COMPLAINTS_MOST)
        complaints->complain(complaints->state, line);
}

/** Says how many complaints were not passed on. */
static void complaints_end(const struct complaints *complaints)
{
    char line[64];

    if (complaints->count <= COMPLAINTS_MOST)
        return;
    snprintf(line, sizeof line, "%d more bad option%s: correct those above first",
             complaints->count - COMPLAINTS_MOST,
             complaints->count - COMPLAINTS_MOST > 1 ? "s" : "");
    complaints->complain(complaints->state, line);
}

int options_set_list(struct options *options, const char *list, options_complain *complain,
                     void *state)
{
    return options_set_list_of(options, list, "CUPOOL", complain, state);
}

int options_set_list_of(struct options *options, const char *list, const char *where,
                        options_complain *complain, void *state)
{
    struct complaints complaints = {complain, state, 0};
    int problems = list_set(options, list, where, complain_bounded, &complaints);

    complaints_end(&complaints);
    return problems;
}

int options_read_file(struct options *options, const char *path, options_complain *complain,
                      void *state)
{
    struct complaints complaints = {complain, state, 0};
    int problems = file_set(options, path, complain_bounded, &complaints);

    complaints_end(&complaints);
    return problems;
}

int options_load(struct options *ret_options, options_complain *complain, void *state)
{
    const char *file = getenv("CUPOOL_CONF"), *list = getenv("CUPOOL");
    struct complaints complaints = {complain, state, 0};
    int problems = 0;

    options_init(ret_options);
    if (file && *file)
        problems += file_set(ret_options, file, complain_bounded, &complaints);
    if (list && *list)
        problems += list_set(ret_options, list, "CUPOOL", complain_bounded, &complaints);
    for (char **variable = environ; variable && *variable; variable++)
        if (!strncmp(*variable, "CUPOOL_", strlen("CUPOOL_")))
            problems += variable_set(ret_options, *variable, complain_bounded, &complaints);
    complaints_end(&complaints);
    return problems;
}
