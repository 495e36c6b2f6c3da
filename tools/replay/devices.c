/* SPDX-License-Identifier: MIT */
#include "tools/replay/devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/options/options.h"
#include "tools/base/file/infile.h"

#define FILE_MOST_BYTES ((size_t)1 << 20)

static const struct {
    const char *name, *source;
    uint64_t usable_mib;
} built_in[] = {
#define DEVICE(name, nominal, usable, source) {name, source, usable},
#include "tools/replay/devices.def"
#undef DEVICE
};

struct device_row *devices_built_in(size_t *ret_count)
{
    size_t count = sizeof built_in / sizeof *built_in;
    struct device_row *rows = calloc(count, sizeof *rows);

    for (size_t i = 0; rows && i < count; i++) {
        snprintf(rows[i].name, sizeof rows[i].name, "%s", built_in[i].name);
        rows[i].usable_bytes = built_in[i].usable_mib << 20;
        rows[i].source = built_in[i].source;
    }
    *ret_count = count;
    return rows;
}

static char *trim(char *text)
{
    char *end;

    text += strspn(text, " \t\r");
    end = text + strlen(text);
    while (end > text && strchr(" \t\r", end[-1]))
        *--end = '\0';
    return text;
}

/* 1: a row was added; 0: the line says nothing. */
static int line_read(char *line, struct device_row *row)
{
    struct option_size size;
    char *value;

    line[strcspn(line, "#")] = '\0';
    line = trim(line);
    if (!*line)
        return 0;
    value = strrchr(line, '=');
    if (!value)
        return -EINVAL;
    *value++ = '\0';
    line = trim(line);
    if (!*line || strlen(line) >= sizeof row->name ||
        option_size_parse(trim(value), false, &size) < 0 || size.bytes == 0)
        return -EINVAL;
    *row = (struct device_row){.usable_bytes = size.bytes, .source = "file"};
    memcpy(row->name, line, strlen(line) + 1);
    return 1;
}

int devices_read(const char *path, struct device_row **ret_rows, size_t *ret_count, char *ret_why,
                 size_t why_bytes)
{
    struct device_row *rows = NULL;
    size_t bytes, count = 0, lines = 1;
    unsigned number = 0;
    char *text, *rest;
    int error = infile_read(path, FILE_MOST_BYTES, &text, &bytes);

    if (error < 0) {
        snprintf(ret_why, why_bytes, "%s: %s", path, infile_reason(error));
        return error;
    }
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    rows = calloc(lines, sizeof *rows);
    error = rows ? 0 : -ENOMEM;
    rest = text;
    for (char *line; error >= 0 && (line = strsep(&rest, "\n"));) {
        number++;
        error = line_read(line, &rows[count]);
        count += error > 0;
    }
    if (error == -EINVAL)
        snprintf(ret_why, why_bytes, "%s:%u: not a device: write 'name = bytes'", path, number);
    free(text);
    if (error < 0) {
        free(rows);
        return error;
    }
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}
