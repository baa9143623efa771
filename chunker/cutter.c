/* Both cutters. Pure but for cutter_init; a cutter may be shared by threads. */
#include "chunker/cutter.h"

#include <string.h>

#include "format/digest.h"
#include "format/limits.h"

/* A block with this many zero bytes at its end counts as the end of a file. */
#define TAIL_BYTES 64

/* FastCDC's normalisation: this many bits harder before the average, easier after it. */
#define NORMALISATION_BITS 2

/* Where the gear table's generator starts: "dlfusegr" in ASCII. */
#define GEAR_SEED UINT64_C(0x646c667573656772)

bool cutter_average_valid(uint64_t average_bytes)
{
    return average_bytes >= CUT_AVERAGE_MIN && average_bytes <= CUT_AVERAGE_MAX &&
           (average_bytes & (average_bytes - 1)) == 0;
}

/*
 * The gear table: 256 successive outputs of SplitMix64 (Steele, Lea, Flood, OOPSLA'14) from
 * GEAR_SEED. Random enough, and anyone can generate it again.
 */
static void fill_gear(uint64_t gear[256])
{
    uint64_t state = GEAR_SEED;
    for (int i = 0; i < 256; i++) {
        state += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = state;
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        gear[i] = z ^ (z >> 31);
    }
}

void cutter_init(struct cutter *cutter, enum cut_kind kind, uint32_t average_bytes)
{
    unsigned bits = (unsigned)__builtin_ctz(average_bytes);

    memset(cutter, 0, sizeof(*cutter));
    cutter->kind = kind;
    cutter->average_bytes = average_bytes;
    cutter->min_bytes = average_bytes / 4;
    if (kind == CUT_BLOCKS && cutter->min_bytes < CUT_BLOCK)
        cutter->min_bytes = CUT_BLOCK;
    cutter->max_bytes = average_bytes * 4 < DLF_CHUNK_MAX ? average_bytes * 4 : DLF_CHUNK_MAX;
    cutter->block_mask = average_bytes / CUT_BLOCK - 1;
    cutter->early_shift = 64 - (bits + NORMALISATION_BITS);
    cutter->late_shift = 64 - (bits - NORMALISATION_BITS);
    fill_gear(cutter->gear);
}

bool cut_is_zero(const uint8_t *data, size_t size)
{
    /* The first bytes are zero, and each byte equals the one before it. */
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

static bool block_ends_chunk(const struct cutter *cutter, const uint8_t *block)
{
    return cut_is_zero(block + CUT_BLOCK - TAIL_BYTES, TAIL_BYTES) ||
           (dlf_xxh3(block, CUT_BLOCK) & cutter->block_mask) == 0;
}

static uint32_t cut_blocks(const struct cutter *cutter, const uint8_t *data, uint32_t most)
{
    uint32_t end = cutter->min_bytes;
    for (; end <= most; end += CUT_BLOCK) {
        if (block_ends_chunk(cutter, data + end - CUT_BLOCK))
            return end;
    }
    return most;
}

/* Runs the gear hash over data[from, to). Returns the chunk's end, or 0. *hash is carried on. */
static uint32_t gear_scan(const struct cutter *cutter, const uint8_t *data, uint32_t from,
                          uint32_t to, unsigned shift, uint64_t *hash)
{
    uint64_t h = *hash;
    for (uint32_t i = from; i < to; i++) {
        h = (h << 1) + cutter->gear[data[i]];
        if (h >> shift == 0)
            return i + 1;
    }
    *hash = h;
    return 0;
}

static uint32_t cut_bytes(const struct cutter *cutter, const uint8_t *data, uint32_t most)
{
    /* A bit of the hash depends on at most the last 64 bytes, so bytes before the minimum are not
     * scanned. */
    uint64_t hash = 0;
    uint32_t middle = most < cutter->average_bytes ? most : cutter->average_bytes;
    uint32_t end = gear_scan(cutter, data, cutter->min_bytes, middle, cutter->early_shift, &hash);
    if (!end)
        end = gear_scan(cutter, data, middle, most, cutter->late_shift, &hash);
    return end ? end : most;
}

uint32_t cutter_cut(const struct cutter *cutter, const uint8_t *data, size_t size)
{
    uint32_t most = size < cutter->max_bytes ? (uint32_t)size : cutter->max_bytes;
    if (most <= cutter->min_bytes)
        return most;
    return cutter->kind == CUT_BLOCKS ? cut_blocks(cutter, data, most)
                                      : cut_bytes(cutter, data, most);
}

const char *cut_kind_name(enum cut_kind kind)
{
    return kind == CUT_BLOCKS ? "blocks" : "bytes";
}
