/*
 * The recorder: which chunks were read for the first time, which came when and how. Its text is a
 * boot profile for the chunker and a picture for people (format/trace.h).
 *
 * It is always on: a read of a chunk that was read before costs one atomic load. Each chunk is
 * recorded twice at most, read and fetched, and the log takes EVENTS_MAX lines; later events are no
 * part of a boot.
 *
 * Threads: any. Its lock is a leaf.
 */
#ifndef DLFUSE_FUSE_TRACE_H
#define DLFUSE_FUSE_TRACE_H

#include <stdint.h>

#include "format/manifest.h"
#include "format/trace.h"
#include "fuse/pages.h"

struct dlf_trace;

/* chunks: records of the index. start_us: the time (dlf_now_us) that becomes 0. NULL: no memory. */
struct dlf_trace *dlf_trace_new(uint64_t chunks, uint64_t start_us);
void dlf_trace_free(struct dlf_trace *trace);

/* The chunk is being read. */
void dlf_trace_touch(struct dlf_trace *trace, uint64_t chunk);

/* The chunk came; asked_us: when it was asked for, as dlf_now_us. Not for DLF_TRACE_FILLED. */
void dlf_trace_fetch(struct dlf_trace *trace, uint64_t chunk, enum dlf_trace_class class,
                     uint64_t asked_us);

/* So many bytes of content were filled in. */
void dlf_trace_fill(struct dlf_trace *trace, uint32_t bytes);

/* DLF_TRACE_READY or DLF_TRACE_COMPLETE; the first time counts. */
void dlf_trace_mark(struct dlf_trace *trace, enum dlf_trace_kind kind);

/* The whole text so far; malloc. NULL: no memory. */
char *dlf_trace_text(struct dlf_trace *trace, const struct dlf_manifest *manifest,
                     const struct dlf_pages *pages);

#endif
