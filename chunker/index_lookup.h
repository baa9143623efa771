/*
 * Reads single records of a stored index, by number. Keeps the last page, so consecutive numbers
 * cost little. One thread.
 */
#ifndef DLFUSE_CHUNKER_INDEX_LOOKUP_H
#define DLFUSE_CHUNKER_INDEX_LOOKUP_H

#include <stdint.h>

#include "chunker/stored_index.h"

struct index_lookup {
    const struct stored_index *index; /* borrowed */
    uint8_t *page;                    /* DLF_INDEX_PAGE_SIZE bytes */
    uint32_t page_number;             /* UINT32_MAX: none */
};

/* -ENOMEM; index_lookup_free is fine then. */
int index_lookup_init(struct index_lookup *lookup, const struct stored_index *index,
                      struct dlf_err *err);
void index_lookup_free(struct index_lookup *lookup);

/* number is below the head's record_count. As stored_index_page. */
int index_lookup_get(struct index_lookup *lookup, uint64_t number, struct dlf_record *record,
                     struct dlf_err *err);

#endif
