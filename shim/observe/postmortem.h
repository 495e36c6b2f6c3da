/* SPDX-License-Identifier: MIT */
/*
 * What is noted when the driver's last word on a request for device memory is "out of memory".
 *
 * Threading: from any thread, inside a call.
 */
#ifndef SHIM_OBSERVE_POSTMORTEM_H
#define SHIM_OBSERVE_POSTMORTEM_H

#include "shim/observe/record.h"

/**
 * Records the state of memory, and prints it once where the option asks for it. Other errors than
 * out of memory and other kinds than device memory are left alone; so are all after the hundredth.
 */
void postmortem_note(const struct call *call, const struct record_block *block, int error);

#endif
