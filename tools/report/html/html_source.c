/* SPDX-License-Identifier: MIT */
/*
 * Source lines under the names of sites, if the files exist.
 *
 * The file names come from the trace, which is not trusted. So only regular files with the
 * extension of a source language are read, one line each, and none if the report is anonymized. A
 * file changed since the recording began may have other lines, so it is not read. A small trace may
 * name thousands of lines far down in a file, so all lines together have a bound.
 */
#include "tools/report/html/html_article.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/safe_text.h"
#include "tools/base/disguise.h"
#include "tools/base/file/regular_file.h"
#include "tools/base/shortage.h"
#include "tools/report/html/html_table.h"

#define LINE_BYTES 160
#define FILE_BYTES (4 << 20) /* longer files are not read */

/* Bytes that are read for all lines of a run, about a second. Opening a file counts as reading
 * some, the more the longer its path. */
#define READ_MOST  (UINT64_C(512) << 20)
#define OPEN_BYTES 4096
#define NAME_FOLD  32

static uint64_t bytes_read; /* so many */

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
    int fd = *path == '/' && is_source(path) ? regular_file_open(path) : -ENOENT;
    struct stat status;
    FILE *file = NULL;

    shortage_note(fd);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &status) == 0 && status.st_size <= FILE_BYTES &&
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
    FILE *file;
    int byte = 0;

    *ret_line = '\0';
    if (bytes_read >= READ_MOST)
        return;
    bytes_read += OPEN_BYTES + NAME_FOLD * strlen(path);
    file = source_open(path, since_ns);
    if (!file)
        return;
    while (number > 1 && (byte = getc_unlocked(file)) != EOF) {
        number -= byte == '\n';
        bytes_read++;
    }
    while (byte != EOF && ((byte = getc_unlocked(file)) == ' ' || byte == '\t'))
        bytes_read++;
    if (byte != EOF && ungetc(byte, file) != EOF && fgets(ret_line, LINE_BYTES, file)) {
        ret_line[strcspn(ret_line, "\r\n")] = '\0';
        safe_text_end(ret_line, LINE_BYTES);
    }
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
