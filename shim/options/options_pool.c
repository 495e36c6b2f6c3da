/* SPDX-License-Identifier: MIT */
#include "shim/options/options_pool.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "cupti/base/pages.h"

static const enum option_id pool_options[] = {
    OPTION_ID_backing, OPTION_ID_reuse,          OPTION_ID_limit,       OPTION_ID_fill,
    OPTION_ID_scrub,   OPTION_ID_quarantine_max, OPTION_ID_large_waste, OPTION_ID_cache_max,
    OPTION_ID_classes, OPTION_ID_slab,           OPTION_ID_ceiling,     OPTION_ID_growth,
    OPTION_ID_page,    OPTION_ID_reserve,        OPTION_ID_idle_trim,   OPTION_ID_defrag,
};

static_assert(OPTION_CLASSES_MAX == POOL_CLASSES_MAX, "an option holds what the pool takes");

#define POOL_OPTIONS (sizeof(pool_options) / sizeof(*pool_options))

bool options_pool_has(size_t option)
{
    for (size_t i = 0; i < POOL_OPTIONS; i++)
        if ((size_t)pool_options[i] == option)
            return true;
    return false;
}

void options_pool_configure(const struct options *options, struct pool_config *config)
{
    static const enum pool_reuse reuse[] = {
        [OPTION_REUSE_DEFERRED] = POOL_REUSE_DEFERRED,
        [OPTION_REUSE_SYNC] = POOL_REUSE_SYNC,
        [OPTION_REUSE_IMMEDIATE] = POOL_REUSE_IMMEDIATE,
    };
    static const enum pool_fill fill[] = {
        [OPTION_FILL_NONE] = POOL_FILL_NONE,
        [OPTION_FILL_ZERO] = POOL_FILL_ZERO,
        [OPTION_FILL_POISON] = POOL_FILL_POISON,
    };

    config->reuse = reuse[options->reuse];
    config->fill = fill[options->fill];
    config->scrub = fill[options->scrub];
    config->quarantine_max = options->quarantine_max.bytes;
    config->large_waste_percent = (uint32_t)options->large_waste;
    config->cache_max = options->cache_max.bytes;
    config->ceiling_percent = (uint32_t)options->ceiling;
    config->growth_percent = (uint32_t)options->growth;
    config->backing = options->backing == OPTION_BACKING_DRIVER ? POOL_BACKING_DRIVER
                                                                : POOL_BACKING_MAPPED;
    config->slab_bytes = options->slab.bytes;
    config->page_bytes = options->page.bytes;
    config->reserve_bytes = options->reserve.bytes;
    config->idle_trim_ns = options->idle_trim;
    config->move = options->defrag == OPTION_DEFRAG_MOVE;
    config->class_count = options->classes.count;
    memcpy(config->class_bytes, options->classes.bytes, sizeof(config->class_bytes));
}

void options_pool_format(const struct options *options, char *ret_text, size_t text_bytes)
{
    char *value = pages_map(OPTIONS_TEXT_BYTES);
    size_t used = 0;

    if (text_bytes > 0)
        *ret_text = '\0';
    for (size_t i = 0; value && i < POOL_OPTIONS; i++) {
        const struct option_row *row = options_row(pool_options[i]);

        options_format(options, pool_options[i], value, OPTIONS_TEXT_BYTES);
        if (strcmp(value, row->built_in) == 0)
            continue;
        int length = snprintf(ret_text + used, text_bytes - used, "%s%s:%s", used ? "," : "",
                              row->key, value);
        if (length < 0 || used + (size_t)length >= text_bytes)
            break;
        used += (size_t)length;
    }
    if (text_bytes > 0)
        ret_text[used] = '\0';
    pages_unmap(value, OPTIONS_TEXT_BYTES);
}
