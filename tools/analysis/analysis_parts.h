/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files of an analysis: the events each one handles.
 *
 * analysis.c reads the trace and passes each event on: memory events to the replay
 * (cupti/replay/replay.h), which analysis_memory.c watches; phases to analysis_phases.c; everything
 * that is only collected to analysis_facts.c. Functions that return int fail only with -ENOMEM.
 *
 * Threading: as the analysis.
 */
#ifndef TOOLS_ANALYSIS_ANALYSIS_PARTS_H
#define TOOLS_ANALYSIS_ANALYSIS_PARTS_H

#include "tools/analysis/analysis.h"

/* analysis_memory.c */

/** Watches the replay for the figures that only the tool computes. */
struct replay_watch analysis_memory_watch(struct analysis *analysis);

/* analysis_phases.c */

int analysis_add_phase(struct analysis *analysis, const struct trace_record *record);

/** Requested device memory is at a level. */
void analysis_phases_level(struct analysis *analysis, uint64_t requested_bytes);

/** The part of the run begins, and ends: what is open counts from there, and until there. */
void analysis_phases_enter(struct analysis *analysis, uint64_t time_ns);
int analysis_phases_leave(struct analysis *analysis, uint64_t time_ns);

/** Ends what the program did not end, and detects phases where the program named none. */
int analysis_phases_finish(struct analysis *analysis);

/* analysis_slices.c; only where `slices` is there, but for the first */

/** Begins the slices, from the state of a carry; none for a part of the run. */
int analysis_slices_begin(struct analysis *analysis);

/** An event of this time comes next. */
void analysis_slices_time(struct analysis *analysis, uint64_t time_ns);

void analysis_slices_level(struct analysis *analysis, const struct timeline_point *now);

/** Closes all slices. */
int analysis_slices_finish(struct analysis *analysis);

/* analysis_window.c */

/** Notes an event's time before it is counted, and its phase after. */
int analysis_window_before(struct analysis *analysis, uint64_t time_ns);
int analysis_window_after(struct analysis *analysis, uint64_t time_ns);

/** The live memory of a row is about to change. */
void analysis_window_row(struct analysis *analysis, enum replay_row row, const struct tally *tally);

/** Whether a kind of event moves levels, names things or changes phases: needed outside the
 * window, too. */
bool analysis_window_needs(const struct analysis *analysis, unsigned kind);

/** Ends the window, and takes out rows that have nothing in it. */
int analysis_window_finish(struct analysis *analysis);

/* analysis_postmortem.c */

void analysis_add_failure(struct analysis *analysis, const struct trace_record *record);
void analysis_add_postmortem(struct analysis *analysis, const struct trace_record *record);
void analysis_add_postmortem_figure(struct analysis *analysis, const struct trace_record *record);

/* analysis_facts.c */

void analysis_add_process(struct analysis *analysis, const struct trace_record *record);
void analysis_add_rank(struct analysis *analysis, const struct trace_record *record);
void analysis_add_device(struct analysis *analysis, const struct trace_record *record);

/** Each after the replay of the event, which counts it: keeps the first ones. */
void analysis_add_refusal(struct analysis *analysis, const struct trace_record *record);
void analysis_add_invalid_free(struct analysis *analysis, const struct trace_record *record);
void analysis_add_trim(struct analysis *analysis, const struct trace_record *record);

int analysis_add_counter(struct analysis *analysis, const struct trace_record *record);

#endif
