/* SPDX-License-Identifier: MIT */
/*
 * Packed traces: Zstandard frames, each with its checksum, and a table of their positions, in the
 * seekable format of Zstandard's contrib/seekable_format; `zstd -d` also unpacks them.
 *
 * A packed file is not trusted. An unpacked frame is at most PACKED_FRAME_BYTES, so memory does not
 * depend on the file's claims, and one that claims to be more than a thousandfold of its size is
 * refused.
 *
 * Threading: a source belongs to one thread at a time.
 */
#ifndef TOOLS_TRACE_PACKED_H
#define TOOLS_TRACE_PACKED_H

#include "cupti/read/trace_reader.h"

#define PACKED_FRAME_BYTES 262144

/** Whether a file begins as a packed one does. */
bool packed_is(const struct trace_source *file);

/**
 * Reads the unpacked bytes of a packed file, which the new source owns on success. Errors:
 * -EBADMSG damage, -ENOTSUP not built in, -ENOMEM; ret_why is one line.
 */
int packed_open(const struct trace_source *file, struct trace_source *ret_source, char *ret_why,
                size_t why_bytes);

/** Output function. 0 or a negative errno. */
typedef int packed_put_fn(void *context, const void *data, size_t bytes);

struct packer;

/** Errors: -ENOTSUP not built in, -ENOMEM. */
int packer_create(packed_put_fn *put, void *context, struct packer **ret_packer);

/** Packs one frame of at most PACKED_FRAME_BYTES. Errors: those of put, -ENOMEM, -EFBIG. */
int packer_add(struct packer *packer, const void *data, size_t bytes);

/** Writes the table. */
int packer_finish(struct packer *packer);

/** NULL is accepted. */
void packer_destroy(struct packer *packer);

#endif
