/*
 * An index object of the store, read page by page. Nothing is kept open: a store may have any
 * number of images.
 */
#ifndef DLFUSE_CHUNKER_STORED_INDEX_H
#define DLFUSE_CHUNKER_STORED_INDEX_H

#include <stdint.h>

#include "chunker/store.h"
#include "format/index.h"
#include "format/manifest.h"

struct stored_index {
    const struct store *store;      /* borrowed */
    char path[DLF_OBJECT_PATH_MAX]; /* index/HEX */
    uint64_t size_bytes;            /* of the object */
    struct dlf_index_head head;     /* owned */
};

/*
 * Reads the head that a manifest names and checks it against the manifest. -ENOENT when the object
 * is missing, -EBADMSG, -ENOTSUP, -ENOMEM; err names the object.
 */
int stored_index_open(struct stored_index *index, const struct store *store,
                      const struct dlf_manifest *manifest, struct dlf_err *err);
void stored_index_close(struct stored_index *index);

/*
 * Reads one page, checks its digest and then its records. data has DLF_INDEX_PAGE_SIZE bytes of
 * room. err names the object and the byte offset. Any thread.
 */
int stored_index_page(const struct stored_index *index, uint32_t page, uint8_t *data,
                      struct dlf_err *err);

/*
 * Calls visit for every record, in image order; stops when it returns anything but 0 and returns
 * that. An unreadable page stops it too.
 */
typedef int (*stored_index_visit)(void *context, uint64_t number, const struct dlf_record *record);
int stored_index_each(const struct stored_index *index, stored_index_visit visit, void *context,
                      struct dlf_err *err);

#endif
