/*
 * The index in memory: its head, and the pages that have been loaded so far, as they came from the
 * store (72 bytes a chunk, no second form). Pages only ever appear, so lookups take no lock.
 *
 * A boot pack's table stands in for pages that are not loaded: it tells where its own chunks are,
 * and that there is nothing between two of them that are neighbours in the index.
 *
 * A chunk's number is its record's number in the whole index.
 */
#ifndef DLFUSE_FUSE_PAGES_H
#define DLFUSE_FUSE_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "format/boot.h"
#include "format/index.h"

struct dlf_pages;

enum dlf_spot_kind {
    DLF_SPOT_UNKNOWN, /* the page that would tell is not loaded: see page */
    DLF_SPOT_HOLE,    /* zeros up to end */
    DLF_SPOT_CHUNK,   /* covered by record, chunk number chunk, up to end */
};

/* The content at an offset of the image: unknown, a hole or a chunk. */
struct dlf_spot {
    enum dlf_spot_kind kind;
    uint32_t page;
    uint64_t chunk;
    uint64_t end; /* image offset */
    struct dlf_record record;
    bool boot; /* record is the boot table's: see format/boot.h for its pack and pack_offset */
};

/* Takes the head's tables over and leaves *head empty. NULL when out of memory. */
struct dlf_pages *dlf_pages_new(struct dlf_index_head *head);
void dlf_pages_free(struct dlf_pages *pages);

const struct dlf_index_head *dlf_pages_head(const struct dlf_pages *pages);

/* Takes over a checked page's bytes (malloc). Once for each page. */
void dlf_pages_store(struct dlf_pages *pages, uint32_t page, uint8_t *data);
bool dlf_pages_loaded(const struct dlf_pages *pages, uint32_t page);

/* True once every page is loaded: no offset is DLF_SPOT_UNKNOWN any more. */
bool dlf_pages_all_loaded(const struct dlf_pages *pages);

/* offset is below the image's size. */
void dlf_pages_at(const struct dlf_pages *pages, uint64_t offset, struct dlf_spot *spot);

/*
 * The record of a chunk, from its page or else from the boot table (then without a pack: pack and
 * pack_offset are 0). False when neither is here.
 */
bool dlf_pages_record(const struct dlf_pages *pages, uint64_t chunk, struct dlf_record *record);

/* True when a checked page, loaded or about to be, says the same as the boot table of its chunks.
 */
bool dlf_pages_fit_boot(const struct dlf_pages *pages, uint32_t page, const uint8_t *data);

/*
 * Uses a boot table from now on; one thread, once. Its records are copied. -ENOMEM, or -EBADMSG
 * when a loaded page says something else, or the index head: no chunk is longer than its longest,
 * for which decoders have room, nor outside its page's place.
 */
int dlf_pages_add_boot(struct dlf_pages *pages, const struct dlf_boot_table *table);

/*
 * The boot pack is not available: dlf_pages_at no longer uses its table. Chunks that came by it
 * stay where its records say, so dlf_pages_record and dlf_pages_fit_boot go on with the records.
 */
void dlf_pages_drop_boot(struct dlf_pages *pages);

#endif
