/* SPDX-License-Identifier: MIT */
#include "tools/symbols/frames.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "cupti/base/safe_text.h"
#include "tools/base/disguise.h"
#include "tools/symbols/function_name.h"
#include "tools/symbols/wrappers.h"

/* Libraries by file name: CUDA and libraries on top of it, the libraries by which interpreters
 * call it, and frameworks with their own allocators. */
static const char *const libraries[] = {
    "libcuda.so*", "libcudart*", "libcupool*",    "libcublas*",     "libcudnn*",
    "libcufft*",   "libcurand*", "libcusolver*",  "libcusparse*",   "libcutensor*",
    "libcupti*",   "libnvrtc*",  "libnvJitLink*", "libnvjpeg*",     "libnpp*",
    "libnvinfer*", "libnccl*",   "libnvshmem*",   "libuc[mpst]*",   "libnvidia-*",
    "libffi*",     "_ctypes*",   "libc.so*",      "libc10*",        "libtorch*",
    "libstdc++*",  "libgcc_s*",  "ld-linux*",     "libpthread.so*", "python",
    "python[23]*", "libpython*",
};

/* By path, also for native modules: Python's standard library and installed packages. */
static const char *const installed[] = {"*/site-packages/*", "*/dist-packages/*", "*/lib/python3*"};
/* Python that has no file: the interpreter's own, and what packages generate. */
static const char *const generated[] = {"<frozen *", "<attrs generated *", "<eval_with_key>*",
                                        "<__array_function__ internals>", "<decorator-gen-*"};

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

/** Frames from CUDA within which a package is searched: bounds the cost. */
#define FRAMES_TO_PACKAGE 64

/** More than any address has: symbols.c keeps no more. */
#define FRAMES_OF_SITE 32

/** Functions of a CUDA runtime that is linked into the program. */
static bool is_of_runtime(const char *function)
{
    return (!strncmp(function, "cuda", 4) && isupper((unsigned char)function[4])) ||
           !strncmp(function, "__cudart", 8) || !strncmp(function, "libcudart_static", 16);
}

/** Functions of the C runtime that are linked into the program. */
static bool is_of_start(const char *function)
{
    return !strcmp(function, "_start") || !strcmp(function, "__libc_start_main") ||
           !strcmp(function, "__libc_csu_init") || !strcmp(function, "_dl_relocate_static_pie");
}

/** Python without a file that the program did not write. `python -c` has "<string>", too. */
static bool is_generated(const char *file, const char *function)
{
    const char *dot = strrchr(function, '.'), *name = dot ? dot + 1 : function;

    if (strcmp(file, "<string>") != 0)
        return fits_any(generated, sizeof generated / sizeof *generated, file);
    return !strncmp(name, "__", 2) || !strcmp(name, "<lambda>"); /* of a dataclass, a named tuple */
}

/** Whether a frame is the program's own, by its path and its function. */
static bool frame_is_own(const struct frame *frame)
{
    if (!frame->site.module)
        return false;
    if (fits_any(installed, sizeof installed / sizeof *installed, frame->site.module))
        return false;
    if (frame->site.function)
        return !is_generated(frame->site.module, frame->site.function);
    return !fits_any(libraries, sizeof libraries / sizeof *libraries,
                     frame_file_name(frame->site.module)) &&
           !(frame->function && is_of_start(frame->function)) &&
           !(frame->function && is_of_runtime(frame->function)) &&
           frame->role != FUNCTION_OF_LIBRARY;
}

bool frame_is_passed(const struct frame *frame)
{
    return !frame_is_own(frame) || wrappers_has(frame->site.module, frame->function);
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
                                           .role = symbol->frame[count].role,
                                           .file = symbol->frame[count].file,
                                           .line = symbol->frame[count].line,
                                           .column = symbol->frame[count].column,
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

/** Functions that start programs and threads, wherever they are linked. */
static bool is_named_start(const char *function)
{
    static const char *const names[] = {"_start",
                                        "__libc_start_call_main",
                                        "__libc_start_main",
                                        "__libc_start_main_impl",
                                        "__libc_start_main_alias_?",
                                        "generic_start_main*",
                                        "start_thread",
                                        "thread_start",
                                        "clone",
                                        "__clone",
                                        "clone3",
                                        "__clone3",
                                        "__clone_internal",
                                        "__GI___clone*",
                                        "libc_start_main_stage2",
                                        "_start_c",
                                        "execute_native_thread_routine*"};
    char plain[64];

    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(function, "@"), function);
    return fits_any(names, sizeof names / sizeof *names, plain);
}

