/* SPDX-License-Identifier: MIT */
/*
 * Source lines under the names of sites, if the files exist.
 *
 * The file names come from the trace, which is not trusted. So only regular files with the
 * extension of a source language are read, one line each, and none if the report is anonymized. A
 * file changed since the recording began may have other lines, so it is not read.
 */
#include "tools/report/html/html_article.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/safe_text.h"
#include "tools/base/disguise.h"
#include "tools/report/html/html_table.h"

#define LINE_BYTES 160
#define FILE_BYTES (4 << 20) /* longer files are not read */

static bool is_source(const char *path)
{
    static const char *const endings[] = {".c",  ".cc",  ".cpp", ".cxx", ".cu",  ".cuh", ".h",
                                          ".hh", ".hpp", ".hxx", ".inl", ".ipp", ".py",  ".pyx",
                                          ".rs", ".f90", ".F90", ".jl",  ".tpp", ".go"};
    const char *ending = strrchr(path, '.');

    for (size_t i = 0; ending && i < sizeof endings / sizeof *endings; i++)
        if (!strcmp(ending, endings[i]))
            return true;
    return false;
}

/** NULL: no such file, not a source file, or changed after `since_ns`. */
static FILE *source_open(const char *path, uint64_t since_ns)
{
    int fd = *path == '/' && is_source(path)
                 ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
                 : -1;
    struct stat status;
    FILE *file = NULL;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= FILE_BYTES &&
        (uint64_t)status.st_mtime <= since_ns / 1000000000)
        file = fdopen(fd, "r");
    if (!file)
        close(fd);
    return file;
}

/** Returns a line without its indentation, cut to LINE_BYTES; empty: none. */
static void line_read(const char *path, uint64_t number, uint64_t since_ns,
                      char ret_line[LINE_BYTES])
{
    FILE *file = source_open(path, since_ns);
    char *line = NULL;
    size_t room = 0;
    ssize_t length = -1;

    *ret_line = '\0';
    if (!file)
        return;
    for (uint64_t i = 0; i < number && (length = getline(&line, &room, file)) >= 0;)
        i++;
    if (length > 0) {
        const char *begin = line + strspn(line, " \t");

        snprintf(ret_line, LINE_BYTES, "%.*s", (int)strcspn(begin, "\r\n"), begin);
        safe_text_end(ret_line, LINE_BYTES);
    }
    free(line);
    fclose(file);
}

/** The compiler's directory or, because build trees move, a folder above the module. */
static void relative_read(const struct frame *frame, uint64_t since_ns, char ret_line[LINE_BYTES])
{
    char path[PATH_MAX], folder[PATH_MAX];
    char *slash;

    *ret_line = '\0';
    if (frame->symbol->directory) {
        snprintf(path, sizeof path, "%s/%s", frame->symbol->directory, frame->file);
        line_read(path, frame->line, since_ns, ret_line);
    }
    snprintf(folder, sizeof folder, "%s", frame->site.module ? frame->site.module : "");
    while (!*ret_line && (slash = strrchr(folder, '/'))) {
        int length;

        *slash = '\0';
        length = snprintf(path, sizeof path, "%s/%s", folder, frame->file);
        if (length > 0 && (size_t)length < sizeof path)
            line_read(path, frame->line, since_ns, ret_line);
    }
}

void html_source_print(const struct html_article *article, uint64_t site)
{
    const uint64_t since_ns = article->analysis->recording.start_realtime_ns;
    char line[LINE_BYTES];
    struct frame frame;

    if (disguise_is_on() || !frames_location(article->analysis->reader, site, &frame) ||
        !frame.file || !frame.line || frame.changed)
        return;
    if (*frame.file == '/')
        line_read(frame.file, frame.line, since_ns, line);
    else
        relative_read(&frame, since_ns, line);
    if (!*line)
        return;
    fputs("<code class=\"source\">", article->out);
    html_text(article->out, line);
    fputs("</code>", article->out);
}
