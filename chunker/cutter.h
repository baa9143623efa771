/*
 * Decides where chunks end. A cutter looks only at the content of one run (image data between two
 * holes, or from the last cut on) and never at offsets, read sizes or threads. So the same bytes
 * give the same cuts wherever they lie, and updates are cheap.
 *
 * Two kinds behind one call:
 *   blocks  for data that lies on 4 KiB blocks (ext4, xfs, plain erofs): a chunk ends after a block
 *           with an XXH3 that meets a mask or 64 zero bytes at its end (a file's tail), once the
 *           minimum is reached.
 *   bytes   for data compressed inside (squashfs, erofs -z), where one changed byte moves all that
 *           follow: FastCDC (Xia et al., ATC'16) with normalised chunking, at byte granularity.
 *
 * The parameters and the gear table decide about dedup between versions: changing any of them
 * re-sends whole images. docs/ARCHITECTURE.md has the measurements.
 */
#ifndef DLFUSE_CHUNKER_CUTTER_H
#define DLFUSE_CHUNKER_CUTTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Holes, and cuts by blocks, are multiples of this many bytes. */
#define CUT_BLOCK ((uint32_t)4096)

#define CUT_AVERAGE_MIN ((uint32_t)8 << 10)
#define CUT_AVERAGE_MAX ((uint32_t)256 << 10)
#define CUT_AVERAGE_DEFAULT ((uint32_t)64 << 10)

enum cut_kind { CUT_BLOCKS, CUT_BYTES };

struct cutter {
    enum cut_kind kind;
    uint32_t min_bytes;
    uint32_t average_bytes;
    uint32_t max_bytes;
    uint64_t block_mask;  /* blocks: XXH3 & mask == 0 ends a chunk */
    unsigned early_shift; /* bytes: before the average, gear hash >> shift == 0 ends a chunk */
    unsigned late_shift;  /* bytes: the same after the average; easier */
    uint64_t gear[256];   /* bytes: see cutter_init */
};

/* True for a power of two from CUT_AVERAGE_MIN to CUT_AVERAGE_MAX. */
bool cutter_average_valid(uint64_t average_bytes);

/* average_bytes must be valid. Minimum a quarter of it (blocks: at least one block), maximum four
 * times it, at most DLF_CHUNK_MAX. */
void cutter_init(struct cutter *cutter, enum cut_kind kind, uint32_t average_bytes);

/*
 * The length of the first chunk of data: 1 to max_bytes, and at least min_bytes unless the run ends
 * before. size must be at least max_bytes, or all that is left of the run; at least 1. Pure.
 */
uint32_t cutter_cut(const struct cutter *cutter, const uint8_t *data, size_t size);

/* True when all of size bytes are zero. */
bool cut_is_zero(const uint8_t *data, size_t size);

const char *cut_kind_name(enum cut_kind kind);

#endif
