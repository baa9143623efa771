/*
 * Turns an image into chunks, in order: skips holes and zero blocks, and hands each run of other
 * blocks to the cutter.
 *
 * A 4 KiB block of zeros (aligned in the image; also a shorter last one) is never part of a chunk:
 * it ends the chunk before it, and the cutter starts afresh after it. So an image gives the same
 * chunks whether its zeros are holes or written out. Cuts do not depend on read_bytes.
 *
 * One thread.
 */
#ifndef DLFUSE_CHUNKER_SCANNER_H
#define DLFUSE_CHUNKER_SCANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/cutter.h"
#include "chunker/input.h"

#define SCANNER_READ_BYTES ((size_t)1 << 20)

struct scanner {
    struct input *input; /* borrowed */
    struct cutter cutter;
    size_t read_bytes;

    uint8_t *buffer;
    size_t room;           /* of the buffer */
    uint64_t buffer_start; /* image offset of buffer[0] */
    size_t pos;            /* where the next chunk begins */
    size_t scanned;        /* buffer[pos, scanned) is in one run, no block of it is zero */
    size_t have;           /* bytes in the buffer */
    uint64_t extent_end;   /* image offset; data can be read up to here */
    bool run_ended;        /* the run ends at scanned */
    bool input_ended;
};

struct scanned_chunk {
    uint64_t offset;     /* in the image */
    uint32_t length;     /* 1 to the cutter's maximum */
    const uint8_t *data; /* valid until the next call */
};

/* read_bytes: the size of one read, at least 1. -ENOMEM. */
int scanner_init(struct scanner *scanner, struct input *input, size_t read_bytes,
                 struct dlf_err *err);
void scanner_free(struct scanner *scanner);

/*
 * Up to room bytes of the image's start, without consuming them; zero bytes when it begins with a
 * hole. Before scanner_next only. The number of bytes, or a negative errno.
 */
ssize_t scanner_peek(struct scanner *scanner, const uint8_t **data, struct dlf_err *err);

/* Must be called before scanner_next. */
void scanner_set_cutter(struct scanner *scanner, const struct cutter *cutter);

/* 1 and the next chunk, 0 at the image's end (its size is known then), or a negative errno. */
int scanner_next(struct scanner *scanner, struct scanned_chunk *chunk, struct dlf_err *err);

#endif
