/* SPDX-License-Identifier: MIT */
/*
 * The values of placeholders are not known here (a script runs under its interpreter, a program
 * starts others), so each matches anything, and the header decides.
 */
#include "tools/cli/traces.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/outplace.h"
#include "cupti/format/trace_format.h"
#include "tools/base/glob.h"

#define FOLDERS_MOST 4 /* that may begin with a dot: each doubles the patterns */

/** A shell pattern that matches all names of a trace pattern. For a dot in front of a folder's
 * name, glob() needs an alternative. */
static char *shell_pattern(const char *pattern)
{
    char *shell = malloc(3 * strlen(pattern) + 4 * FOLDERS_MOST + 2), *to = shell;
    const char *begin = pattern;
    unsigned folders = 0;

    if (!shell)
        return NULL;
    while (*pattern) {
        if (pattern[0] == '%' && pattern[1] == '%') {
            *to++ = '%';
            pattern += 2;
        } else if (pattern[0] == '%' && pattern[1]) {
            const char *end = pattern[1] == 'q' ? strchr(pattern, '}') : NULL;

            if ((pattern == begin || pattern[-1] == '/') && strchr(pattern, '/') &&
                folders++ < FOLDERS_MOST)
                to = stpcpy(to, "{.,}");
            *to++ = '*';
            pattern = end ? end + 1 : pattern + 2;
        } else {
            to = glob_literal(to, pattern++, 1);
        }
    }
    *to++ = '*'; /* the writer appends .PID to a name that is taken */
    *to = '\0';
    return shell;
}

static int examine(const struct outplace *place, struct trace_file *ret_file)
{
    struct trace_file_header header;
    struct stat status;
    int fd = openat(place->directory, place->name,
                    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY),
        error = -EBADMSG;

    if (fd < 0)
        return errno == ELOOP ? -EBADMSG : -errno;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
        header.magic == TRACE_FILE_MAGIC) {
        *ret_file = (struct trace_file){.bytes = (uint64_t)status.st_size,
                                        .start_realtime_ns = header.start_realtime_ns,
                                        .origin = header.origin,
                                        .pid = (pid_t)header.pid};
        error = status.st_uid == geteuid() && status.st_nlink == 1 ? 0 : -EACCES;
    }
    close(fd);
    return error;
}

int traces_examine(const char *path, struct trace_file *ret_file)
{
    struct outplace place;
    int error = outplace_find_itself(path, &place);

    if (error < 0)
        return error;
    error = examine(&place, ret_file);
    close(place.directory);
    return error;
}

int traces_remove(const char *path)
{
    struct trace_file file;
    struct outplace place;
    int error = outplace_find_itself(path, &place);

    if (error < 0)
        return error;
    error = examine(&place, &file);
    if (error == 0 && unlinkat(place.directory, place.name, 0) < 0)
        error = -errno;
    close(place.directory);
    return error;
}

static int files_add(struct trace_files *files, const char *path, uint64_t since_realtime_ns)
{
    struct trace_file file = {0}, *grown;
    int error = traces_examine(path, &file);

    files->foreign += error == -EACCES && file.start_realtime_ns >= since_realtime_ns;
    if (error < 0 || file.start_realtime_ns < since_realtime_ns)
        return 0;
    grown = realloc(files->file, (files->count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    files->file = grown;
    file.path = strdup(path);
    if (!file.path)
        return -ENOMEM;
    grown[files->count++] = file;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct trace_file *left = a, *right = b;

    if (left->start_realtime_ns != right->start_realtime_ns)
        return left->start_realtime_ns < right->start_realtime_ns ? -1 : 1;
    return strcmp(left->path, right->path);
}

/** Counts the names "." and ".." in a path. */
static size_t dots_count(const char *path)
{
    size_t count = 0;

    for (const char *name = path; *name; name += strspn(name, "/")) {
        size_t length = strcspn(name, "/");

        count += length && length <= 2 && strspn(name, ".") >= length;
        name += length;
    }
    return count;
}

/** A placeholder matches names with a dot in front, as a program may have, but neither "." nor
 * "..". */
static bool adds_dots(const char *shell, const char *path)
{
    return dots_count(path) > dots_count(shell);
}

int traces_find(const char *pattern, uint64_t since_realtime_ns, struct trace_files *ret_files)
{
    struct trace_files files = {0};
    char *shell = shell_pattern(pattern);
    glob_t found;
    int error = 0;

    if (!shell)
        return -ENOMEM;
    if (glob(shell, GLOB_PERIOD | GLOB_BRACE, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && error == 0; i++)
            if (!adds_dots(shell, found.gl_pathv[i]))
                error = files_add(&files, found.gl_pathv[i], since_realtime_ns);
        globfree(&found);
    }
    free(shell);
    if (error < 0) {
        traces_done(&files);
        return error;
    }
    if (files.count)
        qsort(files.file, files.count, sizeof *files.file, compare);
    *ret_files = files;
    return 0;
}

const struct trace_file *traces_of(const struct trace_files *files, pid_t pid, uint64_t origin)
{
    const struct trace_file *perhaps = NULL;

    for (size_t i = files->count; i-- > 0;) {
        const struct trace_file *file = &files->file[i];

        if (file->pid != pid)
            continue;
        if (origin && file->origin == origin)
            return file;
        if (!perhaps && (!origin || !file->origin))
            perhaps = file;
    }
    return perhaps;
}

void traces_done(struct trace_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->file[i].path);
    free(files->file);
    *files = (struct trace_files){0};
}

int traces_pattern_absolute(const char *pattern, char **ret_pattern)
{
    char *directory = *pattern == '/' ? strdup("") : getcwd(NULL, 0), *absolute, *to;

    if (!directory)
        return -errno;
    to = absolute = malloc(2 * strlen(directory) + strlen(pattern) + 2);
    if (!absolute) {
        free(directory);
        return -ENOMEM;
    }
    for (const char *from = directory; *from; from++) {
        if (*from == '%')
            *to++ = '%';
        *to++ = *from;
    }
    sprintf(to, "%s%s", *directory ? "/" : "", pattern);
    free(directory);
    *ret_pattern = absolute;
    return 0;
}
