/*
 * A set of packs, numbered in the order in which they were added. Numbers stay valid as the set
 * grows. One thread while packs are added; then any number of readers.
 */
#ifndef DLFUSE_CHUNKER_PACK_SET_H
#define DLFUSE_CHUNKER_PACK_SET_H

#include <stdint.h>

#include "format/index.h"

#define PACK_NONE UINT32_MAX

/* All zero is an empty set. */
struct pack_set {
    struct dlf_index_pack *packs;
    uint32_t count;
    uint32_t room;
    uint32_t *slots; /* hash table of numbers, PACK_NONE: free */
    uint32_t slot_count;
};

/* The number of the pack with that digest and size, added when new; PACK_NONE: out of memory. */
uint32_t pack_set_add(struct pack_set *set, const struct dlf_index_pack *pack);

/* Its number, or PACK_NONE. */
uint32_t pack_set_find(const struct pack_set *set, const struct dlf_index_pack *pack);

void pack_set_free(struct pack_set *set);

#endif
