/* SPDX-License-Identifier: MIT */
/*
 * `cupool pack`: compresses a trace for keeping and sending, and restores it with -d. The file
 * appears whole or not at all.
 */
#include "tools/cli/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cupti/format/trace_format.h"
#include "tools/trace/anonymize.h"
#include "tools/base/file/outfile.h"
#include "tools/trace/packed.h"
#include "tools/base/progress.h"
#include "tools/trace/trace_open.h"

#define VERB_NAME  "pack"
#define HOLE_FOLD  100 /* so many times the bytes of a trace may be in holes */
#define HOLE_LEAST (UINT64_C(16) << 20)
#define SUFFIX     ".zst"

static const char help_text[] =
    "Options:\n"
    "  -o, --output FILE  the file to write (default: TRACE.zst; with -d TRACE without .zst)\n"
    "  -d, --unpack       restore a packed trace, byte for byte\n"
    "      --anonymize    replace paths, command line, build ids and phase names by hashes\n"
    "      --force        overwrite the output file\n"
    "  -q, --quiet        no progress on the terminal\n"
    "  -h, --help\n\n"
    "All verbs read packed traces as they are. 'zstd -d' unpacks them, too.\n"
    "--anonymize keeps: sizes, times, addresses, offsets, thread and process ids, names of CUDA\n"
    "functions and of the device. Equal strings have equal hashes, so a guess can be verified.\n\n"
    "Examples:\n"
    "  cupool pack infer.1234.cupool\n"
    "  cupool pack -d infer.1234.cupool.zst\n"
    "  cupool pack --anonymize -o share.cupool.zst infer.1234.cupool\n";

struct request {
    const char *output, *trace;
    bool unpack, anonymize, force;
};

enum { OPTION_ANONYMIZE = 256, OPTION_FORCE };

static int option_set(void *state, int option)
{
    struct request *request = state;

    switch (option) {
    case 'o': request->output = optarg; break;
    case 'd': request->unpack = true; break;
    case OPTION_ANONYMIZE: request->anonymize = true; break;
    case OPTION_FORCE: request->force = true; break;
    case 'q': progress_silence(); break;
    default: return VERB_OPTION_UNKNOWN;
    }
    return 0;
}

/** Fills the request. 0: go on; otherwise an exit code + 1. */
static int request_read(int argc, char **argv, struct request *ret_request)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"unpack", no_argument, NULL, 'd'},
                                            {"anonymize", no_argument, NULL, OPTION_ANONYMIZE},
                                            {"force", no_argument, NULL, OPTION_FORCE},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static const struct verb_options reading = {VERB_NAME, EXIT_TROUBLE, help_text,
                                                ":o:dqh",  options,      option_set};
    int trouble = verb_options_read(&reading, argc, argv, ret_request);

    if (trouble)
        return trouble;
    if (optind + 1 != argc)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "give one trace, not %d", argc - optind);
    if (!trouble && ret_request->unpack && ret_request->anonymize)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                             "--anonymize: cannot be combined with --unpack");
    ret_request->trace = argv[optind];
    return trouble ? trouble + 1 : 0;
}

/** Everything between one file and the other. */
struct work {
    const struct request *request;
    struct trace_source source;
    struct anonymize *anonymize;
    struct progress progress;
    FILE *out;
    unsigned char *buffer;
};

static int file_put(void *context, const void *data, size_t bytes)
{
    errno = 0;
    return fwrite(data, 1, bytes, context) == bytes ? 0 : errno ? -errno : -EIO;
}

/** Reads the next piece, with its strings replaced on request. */
static int64_t piece_read(struct work *work, uint64_t offset)
{
    int64_t got = trace_source_read(&work->source, work->buffer, PACKED_FRAME_BYTES, offset);

    for (int64_t at = 0; work->anonymize && at < got; at += TRACE_BLOCK_BYTES) {
        int64_t left = got - at < TRACE_BLOCK_BYTES ? got - at : TRACE_BLOCK_BYTES;

        if (offset + (uint64_t)at)
            anonymize_block(work->anonymize, work->buffer + at, (size_t)left);
        else
            anonymize_file_header(work->buffer, (size_t)left);
    }
    return got;
}

