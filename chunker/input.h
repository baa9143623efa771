/*
 * The image that is read: a regular file, a block device, a partition of one of these, or a pipe.
 * Says where its data lies (as far as the system knows) and reads it. One thread.
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
    uint8_t *peeked;      /* of a pipe: read, and not given out yet; NULL: none */
    size_t peeked_bytes;
    size_t peeked_used;
    struct stat before; /* as it was when opened */
};

/*
 * path "-" is standard input. path must stay valid until input_close. A directory, a file that
 * cannot be read, or one over DLF_IMAGE_MAX is refused.
 */
int input_open(struct input *in, const char *path, struct dlf_err *err);
void input_close(struct input *in);

/* From now on only this part of it is there; size_bytes is its size. It must seek. */
void input_select(struct input *in, uint64_t start_bytes, uint64_t size_bytes);

/* The first bytes of a pipe, at most size, which input_read gives all the same; *data stays valid
 * until then. Before the first input_read, once. The number, or a negative errno. */
ssize_t input_peek(struct input *in, const uint8_t **data, size_t size, struct dlf_err *err);

/*
 * The next data at or after from, as whole CUT_BLOCK blocks: [*start, *end), *end cut to the size.
 * What is skipped is zeros. 1 when there is some, 0 when the rest is a hole. A pipe is one extent
 * without end. Bytes in the extent may still be zero.
 */
int input_extent(struct input *in, uint64_t from, uint64_t *start, uint64_t *end,
                 struct dlf_err *err);

/*
 * Reads size bytes at offset, fewer only at the end of a pipe (whose offsets must be in order).
 * Bytes, or a negative errno; a file that ends before its size is an error.
 */
ssize_t input_read(struct input *in, void *data, size_t size, uint64_t offset, struct dlf_err *err);

/* -EBUSY when a regular file's size or time of modification is not what it was when opened. */
int input_unchanged(const struct input *in, struct dlf_err *err);

#endif
