/* SPDX-License-Identifier: MIT */
/*
 * Rows of every breakdown: by tallies, by whole stacks, or by the caller of a site.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/texts.h"
#include "tools/report/base/callers.h"
#include "tools/report/base/report.h"

#define NOBODY "no caller in the program"

/** A call path under the name of its first function. */
struct named {
    uint32_t name;
    struct tally sum; /* its key: a stack */
};

static int compare_named(const void *a, const void *b)
{
    const struct named *left = a, *right = b;

    if (left->name != right->name)
        return left->name < right->name ? -1 : 1;
    return tally_compare(&left->sum, &right->sum);
}

static void tally_join_row(struct tally *sum, const struct tally *other)
{
    sum->allocations += other->allocations;
    sum->hits += other->hits;
    sum->leaked_blocks += other->leaked_blocks;
    sum->leaked_bytes += other->leaked_bytes;
    sum->requested_bytes = tally_sum(sum->requested_bytes, other->requested_bytes);
    sum->live_bytes.at_peak += other->live_bytes.at_peak;
    sum->live_bytes.peak += other->live_bytes.peak;
}

static void caller_name(const struct trace_reader *reader, uint64_t stack, char *ret_text,
                        size_t text_bytes)
{
    struct frame frame;

    if (frames_callers(reader, stack, &frame, 1))
        frame_text(&frame, ret_text, text_bytes);
    else
        snprintf(ret_text, text_bytes, NOBODY);
}

/** Rows by the functions that call sites. */
static int rows_by_caller(struct report_rows *rows)
{
    const struct callers *callers = rows->callers;
    struct named *named = calloc(callers->rows + 1, sizeof *named);
    struct texts texts = {0};
    char name[512];
    int error = named && rows->row ? 0 : -ENOMEM;

    for (size_t i = 0; i < callers->rows && error == 0; i++) {
        caller_name(rows->analysis->reader, callers->row[i].sum.key, name, sizeof name);
        named[i] = (struct named){texts_number(&texts, name), callers->row[i].sum};
        error = named[i].name ? 0 : -ENOMEM;
    }
    if (error == 0)
        qsort(named, callers->rows, sizeof *named, compare_named);
    for (size_t i = 0; i < callers->rows && error == 0; i++) {
        if (rows->count && i && named[i].name == named[i - 1].name)
            tally_join_row(&rows->row[rows->count - 1], &named[i].sum);
        else
            rows->row[rows->count++] = named[i].sum;
    }
    texts_done(&texts);
    free(named);
    return error;
}

int report_rows_create(const struct analysis *analysis, const struct callers *callers,
                       enum report_by by, struct report_rows *ret_rows)
{
    const struct tallies *tallies = by == REPORT_BY_STACK    ? &analysis->stacks
                                    : by == REPORT_BY_CALLER ? NULL
                                                             : report_tallies(analysis, by);
    struct report_rows rows = {.analysis = analysis, .callers = callers, .by = by};
    int error = 0;

    rows.row = calloc((tallies ? tallies->rows : callers->rows) + 1, sizeof *rows.row);
    if (!rows.row)
        return -ENOMEM;
    if (!tallies) {
        error = rows_by_caller(&rows);
    } else if (tallies->rows) {
        memcpy(rows.row, tallies->row, tallies->rows * sizeof *rows.row);
        rows.count = tallies->rows;
    }
    if (error < 0 || !rows.count) {
        free(rows.row);
        rows.row = NULL;
    } else {
        qsort(rows.row, rows.count, sizeof *rows.row, tally_compare);
    }
    if (error < 0)
        return error;
    *ret_rows = rows;
    return 0;
}

void report_rows_done(struct report_rows *rows)
{
    free(rows->row);
    *rows = (struct report_rows){0};
}

static void stack_name(const struct report_rows *rows, uint64_t stack, char *ret_text,
                       size_t text_bytes)
{
    const struct caller path = {.sum.key = stack};
    char callers[512], passed[256];
    size_t used;

    report_site_name(rows->analysis, stack, ret_text, text_bytes);
    used = strlen(ret_text);
    caller_text(rows->callers, &path, callers, sizeof callers);
    caller_passed_text(rows->callers, &path, passed, sizeof passed);
    if (*callers && used < text_bytes)
        used += (size_t)snprintf(ret_text + used, text_bytes - used, " < %s", callers);
    if (*passed && used < text_bytes)
        snprintf(ret_text + used, text_bytes - used, "; through %s", passed);
    safe_text_end(ret_text, text_bytes);
}

void report_rows_name(const struct report_rows *rows, size_t number, char *ret_text,
                      size_t text_bytes)
{
    if (rows->by == REPORT_BY_STACK)
        stack_name(rows, rows->row[number].key, ret_text, text_bytes);
    else if (rows->by == REPORT_BY_CALLER)
        caller_name(rows->analysis->reader, rows->row[number].key, ret_text, text_bytes);
    else
        report_row_name(rows->analysis, rows->by, &rows->row[number], ret_text, text_bytes);
}