static bool is_in_libc(const struct frame *frame)
{
    static const char *const files[] = {"libc.so*",  "libc-*.so", "libpthread*.so*",
                                        "ld-linux*", "ld-*.so*",  "libc.musl*"};

    return frame->site.module &&
           fits_any(files, sizeof files / sizeof *files, frame_file_name(frame->site.module));
}

/** Whether the outermost of these frames only starts the others; `whole`: none was removed yet. */
static bool is_start(const struct frame *frames, size_t count, bool whole)
{
    const struct frame *frame = &frames[count - 1];

    if (frame->site.function) /* of Python */
        return false;
    if (frame->function)
        return is_named_start(frame->function);
    if (is_in_libc(frame))
        return true;
    if (!frame->site.module)
        return false;
    if (whole) /* _start of a stripped program */
        return count > 1 && is_in_libc(frame - 1) &&
               (!frame[-1].function || is_named_start(frame[-1].function));
    return fnmatch("libstdc++.so*", frame_file_name(frame->site.module), 0) == 0;
}

size_t frames_without_start(const struct frame *frames, size_t count)
{
    size_t left = count;

    while (left && is_start(frames, left, left == count))
        left--;
    return left ? left : count;
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

/** Search among the frames of one site, including inlined ones. */
enum wanted { WANTED_PLACE, WANTED_LAST_OWN };

/** The first frame of the program that is no wrapper; or the last one of the program. */
static bool own_find(uint64_t id, const struct trace_site *site, enum wanted wanted,
                     struct frame *ret_frame, size_t *ret_row)
{
    struct frame frames[FRAMES_OF_SITE];
    size_t count = frames_of_site(id, site, frames, FRAMES_OF_SITE), own = count;

    for (size_t i = 0; i < count; i++)
        if (wanted == WANTED_PLACE ? !frame_is_passed(&frames[i]) : frame_is_own(&frames[i])) {
            own = i;
            if (wanted == WANTED_PLACE)
                break;
        }
    *ret_row = own < count ? own : 0;
    *ret_frame = frames[*ret_row];
    return own < count;
}

#define NO_SITE UINT32_MAX

/* Notes of sites: the location, which depends on the wrappers; the nearest site, from it on, that
 * has a frame of the program, which does not. */
enum note { NOTE_LOCATION, NOTE_OWN };

/** Marks a site chosen as location for lack of another: all frames of the program are wrappers. */
#define LAST_OWN (UINT32_C(1) << 31)

/** Finds the location of a site, without the cached result. */
static uint32_t place_find(const struct trace_reader *reader, uint64_t site)
{
    uint32_t *note = trace_reader_site_notes(reader, NOTE_LOCATION), last = NO_SITE;
    struct trace_site place;
    struct frame frame;
    size_t row;

    for (uint64_t at = site; trace_reader_site(reader, at, &place) == 0; at = place.caller) {
        if (note[at - 1])
            return note[at - 1] == NO_SITE ? last : note[at - 1];
        if (own_find(at, &place, WANTED_PLACE, &frame, &row))
            return (uint32_t)at;
        if (at < LAST_OWN && own_find(at, &place, WANTED_LAST_OWN, &frame, &row))
            last = (uint32_t)at | LAST_OWN;
    }
    return last;
}

/**
 * Returns the site, among a site and its callers, that has the location; NO_SITE: none. Caches it
 * for every site on the way, so that all sites together take one walk.
 */
static uint32_t own_site(const struct trace_reader *reader, uint64_t site)
{
    uint32_t *note = trace_reader_site_notes(reader, NOTE_LOCATION);
    uint32_t own = place_find(reader, site), above = own;
    struct trace_site place;

    for (uint64_t at = site; trace_reader_site(reader, at, &place) == 0 && !note[at - 1];
         at = place.caller) {
        note[at - 1] = above;
        if (at == own)
            break;
        if (at == (own & ~LAST_OWN)) /* none but libraries call it */
            above = NO_SITE;
    }
    return own;
}

static bool has_own(uint64_t id, const struct trace_site *site)
{
    struct frame frame;
    size_t row;

    return own_find(id, site, WANTED_LAST_OWN, &frame, &row);
}

/**
 * Returns the nearest site, among a site and its callers, with a frame of the program; 0: none.
 * Caches it likewise: libraries may call each other a million frames deep.
 */
static uint64_t own_next(const struct trace_reader *reader, uint64_t site)
{
    uint32_t *note = trace_reader_site_notes(reader, NOTE_OWN), own = NO_SITE;
    struct trace_site place;

    for (uint64_t at = site; own == NO_SITE && trace_reader_site(reader, at, &place) == 0;
         at = place.caller) {
        if (note[at - 1]) {
            own = note[at - 1];
            break;
        }
        if (has_own(at, &place))
            own = (uint32_t)at;
    }
    for (uint64_t at = site; trace_reader_site(reader, at, &place) == 0 && !note[at - 1];
         at = place.caller) {
        note[at - 1] = own;
        if (at == own)
            break;
    }
    return own == NO_SITE ? 0 : own;
}

void frames_forget(const struct trace_reader *reader)
{
    size_t sites = trace_reader_summary(reader)->sites;

    if (sites)
        memset(trace_reader_site_notes(reader, NOTE_LOCATION), 0, sites * sizeof(uint32_t));
}

/** Package of a path: "torch/lib/…" of ".../site-packages/torch/lib/…"; NULL: none. */
static const char *package_of(const char *path)
{
    const char *at = strstr(path, "/site-packages/");

    at = at ? at : strstr(path, "/dist-packages/");
    at = at ? at + strlen("/site-packages/") : NULL;
    return at && strncmp(at, "nvidia/", 7) != 0 ? at : NULL; /* that is CUDA itself */
}

/** The installed package nearest to CUDA that the program's line called into; NULL: none. */
static const char *package_find(const struct trace_reader *reader, uint64_t site, uint64_t own)
{
    struct trace_site place;
    const char *package = NULL;

    for (int i = 0; i < FRAMES_TO_PACKAGE && site != own && !package &&
                    trace_reader_site(reader, site, &place) == 0;
         i++, site = place.caller)
        package = place.module ? package_of(place.module) : NULL;
    return package;
}

/** Returns the location itself; `ret_row`: its number among the frames of its site. */
static bool location_find(const struct trace_reader *reader, uint64_t site, struct frame *ret_frame,
                          size_t *ret_row)
{
    struct trace_site place;
    uint64_t innermost = site;
    uint32_t own;

    if (trace_reader_site(reader, site, &place) < 0)
        return false;
    own = own_site(reader, site);
    if (own != NO_SITE)
        site = own & ~LAST_OWN;
    trace_reader_site(reader, site, &place);
    own_find(site, &place, own != NO_SITE && own & LAST_OWN ? WANTED_LAST_OWN : WANTED_PLACE,
             ret_frame, ret_row);
    if (own != NO_SITE && !disguise_is_on())
        ret_frame->package = package_find(reader, innermost, site);
    return true;
}

bool frames_location(const struct trace_reader *reader, uint64_t site, struct frame *ret_frame)
{
    size_t row;

    if (!location_find(reader, site, ret_frame, &row))
        return false;
    frame_disguise(ret_frame);
    return true;
}

size_t frames_callers(const struct trace_reader *reader, uint64_t site, struct frame *ret_frames,
                      size_t most)
{
    struct frame frames[FRAMES_OF_SITE], location;
    struct trace_site place;
    size_t row, count = 0;

    if (!location_find(reader, site, &location, &row))
        return 0;
    row++;
    for (uint64_t at = own_next(reader, location.id);
         count < most && trace_reader_site(reader, at, &place) == 0;
         at = own_next(reader, place.caller)) {
        size_t found = frames_of_site(at, &place, frames, FRAMES_OF_SITE);

        for (row = at == location.id ? row : 0; row < found && count < most; row++)
            if (frame_is_own(&frames[row])) {
                ret_frames[count] = frames[row];
                frame_disguise(&ret_frames[count++]);
            }
    }
    return count;
}

size_t frames_passed(const struct trace_reader *reader, uint64_t site, struct frame *ret_frames,
                     size_t most)
{
    struct frame frames[FRAMES_OF_SITE], location;
    struct trace_site place;
    size_t end, count = 0;

    if (!location_find(reader, site, &location, &end))
        return 0;
    for (uint64_t at = own_next(reader, site); at >= location.id && count < most;
         at = own_next(reader, place.caller)) {
        size_t found;

        trace_reader_site(reader, at, &place);
        found = frames_of_site(at, &place, frames, FRAMES_OF_SITE);
        for (size_t i = 0; i < (at == location.id ? end : found) && count < most; i++)
            if (frame_is_own(&frames[i])) {
                ret_frames[count] = frames[i];
                frame_disguise(&ret_frames[count++]);
            }
        if (at == location.id)
            break;
    }
    return count;
}

size_t frames_share(struct frames_budget *budget, size_t rest)
{
    return budget->written < FRAMES_WHOLE ? FRAMES_MOST : rest;
}

static void python_text(const struct frame *frame, const char *file, char *ret_text,
                        size_t text_bytes)
{
    char package[64] = "";

    if (frame->package)
        snprintf(package, sizeof package, " (%.*s)", (int)strcspn(frame->package, "/"),
                 frame->package);
    snprintf(ret_text, text_bytes, "%s:%llu %s%s", file, (unsigned long long)frame->line,
             frame->function, package);
}

void frame_text(const struct frame *frame, char *ret_text, size_t text_bytes)
{
    const char *module = frame->site.module ? frame_file_name(frame->site.module) : NULL;
    const char *changed = frame->changed ? " (changed)" : "";
    char function[256] = "";

    if (frame->function)
        function_name_copy(frame->function, function, sizeof function);
    if (!module)
        snprintf(ret_text, text_bytes, "no module +%#llx", (unsigned long long)frame->site.offset);
    else if (frame->site.function)
        python_text(frame, module, ret_text, text_bytes);
    else if (frame->function && frame->file && frame->line)
        snprintf(ret_text, text_bytes, "%s:%llu %s (%s)", frame_file_name(frame->file),
                 (unsigned long long)frame->line, function, module);
    else if (frame->function)
        snprintf(ret_text, text_bytes, "%s+%#llx (%s)", function,
                 (unsigned long long)frame->symbol->offset, module);
    else
        snprintf(ret_text, text_bytes, "%s+%#llx%s", module, (unsigned long long)frame->site.offset,
                 changed);
    safe_text_end(ret_text, text_bytes);
}

/** Cuts the suffix that the compiler adds to the name of a copy: [clone .isra.0], .constprop.0. */
static void suffix_cut(char *function)
{
    static const char *const suffixes[] = {
        " [clone ", ".constprop.", ".isra.", ".part.", ".cold", ".lto_priv.",
    };

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *found = strstr(function, suffixes[i]);

        if (found && found != function)
            *found = '\0';
    }
}

void frame_function_key(const struct frame *frame, char *ret_text, size_t text_bytes)
{
    if (!frame->site.module)
        snprintf(ret_text, text_bytes, "unknown");
    else if (frame->function)
        snprintf(ret_text, text_bytes, "%s", frame->function);
    else
        snprintf(ret_text, text_bytes, "+%#llx", (unsigned long long)frame->site.offset);
    if (frame->function && !frame->site.function)
        suffix_cut(ret_text);
    safe_text_end(ret_text, text_bytes);
}

void frame_key(const struct frame *frame, char *ret_text, size_t text_bytes)
{
    char function[1024];

    frame_function_key(frame, function, sizeof function);
    snprintf(ret_text, text_bytes, "%s:%s",
             frame->site.module ? frame_file_name(frame->site.module) : "unknown", function);
    safe_text_end(ret_text, text_bytes);
}
