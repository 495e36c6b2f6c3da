/* SPDX-License-Identifier: MIT */
/*
 * Shared by the parts of driver_facts: a JSON writer, a clock, medians, a way to keep the device
 * busy, and error names.
 *
 * Each part writes one member of the result. A call whose outcome is in question is written down
 * with its code; one that ought to succeed (FACT_EXPECT) and does not is listed after its part, as
 * "PART_unexpected", and the program continues: access to a GPU may be rare. Single-threaded except
 * for the captures.
 */
#ifndef GPU_FACTS_H
#define GPU_FACTS_H

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vector>

/** Opens an object or array (name NULL inside an array); every open is closed by json_close. */
void json_open(const char *name, char bracket);
void json_close(char bracket);
void json_text(const char *name, const char *value);
void json_number(const char *name, long long value);
void json_flag(const char *name, bool value);
void json_null(const char *name);
/** {"code": 0, "name": "CUDA_SUCCESS"} */
void json_result(const char *name, CUresult result);
void json_error(const char *name, cudaError_t error);

uint64_t clock_ns(void);
/** The median; reorders the samples. 0 without samples. */
uint64_t median(std::vector<uint64_t> *samples);

/** Work of about a millisecond on the stream. */
void busy_start(cudaStream_t stream);

/** The address of a driver function, NULL when this driver has none of that name and version. */
void *driver_find(const char *name, int version);
typedef CUresult (*context_record_event_fn)(CUcontext context, CUevent event);

#define FACT_EXPECT(call) fact_expect((int)(call), #call, __FILE__, __LINE__)
void fact_expect(int error, const char *call, const char *file, int line);

/** The parts, in the order of the output. */
void facts_allocation(void);
void facts_cost(void);
void facts_vmm(void);
void facts_events(void);
void facts_capture(void);
void facts_invalid(void);
void facts_ipc(void);

#endif
