/*
 * The window over the image.
 *
 *      buffer[0]        pos                 scanned          have           room
 *      | given out      | known not zero    | not looked at  | free         |
 *
 * pos is a multiple of CUT_BLOCK in the image whenever pos == scanned; scanned always is, except at
 * the image's end. The buffer holds one extent at a time: at an extent's end the run ends too.
 */
#include "chunker/scanner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/limits.h"

int scanner_init(struct scanner *scanner, struct input *input, size_t read_bytes,
                 struct dlf_err *err)
{
    memset(scanner, 0, sizeof(*scanner));
    scanner->input = input;
    scanner->read_bytes = read_bytes;
    /* The longest chunk and the block after it must fit, and a read behind them. */
    scanner->room = DLF_CHUNK_MAX + CUT_BLOCK + (2 * SCANNER_READ_BYTES);
    if (scanner->read_bytes > SCANNER_READ_BYTES)
        scanner->read_bytes = SCANNER_READ_BYTES;
    scanner->buffer = malloc(scanner->room);
    if (!scanner->buffer)
        return dlf_fail(err, ENOMEM, "out of memory for reading the image");
    cutter_init(&scanner->cutter, CUT_BLOCKS, CUT_AVERAGE_DEFAULT);
    return 0;
}

void scanner_free(struct scanner *scanner)
{
    free(scanner->buffer);
    scanner->buffer = NULL;
}

void scanner_set_cutter(struct scanner *scanner, const struct cutter *cutter)
{
    scanner->cutter = *cutter;
}

/* Moves on to the next extent; the buffer must be empty. 1, 0 at the end, or an error. */
static int next_extent(struct scanner *scanner, struct dlf_err *err)
{
    uint64_t start = 0;
    uint64_t end = 0;
    uint64_t from = scanner->buffer_start + scanner->have;
    if (scanner->input_ended)
        return 0;
    int rc = input_extent(scanner->input, from, &start, &end, err);
    if (rc < 0)
        return rc;
    scanner->input_ended = rc == 0;
    scanner->buffer_start = start;
    scanner->extent_end = end;
    scanner->pos = scanner->scanned = scanner->have = 0;
    return rc;
}

/* Moves the bytes that were not given out yet to the buffer's front. */
static void compact(struct scanner *scanner)
{
    memmove(scanner->buffer, scanner->buffer + scanner->pos, scanner->have - scanner->pos);
    scanner->buffer_start += scanner->pos;
    scanner->have -= scanner->pos;
    scanner->scanned -= scanner->pos;
    scanner->pos = 0;
}

/*
 * At an extent's end: moves on when the next one begins right there, as with a hole smaller than a
 * block. 1, 0 when a hole follows, or an error.
 */
static int join_extent(struct scanner *scanner, struct dlf_err *err)
{
    uint64_t start = 0;
    uint64_t end = 0;
    int rc = input_extent(scanner->input, scanner->extent_end, &start, &end, err);
    if (rc <= 0 || start != scanner->extent_end)
        return rc < 0 ? rc : 0;
    scanner->extent_end = end;
    return 1;
}

/* Reads once. Bytes; 0 at the extent's end; or an error. */
static ssize_t fill(struct scanner *scanner, struct dlf_err *err)
{
    uint64_t at = scanner->buffer_start + scanner->have;
    size_t size = scanner->read_bytes;
    if (scanner->input_ended)
        return 0;
    if (at >= scanner->extent_end) {
        int rc = join_extent(scanner, err);
        if (rc <= 0)
            return rc;
    }
    if (size > scanner->extent_end - at)
        size = (size_t)(scanner->extent_end - at);
    if (scanner->room - scanner->have < size) {
        compact(scanner);
        at = scanner->buffer_start + scanner->have;
    }
    ssize_t n = input_read(scanner->input, scanner->buffer + scanner->have, size, at, err);
    if (n < 0)
        return n;
    scanner->have += (size_t)n;
    if ((size_t)n < size)
        scanner->input_ended = true;
    return n;
}

/* The size of the block at scanned: CUT_BLOCK, less at the image's end, 0 at the extent's end. */
static ssize_t next_block(struct scanner *scanner, struct dlf_err *err)
{
    while (scanner->have - scanner->scanned < CUT_BLOCK) {
        ssize_t n = fill(scanner, err);
        if (n < 0)
            return n;
        if (n == 0)
            return (ssize_t)(scanner->have - scanner->scanned);
    }
    return CUT_BLOCK;
}

/*
 * Looks at the block at scanned: takes it into the run, or ends the run. 0, or an error.
 */
static int extend_run(struct scanner *scanner, struct dlf_err *err)
{
    ssize_t size = next_block(scanner, err);
    if (size < 0)
        return (int)size;
    if (size == 0 || cut_is_zero(scanner->buffer + scanner->scanned, (size_t)size))
        scanner->run_ended = true;
    else
        scanner->scanned += (size_t)size;
    return 0;
}

/* Skips zeros up to the first block of a run. 1 with that block scanned, 0 at the end, or error. */
static int find_run(struct scanner *scanner, struct dlf_err *err)
{
    scanner->run_ended = false;
    for (;;) {
        ssize_t size = next_block(scanner, err);
        if (size < 0)
            return (int)size;
        if (size == 0) {
            int rc = next_extent(scanner, err);
            if (rc <= 0)
                return rc;
            continue;
        }
        bool zero = cut_is_zero(scanner->buffer + scanner->scanned, (size_t)size);
        scanner->scanned += (size_t)size;
        if (!zero)
            return 1;
        scanner->pos = scanner->scanned;
    }
}

int scanner_next(struct scanner *scanner, struct scanned_chunk *chunk, struct dlf_err *err)
{
    int rc = 0;
    if (scanner->pos == scanner->scanned) {
        rc = find_run(scanner, err);
        if (rc <= 0)
            return rc;
    }
    while (!scanner->run_ended && scanner->scanned - scanner->pos < scanner->cutter.max_bytes) {
        rc = extend_run(scanner, err);
        if (rc < 0)
            return rc;
    }
    chunk->offset = scanner->buffer_start + scanner->pos;
    chunk->data = scanner->buffer + scanner->pos;
    chunk->length = cutter_cut(&scanner->cutter, chunk->data, scanner->scanned - scanner->pos);
    scanner->pos += chunk->length;
    return 1;
}

ssize_t scanner_peek(struct scanner *scanner, const uint8_t **data, struct dlf_err *err)
{
    int rc = next_extent(scanner, err);
    if (rc < 0)
        return rc;
    if (rc == 0 || scanner->buffer_start != 0)
        return 0;
    ssize_t size = next_block(scanner, err);
    *data = scanner->buffer;
    return size;
}
