/*
 * A trace of one boot: each chunk that it read, when, and how the chunk came. Text, one event a
 * line. `dlfuse trace` prints it; `dlfuse-chunker create --profile` and the plotter read it.
 * docs/FORMAT.md has the grammar.
 *
 *   dlfuse-trace 1
 *   image NAME SERIAL INDEX_SHA256
 *   touch US OFFSET LENGTH XXH3 WAIT_US           a chunk was read for the first time
 *   fetch US OFFSET LENGTH STORED CLASS ASKED_US  a chunk came
 *   fill US BYTES                                 content filled in since the fill before
 *   ready US                                      the machine said that its boot was over
 *   complete US                                   all of the image was there
 *   end US                                        when the trace was taken
 *
 * CLASS is demand, prefetch, boot or fill.
 *
 * US: microseconds since the node started. XXH3: 16 hexadecimal digits. Lines are in order of US;
 * the line "end" is the last. Bytes are of the image, STORED of the store.
 */
#ifndef DLFUSE_FORMAT_TRACE_H
#define DLFUSE_FORMAT_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "format/digest.h"
#include "format/err.h"
#include "format/limits.h"

#define DLF_TRACE_VERSION 1

/* Characters of a line, newline and NUL included. */
#define DLF_TRACE_LINE_MAX 320

enum dlf_trace_kind {
    DLF_TRACE_TOUCH,
    DLF_TRACE_FETCH,
    DLF_TRACE_FILL,
    DLF_TRACE_READY,
    DLF_TRACE_COMPLETE,
    DLF_TRACE_END,
};

/* How a chunk came. */
enum dlf_trace_class {
    DLF_TRACE_DEMAND,
    DLF_TRACE_PREFETCH,
    DLF_TRACE_BOOT,
    DLF_TRACE_FILLED,
};

struct dlf_trace_head {
    char name[DLF_NAME_MAX + 1];
    uint64_t serial;
    struct dlf_sha256 index;
};

struct dlf_trace_event {
    enum dlf_trace_kind kind;
    uint64_t us;
    uint64_t offset;            /* TOUCH, FETCH: in the image, bytes */
    uint32_t length;            /* TOUCH, FETCH: 1 to DLF_CHUNK_MAX */
    uint64_t xxh3;              /* TOUCH */
    uint64_t wait_us;           /* TOUCH: how long the first reader waited; 0: not at all */
    uint32_t stored_length;     /* FETCH */
    enum dlf_trace_class class; /* FETCH */
    uint64_t asked_us;          /* FETCH: at most us */
    uint64_t bytes;             /* FILL */
};

/* The first two lines, NUL-terminated. Returns their length. */
int dlf_trace_format_head(const struct dlf_trace_head *head, char out[2 * DLF_TRACE_LINE_MAX]);

/* One line with its newline, NUL-terminated. Returns its length. */
int dlf_trace_format_event(const struct dlf_trace_event *event, char out[DLF_TRACE_LINE_MAX]);

/*
 * Reads line number line (from 1; the first two are the head's), without its newline.
 * dlf_trace_parse_head takes lines 1 and 2 one after the other. -EBADMSG with the line's number in
 * err, -ENOTSUP for another version. Outputs are untouched on failure.
 */
int dlf_trace_parse_head(struct dlf_trace_head *head, unsigned line, const char *text,
                         struct dlf_err *err);
int dlf_trace_parse_event(struct dlf_trace_event *event, unsigned line, const char *text,
                          struct dlf_err *err);

#endif