static int bytes_copy(struct work *work)
{
    struct packer *packer = NULL;
    int error = work->request->unpack ? 0 : packer_create(file_put, work->out, &packer);
    int64_t got = 0;

    for (uint64_t offset = 0; error == 0; offset += (uint64_t)got) {
        got = piece_read(work, offset);
        if (got <= 0) {
            error = (int)got;
            break;
        }
        error = packer ? packer_add(packer, work->buffer, (size_t)got)
                       : file_put(work->out, work->buffer, (size_t)got);
        progress_add(&work->progress, (uint64_t)got);
    }
    if (error == 0 && packer)
        error = packer_finish(packer);
    packer_destroy(packer);
    progress_end(&work->progress);
    return error;
}

/** Only the owner may read a trace. */
static int output_write(struct work *work, const char *output)
{
    struct outfile file;
    int error = outfile_open(output, work->request->force ? OUTFILE_REPLACE : OUTFILE_NEW, 0600,
                             &file);

    if (error < 0)
        return error;
    work->out = file.stream;
    progress_begin(&work->progress, output, work->source.bytes);
    return outfile_close(&file, bytes_copy(work));
}

/** Returns the default name of the output. free() it; NULL: none can be made. */
static char *output_name(const struct request *request)
{
    size_t bytes = strlen(request->trace), suffix = strlen(SUFFIX);
    char *name = malloc(bytes + suffix + 1);

    if (!name)
        return NULL;
    memcpy(name, request->trace, bytes + 1);
    if (!request->unpack) {
        memcpy(name + bytes, SUFFIX, suffix + 1);
    } else if (bytes > suffix && !strcmp(name + bytes - suffix, SUFFIX)) {
        name[bytes - suffix] = '\0';
    } else {
        free(name);
        return NULL;
    }
    return name;
}

/** Whether a trace has a hole many times as long as all it holds, of which every frame would take
 * time, and which no reader of the packed trace would believe. */
static bool is_mostly_hole(const struct trace_source *source)
{
    uint64_t held = 0, at = source->data ? source->data(source->context, 0) : source->bytes;

    for (; at < source->bytes; at = source->data(source->context, at + TRACE_BLOCK_BYTES))
        held += TRACE_BLOCK_BYTES;
    return source->data && source->bytes > HOLE_LEAST && source->bytes / HOLE_FOLD > held;
}

/** Reads the whole trace before packing it: a damaged one is not packed. */
static int trace_verify(struct work *work)
{
    struct trace_reader *reader;
    char why[256];
    int error = trace_open(work->request->trace, &reader, why, sizeof why);

    if (error == 0 && work->request->anonymize)
        error = anonymize_create(reader, &work->anonymize, why, sizeof why);
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", work->request->trace, why);
    trace_reader_close(reader);
    return 0;
}

static int pack(struct work *work, const char *output)
{
    struct stat status;
    char why[256];
    int error;

    /* Avoids reading the trace in vain; outfile_open() makes the final check. */
    if (!work->request->force && stat(output, &status) == 0 && S_ISREG(status.st_mode))
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", output, outfile_reason(-EEXIST));
    error = trace_verify(work);
    if (error)
        return error;
    if (trace_source_open(work->request->trace, &work->source, why, sizeof why) < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", work->request->trace, why);
    if (!work->request->unpack && is_mostly_hole(&work->source)) {
        work->source.close(work->source.context);
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "%s: mostly a hole: it is small as it is, and every verb reads it",
                          work->request->trace);
    }
    error = output_write(work, output);
    work->source.close(work->source.context);
    if (error == -ENOTSUP)
        return verb_error(VERB_NAME, EXIT_TROUBLE,
                          "not built in: install libzstd-dev and build cupool again");
    if (error < 0)
        return verb_error(VERB_NAME, EXIT_TROUBLE, "%s: %s", output, outfile_reason(error));
    return EXIT_FINE;
}

int verb_pack(int argc, char **argv)
{
    struct request request = {0};
    struct work work = {.request = &request};
    int trouble = request_read(argc, argv, &request);
    char *output;

    if (trouble)
        return trouble - 1;
    output = request.output ? strdup(request.output) : output_name(&request);
    work.buffer = malloc(PACKED_FRAME_BYTES);
    if (!output)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE,
                             "%s: not the name of a packed trace: say with -o "
                             "where to write",
                             request.trace);
    else if (!work.buffer)
        trouble = verb_error(VERB_NAME, EXIT_TROUBLE, "out of memory");
    else
        trouble = pack(&work, output);
    anonymize_destroy(work.anonymize);
    free(work.buffer);
    free(output);
    return trouble;
}
