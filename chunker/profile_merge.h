/*
 * Merges several boots into one order. A chunk belongs to the boot when at least half of the traces
 * read it before they were ready. With one trace or two that is every chunk read before ready; with
 * more, chunks of only a few machines drop out. The chunk's place is the median of its places in
 * these traces, each trace scaled to length 1. A chunk comes later when at least half of the traces
 * read it at some time, but fewer of them before ready.
 */
#ifndef DLFUSE_CHUNKER_PROFILE_MERGE_H
#define DLFUSE_CHUNKER_PROFILE_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "chunker/profile.h"
#include "chunker/profile_map.h"

/* Chunk numbers of the map's index. Each is at most once in the two lists together. */
struct profile_order {
    uint32_t *boot;
    size_t boot_count;
    uint32_t *later;
    size_t later_count;
};

/* -ENOMEM. */
int profile_merge(struct profile_order *order, const struct profile *profile,
                  const struct profile_map *map, struct dlf_err *err);
void profile_order_free(struct profile_order *order);

#endif
