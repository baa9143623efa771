/*
 * Finds a profile's chunks in an image: by content first (length and XXH3, the nearest of several
 * places), then by place (the chunks that now lie there). One thread.
 */
#ifndef DLFUSE_CHUNKER_PROFILE_MAP_H
#define DLFUSE_CHUNKER_PROFILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "chunker/profile.h"
#include "chunker/stored_index.h"

struct profile_tally {
    uint64_t chunks;
    uint64_t bytes;
};

/* Counts the chunks that some trace read before it was ready, each once. */
struct profile_counts {
    struct profile_tally content;  /* found by content */
    struct profile_tally position; /* found by place only */
    struct profile_tally lost;
};

/* A distinct touch of the profile. */
struct profile_key {
    struct profile_touch touch;
    uint32_t chunk; /* found by content, or PROFILE_NOT_FOUND */
    bool boot;      /* some trace has it before ready */
    bool by_place;  /* some trace is of an image of the same name */

    size_t hit_first; /* the chunks that it stands for: hits from here on, so many */
    size_t hit_count;

    /* Used in the first key of a content, while the index is walked. */
    size_t next; /* the content's first key that lies behind the last record */
    uint32_t last_chunk;
    uint64_t last_offset;
};

#define PROFILE_NOT_FOUND UINT32_MAX

struct profile_map {
    struct profile_key *keys; /* sorted by content, then place; each once */
    size_t key_count;
    uint32_t *hits; /* chunk numbers in the index */
    size_t hit_count;
    size_t hit_room;
    struct profile_counts counts;
};

/* As stored_index_each, and -ENOMEM. */
int profile_map_make(struct profile_map *map, const struct profile *profile,
                     const struct stored_index *index, struct dlf_err *err);
void profile_map_free(struct profile_map *map);

/* The key of a touch that the profile has. */
const struct profile_key *profile_map_find(const struct profile_map *map,
                                           const struct profile_touch *touch);

#endif
