/* SPDX-License-Identifier: MIT */
/*
 * Lines of source under the names of sites, where the files are there.
 *
 * A trace names files, and the trace is not trusted: only a regular file that is named as source
 * code is read, one line of it, and none where the report is made to be given away.
 */
#include "tools/report/html/html_article.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/base/safe_text.h"
#include "tools/base/disguise.h"
#include "tools/report/html/html_table.h"

#define LINE_BYTES 160
#define FILE_BYTES (4 << 20) /* what is longer is no source */

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

/** NULL: no such file, or none to read. */
static FILE *source_open(const char *path)
{
    int fd = *path == '/' && is_source(path) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    struct stat status;
    FILE *file = NULL;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= FILE_BYTES)
        file = fdopen(fd, "r");
    if (!file)
        close(fd);
    return file;
}

/** A line without what it is indented by, cut to LINE_BYTES; empty: none. */
static void line_read(const char *path, uint64_t number, char ret_line[LINE_BYTES])
{
    FILE *file = source_open(path);
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

void html_source_print(const struct html_article *article, uint64_t site)
{
    struct report_place place;
    char line[LINE_BYTES];

    if (disguise_is_on())
        return;
    report_place_find(article->analysis, site, &place);
    if (!place.known || !place.file || !place.line)
        return;
    line_read(place.file, place.line, line);
    if (!*line)
        return;
    fputs("<code class=\"source\">", article->out);
    html_text(article->out, line);
    fputs("</code>", article->out);
}
