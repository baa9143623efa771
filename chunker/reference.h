/*
 * References to stored chunks, from any number of indexes. From time to time the array is sorted by
 * place and its duplicates are dropped: many versions of an image cost little more than one.
 *
 * One thread.
 */
#ifndef DLFUSE_CHUNKER_REFERENCE_H
#define DLFUSE_CHUNKER_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

#include "format/index.h"

struct reference {
    uint32_t pack;        /* the owner's number for the pack */
    uint32_t pack_offset; /* bytes */
    uint32_t claim;       /* a hash of the record's fields about the chunk */
    uint32_t source;      /* the owner's number for the index */
    uint32_t record;      /* number in that index */
};

/* All zero is empty. */
struct reference_list {
    struct reference *items;
    size_t count;
    size_t room;
    size_t sorted_count; /* items up to here are sorted and unique */
};

/* Adds record number number of index source; pack as above. -ENOMEM. */
int reference_add(struct reference_list *list, uint32_t pack, uint32_t source, uint32_t number,
                  const struct dlf_record *record);

/* Sorts by pack and offset; of several with the same place and claim, one stays. */
void reference_sort(struct reference_list *list);

/* After reference_sort: the first item of that pack, and the number of its items. */
const struct reference *reference_of_pack(const struct reference_list *list, uint32_t pack,
                                          size_t *count);

void reference_free(struct reference_list *list);

#endif
