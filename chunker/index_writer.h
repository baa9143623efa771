/*
 * Builds an index object. Records go to a temporary file page by page: memory stays small for any
 * size of image, and the head, which comes first in the object, is known last.
 *
 * One thread.
 */
#ifndef DLFUSE_CHUNKER_INDEX_WRITER_H
#define DLFUSE_CHUNKER_INDEX_WRITER_H

#include <stdint.h>

#include "chunker/store.h"
#include "format/index.h"

struct index_writer {
    struct store *store;       /* borrowed */
    struct store_temp records; /* full pages */
    struct dlf_index_page *pages;
    uint32_t page_count;
    uint32_t page_room;
    uint64_t record_count;
    uint64_t data_bytes;
    uint32_t max_length;
    uint32_t in_page; /* records in page[] */
    uint64_t page_first_offset;
    uint8_t *page; /* DLF_INDEX_PAGE_SIZE bytes */
};

int index_writer_init(struct index_writer *writer, struct store *store, struct dlf_err *err);

/* Also removes the temporary file. */
void index_writer_free(struct index_writer *writer);

/* Records must come in image order. */
int index_writer_add(struct index_writer *writer, const struct dlf_record *record,
                     struct dlf_err *err);

/* Reads back record number number, which must have been added. */
int index_writer_read(struct index_writer *writer, uint64_t number, struct dlf_record *record,
                      struct dlf_err *err);

/*
 * Writes the object and gives it its name. head's image_size, stored_size, pack_count and packs
 * are the caller's (and stay so); the rest is filled in here. index, index_size, index_head and
 * index_head_size of the manifest are set. -EFBIG when the tables are over DLF_INDEX_HEAD_MAX.
 */
int index_writer_finish(struct index_writer *writer, struct dlf_index_head *head,
                        struct dlf_manifest *manifest, struct dlf_err *err);

#endif
