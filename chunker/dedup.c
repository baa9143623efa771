/* Open addressing with linear probing in each shard, at most three quarters full. Entries are never
 * removed, so a walk meets equal tags in the order in which they were added. */
#include "chunker/dedup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 16

static struct dedup_shard *shard_of(struct dedup *dedup, uint64_t xxh3)
{
    return &dedup->shards[xxh3 >> 56];
}

static void place(struct dedup_shard *shard, struct dedup_entry entry)
{
    uint32_t at = entry.tag & (shard->room - 1);
    while (shard->entries[at].chunk != DEDUP_NONE)
        at = (at + 1) & (shard->room - 1);
    shard->entries[at] = entry;
}

/* The first slot after a free one: where a walk round the table meets each cluster at its start. */
static uint32_t cluster_start(const struct dedup_shard *shard)
{
    uint32_t at = 0;
    while (at < shard->room && shard->entries[at].chunk != DEDUP_NONE)
        at++;
    return at;
}

static int grow(struct dedup_shard *shard)
{
    struct dedup_shard bigger = {.count = shard->count,
                                 .room = shard->room ? shard->room * 2 : FIRST_ROOM};
    bigger.entries = malloc(bigger.room * sizeof(*bigger.entries));
    if (!bigger.entries)
        return -ENOMEM;
    memset(bigger.entries, 0xff, bigger.room * sizeof(*bigger.entries));
    uint32_t start = cluster_start(shard);
    for (uint32_t i = 0; i < shard->room; i++) {
        struct dedup_entry entry = shard->entries[(start + i) & (shard->room - 1)];
        if (entry.chunk != DEDUP_NONE)
            place(&bigger, entry);
    }
    free(shard->entries);
    *shard = bigger;
    return 0;
}

int dedup_add(struct dedup *dedup, uint64_t xxh3, uint32_t chunk)
{
    struct dedup_shard *shard = shard_of(dedup, xxh3);
    if (dedup->count >= DEDUP_ENTRIES_MAX)
        return 0;
    if (shard->count >= shard->room / 4 * 3 && grow(shard) < 0)
        return -ENOMEM;
    place(shard, (struct dedup_entry){.tag = (uint32_t)xxh3, .chunk = chunk});
    shard->count++;
    dedup->count++;
    return 0;
}

void dedup_walk_start(struct dedup_walk *walk, const struct dedup *dedup, uint64_t xxh3)
{
    walk->shard = &dedup->shards[xxh3 >> 56];
    walk->tag = (uint32_t)xxh3;
    walk->at = walk->tag;
    walk->seen = 0;
}

uint32_t dedup_walk_next(struct dedup_walk *walk)
{
    const struct dedup_shard *shard = walk->shard;
    if (shard->room == 0)
        return DEDUP_NONE;
    while (walk->seen < DEDUP_CANDIDATES_MAX) {
        struct dedup_entry entry = shard->entries[walk->at & (shard->room - 1)];
        if (entry.chunk == DEDUP_NONE)
            break;
        walk->at++;
        if (entry.tag == walk->tag) {
            walk->seen++;
            return entry.chunk;
        }
    }
    return DEDUP_NONE;
}

void dedup_free(struct dedup *dedup)
{
    for (int i = 0; i < 256; i++)
        free(dedup->shards[i].entries);
    memset(dedup, 0, sizeof(*dedup));
}
