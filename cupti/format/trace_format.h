/* SPDX-License-Identifier: MIT */
/*
 * The trace file: one header block, then blocks of 64 KiB, little-endian.
 *
 * A block belongs to one thread while it fills: 64 bytes of block header, then 1,023 slots of 64
 * bytes. A slot is a record, or text that follows a STRING record. A record is valid from the
 * moment its `kind` is non-zero; the writer stores `kind` last, so a process that dies loses at
 * most the records it was writing. A sealed block carries its count and a checksum of its slots.
 */
#ifndef CUPTI_FORMAT_TRACE_FORMAT_H
#define CUPTI_FORMAT_TRACE_FORMAT_H

#include <assert.h>
#include <stdint.h>

#define TRACE_FILE_MAGIC      UINT64_C(0x6c6f6f7075632e01) /* "\1.cupool" */
#define TRACE_BLOCK_MAGIC     UINT32_C(0x6b6c6243)         /* "Cblk" */
#define TRACE_VERSION         1
#define TRACE_VERSION_LIMITED 2 /* blocks may be used again: TRACE_EVENT_CHECKPOINT */
#define TRACE_BLOCK_BYTES     65536
#define TRACE_SLOT_BYTES      64
#define TRACE_BLOCK_SLOTS     (TRACE_BLOCK_BYTES / TRACE_SLOT_BYTES - 1)

enum trace_event {
#define TRACE_EVENT(NAME, value, help) TRACE_EVENT_##NAME = value,
#include "cupti/format/events.def"
};

enum trace_memory {
#define TRACE_MEMORY(NAME, value, help) TRACE_MEMORY_##NAME = value,
#include "cupti/format/events.def"
};

enum trace_outcome {
#define TRACE_OUTCOME(NAME, value, help) TRACE_OUTCOME_##NAME = value,
#include "cupti/format/events.def"
};

enum trace_cupti {
#define TRACE_CUPTI(NAME, value, help) TRACE_CUPTI_##NAME = value,
#include "cupti/format/events.def"
};

/** `size` and `address` of a PHASE record. */
enum trace_phase { TRACE_PHASE_END, TRACE_PHASE_BEGIN, TRACE_PHASE_MARK, TRACE_PHASE_STEP };
enum trace_phase_source {
    TRACE_PHASE_SOURCE_API,
    TRACE_PHASE_SOURCE_NVTX,
    TRACE_PHASE_SOURCE_SIGNAL
};

/** One event. Unused fields are 0. */
struct trace_record {
    uint16_t kind;    /* enum trace_event; stored last */
    uint16_t api;     /* string id of the function called */
    uint8_t outcome;  /* enum trace_outcome */
    uint8_t memory;   /* enum trace_memory */
    uint16_t device;  /* ordinal as the process sees it */
    uint32_t thread;  /* kernel thread id */
    uint32_t latency; /* of the call, see trace_latency_ns */
    uint64_t time_ns; /* since the trace began, at the end of the call */
    uint64_t size;    /* bytes */
    uint64_t address; /* device or host address, or a handle */
    uint64_t site;    /* site id; 0: unknown */
    uint32_t context; /* small number of the context; 0: none */
    uint32_t stream;  /* low 32 bits of the stream handle; 0: none */
    uint64_t value;   /* by kind, see events.def */
};

/** First slot of every block. */
struct trace_block_header {
    uint32_t magic;
    uint32_t sequence; /* from 1, in the order of use; in version 1 the position in the file */
    uint32_t thread;   /* owner while it filled */
    uint32_t count;    /* slots used; 0 while the block is open */
    uint32_t checksum; /* CRC-32C of the used slots once sealed */
    uint32_t carry;    /* number of the carry it is a piece of; 0: none */
    uint32_t reserved[10];
};

/** Block 0. */
struct trace_file_header {
    uint64_t magic;
    uint32_t version;
    uint32_t block_bytes;
    uint64_t start_realtime_ns; /* CLOCK_REALTIME when the trace began */
    uint32_t pid;
    uint32_t flags;      /* TRACE_FLAG_* */
    uint64_t dropped;    /* records not written, kept up to date; see stop_errno */
    uint32_t stop_errno; /* why recording stopped early; 0: it did not */
    uint32_t checksum;   /* CRC-32C of magic … pid */
    uint64_t cut_stacks; /* that lost their outer frames to a limit; kept up to date */
    uint64_t origin;     /* scope of the pid: PID namespace and machine; 0: unknown */
};

#define TRACE_FLAG_CLOSED UINT32_C(1) /* the process closed the trace itself */
#define TRACE_FLAG_SCALED UINT32_C(2) /* long latencies are scaled: trace_latency */

static_assert(sizeof(struct trace_record) == TRACE_SLOT_BYTES, "a record is one slot");
static_assert(sizeof(struct trace_block_header) == TRACE_SLOT_BYTES, "a header is one slot");

#endif
