/* SPDX-License-Identifier: MIT */
/*
 * The current statistics of a process, for others to read: a living file of fixed layout, written
 * in place.
 *
 * The page describes itself: it holds the names of its figures, and a row of values for each
 * context. A sequence number, odd while the page is written, makes a reader try again. A reader
 * treats the page as hostile input: it copies the page and checks the copy.
 *
 * Threading: one writer at a time; the caller ensures it. Readers are other processes.
 */
#ifndef CUPTI_LIVE_LIVE_PAGE_H
#define CUPTI_LIVE_LIVE_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define LIVE_PAGE_MAGIC    UINT64_C(0x006576696c707563) /* "cuplive" */
#define LIVE_PAGE_VERSION  3
#define LIVE_PAGE_PREFIX   "live."
#define LIVE_PAGE_PLACE    "/dev/shm" /* where both sides look unless told otherwise */
#define LIVE_NAME_BYTES    32
#define LIVE_FILE_BYTES    48 /* of the file's name: live.PID.NAMESPACE */
#define LIVE_FIGURES_MAX   48
#define LIVE_CONTEXTS_MAX  32
#define LIVE_KINDS_MAX     16
#define LIVE_DEVICES_MAX   32
#define LIVE_COMMAND_BYTES 512

/** Name of a figure. */
struct live_name {
    char text[LIVE_NAME_BYTES];
    uint32_t total;  /* it only grows */
    uint32_t peaked; /* its values have a peak; else that is 0 */
};

struct live_value {
    uint64_t current, peak;
};

/** Row of a context: the figures of its pool, in the order of the names. */
struct live_context {
    uint32_t number; /* as in the trace; 0: the row is not in use */
    uint32_t device;
    struct live_value value[LIVE_FIGURES_MAX];
};

/** Memory from outside the pool, by enum trace_memory. */
struct live_kind {
    uint64_t blocks, bytes;
};

/** A device that the process has a context on. */
struct live_device {
    uint32_t number; /* as the process sees it */
    uint32_t zero;
    uint64_t total_bytes;
    uint64_t used_bytes; /* taken by the process: for its pools, and outside them */
};

struct live_page {
    uint64_t magic;
    uint32_t version, pid;
    uint64_t sequence; /* odd while the page is written; atomic */
    uint64_t start_realtime_ns, update_realtime_ns;
    uint64_t updates;
    uint32_t figures, contexts; /* of the arrays below, in use */
    uint32_t pooled;            /* 0: observed only */
    uint32_t pid_namespace;     /* inode of the namespace that the pid is of; 0: not known */
    char command[LIVE_COMMAND_BYTES];
    struct live_name name[LIVE_FIGURES_MAX];
    struct live_kind kind[LIVE_KINDS_MAX];
    struct live_context context[LIVE_CONTEXTS_MAX];
    uint32_t devices; /* of the array below, in use */
    uint32_t zero;
    struct live_device device[LIVE_DEVICES_MAX];
    struct live_value requested; /* device memory, from the pools and outside them */
};

/* ---- in the process ---- */

enum live_figure {
    LIVE_FIGURE_TOTAL,   /* it only grows */
    LIVE_FIGURE_PEAKED,  /* a level, with its peak */
    LIVE_FIGURE_CURRENT, /* as it is now, without a peak */
};

/**
 * Creates the page of this process in WHERE/cupool-UID, and removes pages of ended processes.
 * Errors: as living_file_create().
 */
int live_page_create(const char *where, const char *command, bool pooled,
                     struct live_page **ret_page);

/** Removes the file; the mapping stays until the process ends. */
void live_page_remove(const char *where, struct live_page *page);

void live_page_begin(struct live_page *page);
/** Begins a row for a context; figures follow by live_page_figure(). */
void live_page_context(struct live_page *page, uint32_t number, uint32_t device);
/** Adds the next figure of the context's row. Names and their order are the same in every row. */
void live_page_figure(struct live_page *page, const char *name, enum live_figure kind,
                      struct live_value value);
void live_page_kind(struct live_page *page, unsigned memory, uint64_t blocks, uint64_t bytes);
/** Adds a device, or changes its figures. */
void live_page_device(struct live_page *page, const struct live_device *device);
void live_page_requested(struct live_page *page, struct live_value requested);
void live_page_end(struct live_page *page);

/* ---- for readers ---- */

/**
 * Copies the page in an open file consistently. Errors: -EINVAL it is no page of this version;
 * -EAGAIN it was being written all the time; others from the system.
 */
int live_page_read(int file, struct live_page *ret_page);

#endif
