/* SPDX-License-Identifier: MIT */
/*
 * Writes exceeded budgets as findings for code scanning: SARIF 2.1.0, and GitLab's code quality
 * report. Each is at the line of its site, if known, else at the trace.
 *
 * Paths come from the debug information, where they may be relative to the compiler's directory; a
 * path below the current directory is made relative to that, because forges look for files from the
 * root of the checkout. Fingerprints depend only on the
 * budget and the site's key, so a finding stays the same when lines move.
 */
#include "tools/budget/budget_check.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/base/disguise.h"
#include "tools/base/json_text.h"

#define SARIF_SCHEMA "https://json.schemastore.org/sarif-2.1.0.json"

/** Takes ".", ".." and repeated slashes out of an absolute path. */
static void path_tidy(char *path)
{
    char *to = path;

    for (const char *part = path; *part;) {
        size_t length;

        part += strspn(part, "/");
        length = strcspn(part, "/");
        if (length == 2 && part[0] == '.' && part[1] == '.') {
            while (to > path && *--to != '/')
                ;
        } else if (length && (length != 1 || *part != '.')) {
            *to++ = '/';
            memmove(to, part, length);
            to += length;
        }
        part += length;
    }
    *to = '\0';
}

const char *budget_check_source(const struct snapshot_site *site)
{
    static char path[PATH_MAX];
    char here[PATH_MAX], folder[PATH_MAX];
    const char *from = site->folder;
    bool is_absolute = *site->path == '/';
    size_t length;

    if (!getcwd(here, sizeof here) || (!is_absolute && (!from || *from != '/')))
        return site->path;
    /* The compiler's folder may lead through a link, such as /proc/self/cwd. */
    if (!is_absolute && realpath(from, folder))
        from = folder;
    length = (size_t)snprintf(path, sizeof path, "%s%s%s", is_absolute ? "" : from,
                              is_absolute ? "" : "/", site->path);
    if (length >= sizeof path)
        return site->path;
    path_tidy(path);
    length = strlen(here);
    return !strncmp(path, here, length) && path[length] == '/' ? path + length + 1 : site->path;
}

static json_t *text_json(const char *text)
{
    json_t *string = json_text(text);

    return string ? string : json_string("");
}

/** A path as a reference (RFC 3986): relative to the repository, or absolute. */
static json_t *reference_json(const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~/!$&'()*+,;=@";

    while (path[0] == '/' && path[1] == '/') /* "//" would begin the name of a host */
        path++;

    size_t first = strcspn(path, "/");
    char *text = malloc(3 * strlen(path) + 3), *to = text;
    json_t *string;

    if (!text)
        return json_string("");
    if (memchr(path, ':', first)) /* else it would be a scheme */
        to = stpcpy(to, "./");
    for (; *path; path++) {
        if (strchr(plain, *path))
            *to++ = *path;
        else
            to += sprintf(to, "%%%02X", (unsigned char)*path);
    }
    *to = '\0';
    string = json_string(text);
    free(text);
    return string;
}

/** What a finding is recognised by. */
static void fingerprint(const struct budget_check_result *result, char ret_text[17])
{
    const char *const parts[] = {result->item->name, result->site ? result->site->module : "",
                                 result->site ? result->site->function : ""};
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (const char *sign = parts[i];; sign++) {
            hash = (hash ^ (unsigned char)*sign) * UINT64_C(0x100000001b3);
            if (!*sign)
                break;
        }
    snprintf(ret_text, 17, "%016" PRIx64, hash);
}

static const char *place_of(const struct budget_check *check,
                            const struct budget_check_result *result)
{
    return result->site && result->site->path ? disguise_path(budget_check_source(result->site))
                                              : check->trace;
}

static json_int_t line_of(const struct budget_check_result *result)
{
    return result->site && result->site->path && result->site->line ? (json_int_t)result->site->line
                                                                    : 1;
}

static json_t *sarif_location(const struct budget_check *check,
                              const struct budget_check_result *result)
{
    return json_pack("{s:{s:{s:o}, s:{s:I}}}", "physicalLocation", "artifactLocation", "uri",
                     reference_json(place_of(check, result)), "region", "startLine",
                     line_of(result));
}

static json_t *sarif_result(const struct budget_check *check,
                            const struct budget_check_result *result)
{
    char text[1200], print[17];

    budget_check_result_text(result, text, sizeof text);
    fingerprint(result, print);
    return json_pack("{s:o, s:s, s:{s:o}, s:[o], s:{s:s}}", "ruleId", text_json(result->item->name),
                     "level", "error", "message", "text", text_json(text), "locations",
                     sarif_location(check, result), "partialFingerprints", "cupool/v1", print);
}

static json_t *sarif_rule(const struct budget_check_result *result)
{
    char text[512];

    snprintf(text, sizeof text, "Budget %s = %s", result->item->name, result->item->text);
    return json_pack("{s:o, s:{s:o}}", "id", text_json(result->item->name), "shortDescription",
                     "text", text_json(text));
}

static void json_print(json_t *root, FILE *out)
{
    if (root)
        json_dumpf(root, out, JSON_SORT_KEYS | JSON_INDENT(1));
    fputc('\n', out);
    json_decref(root);
}

/** Whether an earlier budget has the name of one. */
static bool is_said_before(const struct budget_check *check, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (!strcmp(check->result[i].item->name, check->result[number].item->name))
            return true;
    return false;
}

void budget_check_sarif(const struct budget_check *check, FILE *out)
{
    json_t *rules = json_array(), *results = json_array();

    for (size_t i = 0; i < check->results; i++) {
        if (!is_said_before(check, i))
            json_array_append_new(rules, sarif_rule(&check->result[i]));
        if (check->result[i].outcome == BUDGET_CHECK_OVER)
            json_array_append_new(results, sarif_result(check, &check->result[i]));
    }
    json_print(json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:o}}, s:o}]}", "$schema", SARIF_SCHEMA,
                         "version", "2.1.0", "runs", "tool", "driver", "name", "cupool", "rules",
                         rules, "results", results),
               out);
}

void budget_check_code_quality(const struct budget_check *check, FILE *out)
{
    json_t *array = json_array();

    for (size_t i = 0; i < check->results; i++) {
        const struct budget_check_result *result = &check->result[i];
        char text[1200], whole[1500], print[17];

        if (result->outcome != BUDGET_CHECK_OVER)
            continue;
        budget_check_result_text(result, text, sizeof text);
        snprintf(whole, sizeof whole, "%s: %s", result->item->name, text);
        fingerprint(result, print);
        json_array_append_new(array, json_pack("{s:o, s:o, s:s, s:s, s:{s:o, s:{s:I}}}",
                                               "description", text_json(whole), "check_name",
                                               text_json(result->item->name), "fingerprint", print,
                                               "severity", "major", "location", "path",
                                               text_json(place_of(check, result)), "lines", "begin",
                                               line_of(result)));
    }
    json_print(array, out);
}
