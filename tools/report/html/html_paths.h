/* SPDX-License-Identifier: MIT */
/*
 * Stacks as lists of strings, in memory and in the page. The script makes icicles from those in the
 * page: of a range, reversed, and by thread.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_REPORT_HTML_HTML_PATHS_H
#define TOOLS_REPORT_HTML_HTML_PATHS_H

#include "tools/analysis/flame.h"
#include "tools/report/html/html_article.h"

#define HTML_FRAME_BYTES 256

/** Frames of a stack, the outermost first. */
struct html_path {
    char text[FLAME_DEPTH][HTML_FRAME_BYTES];
    const char *frame[FLAME_DEPTH];
    bool is_module[FLAME_DEPTH]; /* not a frame */
    size_t depth;
};

/** The stack of a row of analysis_paths. */
uint64_t html_path_stack(const struct analysis *analysis, uint64_t key);

/**
 * Frames of a stack, with the name of a module once before its functions, and without the C
 * runtime's frames before the program's first function.
 */
void html_path_find(const struct analysis *analysis, uint64_t stack, struct frames_budget *budget,
                    struct html_path *ret_path);

/** Bytes of a stack. */
uint64_t html_path_bytes(const struct tally *row, enum flame_measure measure);

/** Rows of the paths by weight: their largest share of any total. */
struct html_path_order {
    size_t row;
    uint64_t worth, key;
};

/** One for each row; free() it. NULL: out of memory. */
struct html_path_order *html_paths_order(const struct analysis *analysis);

/** Writes the largest stacks for the script, and the sum of the others. Errors: -ENOMEM. */
int html_paths_data_print(const struct html_article *article, const struct html_path_order *order);

#endif
