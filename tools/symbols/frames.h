/* SPDX-License-Identifier: MIT */
/*
 * Stacks for people: the frames of a site with inlined functions and names, and its location: the
 * innermost frame that is the program's own and no wrapper (wrappers.h). Not the program's own are
 * CUDA, its libraries, the C++ library, a framework's allocator, installed Python packages and the
 * native code that calls them for an interpreter. If all of the program's frames are wrappers, the
 * location is the outermost of them; if it has no frame of its own, the innermost frame.
 *
 * Threading: single-threaded; texts are valid until symbols_done.
 */
#ifndef TOOLS_SYMBOLS_FRAMES_H
#define TOOLS_SYMBOLS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cupti/read/trace_reader.h"
#include "tools/symbols/symbols.h"

#define FRAMES_MOST  256   /* of a stack that are printed, the innermost */
#define FRAMES_WHOLE 65536 /* of all stacks that are printed so; see struct frames_budget */
#define FRAMES_REST  16    /* of each stack behind these */

/**
 * One frame: of Python, of an inlined function, or of a code address. Its strings are anonymized
 * if that is enabled (disguise.h).
 */
struct frame {
    uint64_t id; /* id of the site of this frame, or of the one it is inlined in */
    struct trace_site site;
    const struct symbol *symbol; /* of the address; empty for Python */
    const char *function;        /* NULL: no name */
    enum function_role role;     /* of native code */
    const char *file;            /* NULL: not known */
    uint64_t line, column;       /* 0: not known */
    bool inlined;                /* in the next frame */
    bool changed;                /* its module changed since the recording */
    const char *package;         /* of a location: begins with the package that it allocated
                                  * through, up to a slash; or NULL */
};

/** Returns the frames of a site, innermost first, and their number; 0 for an unknown site. */
size_t frames_get(const struct trace_reader *reader, uint64_t site, struct frame *ret_frames,
                  size_t most);

/** The same of the site alone, without its callers. */
size_t frames_get_own(const struct trace_reader *reader, uint64_t site, struct frame *ret_frames,
                      size_t most);

/**
 * Returns the number of frames without the outermost ones that only start a program or a thread:
 * those of the C runtime, and of the C++ library's threads. All of them if there is nothing else.
 */
size_t frames_without_start(const struct frame *frames, size_t count);

/**
 * Budget for the stacks in a report. Stacks share their outer frames, so writing each in full
 * would take their depth times their number. The first stacks, which hold the most memory, are
 * written with up to FRAMES_MOST frames, until these are FRAMES_WHOLE together.
 */
struct frames_budget {
    size_t written;
};

/** Returns the frames that the next stack may have; `rest` once the budget is spent. */
size_t frames_share(struct frames_budget *budget, size_t rest);

/** Returns the frame that gives a site its name. False: nothing is known of the site. */
bool frames_location(const struct trace_reader *reader, uint64_t site, struct frame *ret_frame);

/** Returns the program's frames behind the location: its caller first. */
size_t frames_callers(const struct trace_reader *reader, uint64_t site, struct frame *ret_frames,
                      size_t most);

/** Returns the program's frames before the location, which are wrappers: the innermost first. */
size_t frames_passed(const struct trace_reader *reader, uint64_t site, struct frame *ret_frames,
                     size_t most);

/** Whether a frame cannot be a location: it is not the program's, or a wrapper. */
bool frame_is_passed(const struct frame *frame);

/** Drops cached locations, because the set of wrappers changed. */
void frames_forget(const struct trace_reader *reader);

/** "model.cc:41 decode (libmodel.so)", "train.py:12 step (torch)", "libmodel.so+0x4e". */
void frame_text(const struct frame *frame, char *ret_text, size_t text_bytes);

/** The function as in its key: in full, without the compiler's suffixes; else "+0x4e". */
void frame_function_key(const struct frame *frame, char *ret_text, size_t text_bytes);

/** "libmodel.so:decode(int)", "train.py:step", "libmodel.so:+0x4e". */
void frame_key(const struct frame *frame, char *ret_text, size_t text_bytes);

/** The last part of a path. */
const char *frame_file_name(const char *path);

#endif
