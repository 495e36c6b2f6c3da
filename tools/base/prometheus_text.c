/* SPDX-License-Identifier: MIT */
#include "tools/base/prometheus_text.h"

#include <stdbool.h>
#include <string.h>

/** Suffix that the type of the current family adds to its name. */
struct family {
    const char *suffix, *type;
};

static struct family family_of(const char *type, size_t length)
{
    if (length == strlen("counter") && !strncmp(type, "counter", length))
        return (struct family){"_total", "counter"};
    if (length == strlen("info") && !strncmp(type, "info", length))
        return (struct family){"_info", "gauge"};
    return (struct family){"", NULL};
}

static bool begins(const char *line, const char *with)
{
    return !strncmp(line, with, strlen(with));
}

/** Parses "# TYPE name type" or "# HELP name words", a line without its end. */
static void declaration_print(const char *line, size_t length, struct family *family, FILE *out)
{
    static const char type_word[] = "# TYPE ";
    const char *name = line + sizeof type_word - 1;
    size_t name_length = strcspn(name, " \n");
    const char *rest = name + name_length + (name[name_length] == ' ');
    size_t rest_length = (size_t)(line + length - rest);

    if (begins(line, type_word)) {
        *family = family_of(rest, rest_length);
        if (family->type) {
            rest = family->type;
            rest_length = strlen(rest);
        }
    }
    fprintf(out, "%.*s%.*s%s %.*s\n", (int)sizeof type_word - 1, line, (int)name_length, name,
            family->suffix, (int)rest_length, rest);
}

void prometheus_text(const char *openmetrics, FILE *out)
{
    struct family family = {"", NULL};

    for (const char *line = openmetrics; *line;) {
        size_t length = strcspn(line, "\n");

        if (begins(line, "# TYPE ") || begins(line, "# HELP "))
            declaration_print(line, length, &family, out);
        else if (!begins(line, "# "))
            fprintf(out, "%.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}
