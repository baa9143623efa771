/*
 * The known chunks: a compact multimap from the XXH3 of content to a 32-bit chunk number, eight
 * bytes an entry. It keeps only 40 bits of the hash, so a candidate is a hint. The caller confirms
 * it by its record (all 64 bits and the length) and then by its bytes.
 *
 * Split into shards that grow one by one, so that growing never needs the table twice. One thread
 * while chunks are added; then any number of readers.
 */
#ifndef DLFUSE_CHUNKER_DEDUP_H
#define DLFUSE_CHUNKER_DEDUP_H

#include <stdint.h>

#define DEDUP_NONE UINT32_MAX

/* Most entries: 64 MiB of them, 256 GiB of 64 KiB chunks. Later chunks are not remembered: when
 * their content occurs again, it is stored again. */
#define DEDUP_ENTRIES_MAX ((uint32_t)4 << 20)

/* Candidates tried for one hash: only an image made to collide has more. */
#define DEDUP_CANDIDATES_MAX 8

struct dedup_entry {
    uint32_t tag;
    uint32_t chunk; /* DEDUP_NONE: free */
};

struct dedup_shard {
    struct dedup_entry *entries;
    uint32_t count;
    uint32_t room; /* power of two, or 0 */
};

/* All zero is an empty table. */
struct dedup {
    struct dedup_shard shards[256];
    uint32_t count;
};

/* chunk is not DEDUP_NONE. 0, also when the table is full, or -ENOMEM. */
int dedup_add(struct dedup *dedup, uint64_t xxh3, uint32_t chunk);

/* A walk over the candidates for xxh3, in the order in which they were added. */
struct dedup_walk {
    const struct dedup_shard *shard;
    uint32_t tag;
    uint32_t at;
    unsigned seen;
};
void dedup_walk_start(struct dedup_walk *walk, const struct dedup *dedup, uint64_t xxh3);

/* The next candidate, or DEDUP_NONE. */
uint32_t dedup_walk_next(struct dedup_walk *walk);

void dedup_free(struct dedup *dedup);

#endif
