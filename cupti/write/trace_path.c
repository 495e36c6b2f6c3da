/* SPDX-License-Identifier: MIT */
/*
 * Expands file names of traces: %p pid, %e program, %h host, %n counter of files, %q{VAR}
 * environment, %%.
 *
 * A placeholder must not add directories: a slash in its value becomes an underscore.
 *
 * Threading: any thread; the counter is atomic and counts from 1 in each process.
 */
#include "cupti/write/trace_writer.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cupti/stack/module_find.h"
#include "cupti/base/pages.h"

static atomic_uint files;

struct path_output {
    char *text;
    size_t bytes, used;
};

static int output_add(struct path_output *output, const char *text, size_t length, bool flatten)
{
    if (output->used + length >= output->bytes)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < length; i++)
        output->text[output->used++] = flatten && text[i] == '/' ? '_' : text[i];
    return 0;
}

static int output_number(struct path_output *output, unsigned long number)
{
    char digits[24];

    return output_add(output, digits, (size_t)snprintf(digits, sizeof digits, "%lu", number), true);
}

static int output_host(struct path_output *output)
{
    char host[HOST_NAME_MAX + 1] = "";

    if (gethostname(host, sizeof host - 1) < 0)
        return -errno;
    return output_add(output, host, strlen(host), true);
}

/** Returns the file name of the running program, which for a script is its interpreter. */
static int output_program(struct path_output *output)
{
    char *path = pages_map(PATH_MAX), *name, *deleted;
    int error;

    if (!path)
        return -ENOMEM;
    module_program_path(path, PATH_MAX);
    name = strrchr(path, '/');
    name = name ? name + 1 : path;
    deleted = strstr(name, " (deleted)");
    if (deleted)
        *deleted = '\0';
    error = output_add(output, name, strlen(name), true);
    pages_unmap(path, PATH_MAX);
    return error;
}

/** `text` points behind "%q"; moves it behind "{NAME}". An unset variable adds nothing. */
static int output_variable(struct path_output *output, const char **text)
{
    const char *name = *text + 1, *end = strchr(name, '}');
    char variable[256];
    const char *value;

    if (**text != '{' || !end || end == name || (size_t)(end - name) >= sizeof variable)
        return -EINVAL;
    snprintf(variable, sizeof variable, "%.*s", (int)(end - name), name);
    *text = end + 1;
    value = getenv(variable);
    return value ? output_add(output, value, strlen(value), true) : 0;
}

/** `text` points behind the percent sign; moves it behind the placeholder. */
static int placeholder_expand(struct path_output *output, const char **text)
{
    switch (*(*text)++) {
    case 'p': return output_number(output, (unsigned long)getpid());
    case 'n': return output_number(output, atomic_fetch_add(&files, 1) + 1ul);
    case 'h': return output_host(output);
    case 'e': return output_program(output);
    case 'q': return output_variable(output, text);
    case '%': return output_add(output, "%", 1, false);
    default: return -EINVAL;
    }
}

static int pattern_expand(struct path_output *output, const char *pattern)
{
    int error = 0;

    while (error == 0 && *pattern) { /* on an error it may point behind the end */
        if (*pattern == '%') {
            pattern++;
            error = placeholder_expand(output, &pattern);
        } else {
            error = output_add(output, pattern++, 1, false);
        }
    }
    return error;
}

int trace_path_expand(const char *pattern, char *ret_path, size_t ret_path_bytes)
{
    struct path_output output = {
        .text = pages_map(PATH_MAX),
        .bytes = ret_path_bytes < PATH_MAX ? ret_path_bytes : PATH_MAX,
    };
    int error = *pattern ? 0 : -EINVAL;

    if (!output.text)
        return -ENOMEM;
    if (error == 0)
        error = pattern_expand(&output, pattern);
    if (error == 0) {
        memcpy(ret_path, output.text, output.used);
        ret_path[output.used] = '\0';
    }
    pages_unmap(output.text, PATH_MAX);
    return error;
}

const char *trace_writer_reason(int error)
{
    switch (error) {
    case -EINVAL: return "not a file name";
    case -ENOLINK: return "passes through another user's symbolic link";
    default: return strerror(-error);
    }
}
