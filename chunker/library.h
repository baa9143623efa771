/*
 * The chunks that a build can use again: every one that a NAME.dlfuse of the store reaches.
 *
 * Chunks are numbered through all indexes: the image's own previous version first, then the other
 * images by name, each in image order. Of several records for the same stored chunk only the first
 * is known. If an image's manifest or index cannot be read, the image is left out with a warning;
 * that costs space, not correctness.
 *
 * One thread calls library_open; afterwards any number of library_reader may look up.
 */
#ifndef DLFUSE_CHUNKER_LIBRARY_H
#define DLFUSE_CHUNKER_LIBRARY_H

#include <stdatomic.h>
#include <stdint.h>

#include "chunker/dedup.h"
#include "chunker/pack_reader.h"
#include "chunker/pack_set.h"
#include "chunker/store.h"
#include "chunker/stored_index.h"

struct library_source {
    struct stored_index index;
    uint32_t first_chunk;   /* number of its record 0 */
    uint32_t *pack_numbers; /* for each pack of the index, its number in the library's set */
};

struct library {
    const struct store *store; /* borrowed */
    struct library_source *sources;
    size_t source_count;
    uint32_t chunk_count; /* numbers given out */
    struct pack_set packs;
    struct dedup dedup;
    atomic_bool *pack_warned; /* for each pack: its damage was reported */
};

/* name: the image to be stored; its previous version comes first. Fails only for lack of memory or
 * when the store cannot be listed. */
int library_open(struct library *library, const struct store *store, const char *name,
                 struct dlf_err *err);
void library_close(struct library *library);

/* One thread's way into a library. */
struct library_reader {
    struct library *library; /* borrowed */
    struct pack_reader packs;
    const struct library_source *page_source; /* page is one of its pages; NULL: none */
    uint32_t page_number;
    uint8_t *page; /* DLF_INDEX_PAGE_SIZE bytes */
};
int library_reader_init(struct library_reader *reader, struct library *library,
                        struct dlf_err *err);
void library_reader_free(struct library_reader *reader);

/*
 * The number of a stored chunk with exactly this content, or DEDUP_NONE. Its record goes to
 * *record, with the library's pack number as pack. The bytes are compared. A chunk that is damaged
 * or cannot be read does not count as found (one warning per pack).
 */
uint32_t library_find(struct library_reader *reader, uint64_t xxh3, const uint8_t *content,
                      uint32_t length, struct dlf_record *record);

#endif
