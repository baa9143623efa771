/* One page kept. */
#include "chunker/index_lookup.h"

#include <errno.h>
#include <stdlib.h>

int index_lookup_init(struct index_lookup *lookup, const struct stored_index *index,
                      struct dlf_err *err)
{
    lookup->index = index;
    lookup->page_number = UINT32_MAX;
    lookup->page = malloc(DLF_INDEX_PAGE_SIZE);
    return lookup->page ? 0 : dlf_fail(err, ENOMEM, "out of memory for an index page");
}

void index_lookup_free(struct index_lookup *lookup)
{
    free(lookup->page);
    lookup->page = NULL;
}

int index_lookup_get(struct index_lookup *lookup, uint64_t number, struct dlf_record *record,
                     struct dlf_err *err)
{
    /* A head has fewer pages than 2^32. */
    uint32_t page = (uint32_t)(number / DLF_INDEX_PAGE_RECORDS);
    if (lookup->page_number != page) {
        lookup->page_number = UINT32_MAX;
        int rc = stored_index_page(lookup->index, page, lookup->page, err);
        if (rc < 0)
            return rc;
        lookup->page_number = page;
    }
    dlf_record_read(record,
                    lookup->page + (size_t)(number % DLF_INDEX_PAGE_RECORDS) * DLF_RECORD_SIZE);
    return 0;
}
