/*
 * Several boots into one order. A chunk belongs to the boot when at least half of the traces read
 * it before they were ready: one trace or two, all that they have; more, what is not peculiar to
 * few machines. Its place is the median of where it came in them, each trace taken as long as 1.
 * What at least half of the traces read at some time, but not so many before ready, comes later.
 */
#ifndef DLFUSE_CHUNKER_PROFILE_MERGE_H
#define DLFUSE_CHUNKER_PROFILE_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "chunker/profile.h"
#include "chunker/profile_map.h"

/* Chunk numbers of the index that the map was made for, each at most once in both lists. */
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
