/* SPDX-License-Identifier: MIT */
/*
 * Anonymizes an analysis: exchanges the command, paths of libraries and names of phases.
 */
#include "tools/analysis/analysis.h"
#include "tools/base/disguise.h"

/** Keys that are paths, of interned texts. */
static void key_disguise(uint64_t *key)
{
    *key = (uint64_t)(uintptr_t)disguise_path((const char *)(uintptr_t)*key);
}

static void libraries_disguise(struct tallies *libraries)
{
    for (size_t i = 0; libraries && i < libraries->rows; i++)
        key_disguise(&libraries->row[i].key);
}

static void phases_disguise(struct analysis *analysis)
{
    for (size_t i = 0; i < analysis->phases; i++)
        if (analysis->phase[i].source != ANALYSIS_PHASE_DETECTED)
            analysis->phase[i].name = disguise_text(analysis->phase[i].name);
    analysis->window.phase = disguise_text(analysis->window.phase);
}

void analysis_disguise(struct analysis *analysis)
{
    if (!disguise_is_on())
        return;
    analysis->command = disguise_text(analysis->command);
    analysis->driver_view.library = disguise_path(analysis->driver_view.library);
    libraries_disguise(&analysis->libraries);
    libraries_disguise(analysis->driver_view.libraries);
    for (size_t i = 0; i < analysis->postmortems && i < ANALYSIS_POSTMORTEMS; i++)
        for (size_t k = 0; k < ANALYSIS_POSTMORTEM_PARTS; k++)
            key_disguise(&analysis->postmortem[i].libraries[k].key);
    phases_disguise(analysis);
}
