/* SPDX-License-Identifier: MIT */
#include "tools/symbols/frames.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/disguise.h"

/* Libraries by file name: CUDA and what is built on it, what interpreters call it through, and the
 * frameworks whose own allocators stand between a program and CUDA. */
static const char *const libraries[] = {
    "libcuda.so*", "libcudart*", "libcupool*",    "libcublas*",     "libcudnn*",
    "libcufft*",   "libcurand*", "libcusolver*",  "libcusparse*",   "libcutensor*",
    "libcupti*",   "libnvrtc*",  "libnvJitLink*", "libnvjpeg*",     "libnpp*",
    "libnvinfer*", "libnccl*",   "libnvshmem*",   "libuc[mpst]*",   "libnvidia-*",
    "libffi*",     "_ctypes*",   "libc.so*",      "libc10*",        "libtorch*",
    "libstdc++*",  "libgcc_s*",  "ld-linux*",     "libpthread.so*",
};

/* Python by path: the standard library and what is installed. */
static const char *const sources[] = {
    "*/site-packages/*", "*/dist-packages/*", "*/lib/python3*", "<frozen *", "<string>",
};

static bool fits_any(const char *const *globs, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (fnmatch(globs[i], text, 0) == 0)
            return true;
    return false;
}

const char *frame_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

/** More than any address has: symbols.c keeps no more. */
#define FRAMES_OF_SITE 32

/** Functions of a CUDA runtime that is linked into the program. */
static bool is_of_runtime(const char *function)
{
    return (!strncmp(function, "cuda", 4) && isupper((unsigned char)function[4])) ||
           !strncmp(function, "__cudart", 8) || !strncmp(function, "libcudart_static", 16);
}

/** Whether a frame is the program's own; by its path. */
static bool frame_is_own(const struct frame *frame)
{
    if (!frame->site.module)
        return false;
    if (frame->site.function)
        return !fits_any(sources, sizeof sources / sizeof *sources, frame->site.module);
    return !fits_any(libraries, sizeof libraries / sizeof *libraries,
                     frame_file_name(frame->site.module)) &&
           !(frame->function && is_of_runtime(frame->function));
}

/** The frames of one site id: inlined ones and its own. */
static size_t frames_of_site(uint64_t id, const struct trace_site *site, struct frame *ret_frames,
                             size_t most)
{
    const struct symbol *symbol = symbols_get(site);
    size_t count = 0;

    for (; count < symbol->frames && count < most; count++)
        ret_frames[count] = (struct frame){.id = id,
                                           .site = *site,
                                           .symbol = symbol,
                                           .function = symbol->frame[count].function,
                                           .file = symbol->frame[count].file,
                                           .line = symbol->frame[count].line,
                                           .inlined = count + 1 < symbol->frames};
    if (!count && most)
        ret_frames[count++] = (struct frame){.id = id,
                                             .site = *site,
                                             .symbol = symbol,
                                             .function = site->function,
                                             .file = site->function ? site->module : NULL,
                                             .line = site->line,
                                             .changed = symbol->changed};
    return count;
}

static void frame_disguise(struct frame *frame)
{
    frame->site.module = disguise_path(frame->site.module);
    frame->site.build_id = disguise_text(frame->site.build_id);
    frame->file = disguise_path(frame->file);
}

/** As the trace and the symbols have them. */
static size_t frames_find(const struct trace_reader *reader, uint64_t site,
                          struct frame *ret_frames, size_t most)
{
    struct trace_site place;
    size_t count = 0;

    for (; count < most && trace_reader_site(reader, site, &place) == 0; site = place.caller)
        count += frames_of_site(site, &place, ret_frames + count, most - count);
    return count;
}

size_t frames_get(const struct trace_reader *reader, uint64_t site, struct frame *ret_frames,
                  size_t most)
{
    size_t count = frames_find(reader, site, ret_frames, most);

    for (size_t i = 0; i < count; i++)
        frame_disguise(&ret_frames[i]);
    return count;
}

size_t frames_get_own(const struct trace_reader *reader, uint64_t site, struct frame *ret_frames,
                      size_t most)
{
    struct trace_site place;
    size_t count = 0;

    if (trace_reader_site(reader, site, &place) == 0)
        count = frames_of_site(site, &place, ret_frames, most);
    for (size_t i = 0; i < count; i++)
        frame_disguise(&ret_frames[i]);
    return count;
}

/** The first of a site's own frames, inlined ones among them, that is the program's. */
static bool own_find(uint64_t id, const struct trace_site *site, struct frame *ret_frame)
{
    struct frame frames[FRAMES_OF_SITE];
    size_t count = frames_of_site(id, site, frames, FRAMES_OF_SITE), own = 0;

    while (own < count && !frame_is_own(&frames[own]))
        own++;
    *ret_frame = frames[own < count ? own : 0];
    return own < count;
}

#define NO_SITE UINT32_MAX

/**
 * The site, among a site and its callers, whose frame is the program's own; NO_SITE: there is none.
 * It is noted for every site on the way, so that all sites together take one walk.
 */
static uint32_t own_site(const struct trace_reader *reader, uint64_t site)
{
    uint32_t *note = trace_reader_site_notes(reader), own = 0;
    struct trace_site place;
    struct frame frame;
    uint64_t at = site;

    while (!own && trace_reader_site(reader, at, &place) == 0) {
        own = note[at - 1] ? note[at - 1] : own_find(at, &place, &frame) ? (uint32_t)at : 0;
        at = place.caller;
    }
    own = own ? own : NO_SITE;
    for (at = site; trace_reader_site(reader, at, &place) == 0 && !note[at - 1]; at = place.caller)
        note[at - 1] = own;
    return own;
}

bool frames_location(const struct trace_reader *reader, uint64_t site, struct frame *ret_frame)
{
    struct trace_site place;
    uint32_t own;

    if (trace_reader_site(reader, site, &place) < 0)
        return false;
    own = own_site(reader, site);
    if (own != NO_SITE)
        trace_reader_site(reader, own, &place);
    own_find(own != NO_SITE ? own : site, &place, ret_frame);
    frame_disguise(ret_frame);
    return true;
}

size_t frames_share(struct frames_budget *budget, size_t rest)
{
    return budget->written < FRAMES_WHOLE ? FRAMES_MOST : rest;
}

void frame_text(const struct frame *frame, char *ret_text, size_t text_bytes)
{
    const char *module = frame->site.module ? frame_file_name(frame->site.module) : NULL;
    const char *changed = frame->changed ? " (changed)" : "";

    if (!module)
        snprintf(ret_text, text_bytes, "no module +%#llx", (unsigned long long)frame->site.offset);
    else if (frame->site.function)
        snprintf(ret_text, text_bytes, "%s:%llu %s", module, (unsigned long long)frame->line,
                 frame->function);
    else if (frame->function && frame->file && frame->line)
        snprintf(ret_text, text_bytes, "%s:%llu %s (%s)", frame_file_name(frame->file),
                 (unsigned long long)frame->line, frame->function, module);
    else if (frame->function)
        snprintf(ret_text, text_bytes, "%s+%#llx (%s)", frame->function,
                 (unsigned long long)frame->symbol->offset, module);
    else
        snprintf(ret_text, text_bytes, "%s+%#llx%s", module, (unsigned long long)frame->site.offset,
                 changed);
    safe_text_end(ret_text, text_bytes);
}
