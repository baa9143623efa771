/*
 * The input image: a regular file, a block device, a partition of one of these, or a pipe. Finds
 * its data (as far as the system knows the holes) and reads it. One thread.
 */
#ifndef DLFUSE_CHUNKER_INPUT_H
#define DLFUSE_CHUNKER_INPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "format/err.h"

struct input {
    int fd;
    const char *path;     /* borrowed; "standard input" for "-" */
    bool size_known;      /* false for a pipe until its end was read */
    uint64_t size_bytes;  /* valid when known */
    bool seeks;           /* pread works */
    bool finds_holes;     /* SEEK_DATA works */
    uint64_t start_bytes; /* of a partition: where it begins; valid when seeks */
    uint64_t read_bytes;  /* of a pipe, so far */
    uint8_t *peeked;      /* of a pipe: bytes that input_read has yet to return; NULL: none */
    size_t peeked_bytes;
    size_t peeked_used;
    struct stat before; /* the file's state when it was opened */
};

/*
 * path "-" is standard input. path must stay valid until input_close. A directory, a file that
 * cannot be read, or one over DLF_IMAGE_MAX is refused.
 */
int input_open(struct input *in, const char *path, struct dlf_err *err);
void input_close(struct input *in);

/* Restricts the input to this part, of size_bytes. The input must seek. */
void input_select(struct input *in, uint64_t start_bytes, uint64_t size_bytes);

/* The first bytes of a pipe, at most size; input_read returns them again. *data stays valid until
 * then. Call it once, before the first input_read. Returns their number, or a negative errno. */
ssize_t input_peek(struct input *in, const uint8_t **data, size_t size, struct dlf_err *err);

/*
 * The next data at or after from, as whole CUT_BLOCK blocks: [*start, *end), *end cut to the size.
 * Skipped bytes are zeros. 1 when there is data, 0 when the rest is a hole. A pipe is one extent
 * without end. An extent may contain zeros.
 */
int input_extent(struct input *in, uint64_t from, uint64_t *start, uint64_t *end,
                 struct dlf_err *err);

/*
 * Reads size bytes at offset, fewer only at the end of a pipe. Offsets in a pipe must be in order.
 * Returns the number of bytes, or a negative errno; a file that ends before its size is an error.
 */
ssize_t input_read(struct input *in, void *data, size_t size, uint64_t offset, struct dlf_err *err);

/* -EBUSY when a regular file's size or time of modification has changed since input_open. */
int input_unchanged(const struct input *in, struct dlf_err *err);

#endif
