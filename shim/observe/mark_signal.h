/* SPDX-License-Identifier: MIT */
/*
 * Marks by an external signal: `kill -USR2 PID`.
 *
 * Threading: mark_signal_install once; mark_signal_flush from any thread.
 */
#ifndef SHIM_OBSERVE_MARK_SIGNAL_H
#define SHIM_OBSERVE_MARK_SIGNAL_H

struct trace_writer;

/** Installs a handler for the signal that the option names; none by default. */
void mark_signal_install(const struct trace_writer *writer);

/** Writes the marks that came since. */
void mark_signal_flush(struct trace_writer *writer);

#endif
