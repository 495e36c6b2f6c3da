/* SPDX-License-Identifier: MIT */
/*
 * Post-mortem: the state of memory when a request for device memory finally fails with "out of
 * memory".
 *
 * Threading: from any thread, inside a call.
 */
#ifndef SHIM_OBSERVE_POSTMORTEM_H
#define SHIM_OBSERVE_POSTMORTEM_H

#include "shim/observe/record.h"

/**
 * Records the state of memory, and prints it once if the option asks for it. Ignores other errors
 * and other kinds of memory, and everything after the hundredth post-mortem.
 */
void postmortem_note(const struct call *call, const struct record_block *block, int error);

#endif
