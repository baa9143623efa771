/* Loads the indexes of a store's images, and looks chunks up in them. */
#include "chunker/library.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/log.h"

int library_reader_init(struct library_reader *reader, struct library *library, struct dlf_err *err)
{
    memset(reader, 0, sizeof(*reader));
    reader->library = library;
    int rc = pack_reader_init(&reader->packs, library->store, err);
    if (rc < 0)
        return rc;
    reader->page = malloc(DLF_INDEX_PAGE_SIZE);
    if (!reader->page) {
        pack_reader_free(&reader->packs);
        return dlf_fail(err, ENOMEM, "out of memory for reading indexes");
    }
    return 0;
}

void library_reader_free(struct library_reader *reader)
{
    pack_reader_free(&reader->packs);
    free(reader->page);
    reader->page = NULL;
}

/* The source that a chunk number belongs to: the last one that begins at or before it. */
static const struct library_source *source_of(const struct library *library, uint32_t chunk)
{
    size_t low = 0;
    size_t high = library->source_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (library->sources[middle].first_chunk <= chunk)
            low = middle;
        else
            high = middle;
    }
    return &library->sources[low];
}

/* Reads the record of a chunk number, pack numbers translated. The last page is kept. */
static int read_record(struct library_reader *reader, uint32_t chunk, struct dlf_record *record,
                       struct dlf_err *err)
{
    const struct library_source *source = source_of(reader->library, chunk);
    uint32_t number = chunk - source->first_chunk;
    uint32_t page = number / DLF_INDEX_PAGE_RECORDS;
    if (reader->page_source != source || reader->page_number != page) {
        reader->page_source = NULL;
        int rc = stored_index_page(&source->index, page, reader->page, err);
        if (rc < 0)
            return rc;
        reader->page_source = source;
        reader->page_number = page;
    }
    dlf_record_read(record,
                    reader->page + (size_t)(number % DLF_INDEX_PAGE_RECORDS) * DLF_RECORD_SIZE);
    record->pack = source->pack_numbers[record->pack];
    return 0;
}

/* While a source is loaded. */
struct loading {
    struct library *library;
    struct library_source *source;
    struct library_reader *reader;
};

/* True when a record for the same stored chunk is known already. */
static bool is_known(struct loading *loading, const struct dlf_record *record, uint32_t pack)
{
    struct dedup_walk walk;
    struct dlf_record other;
    uint32_t chunk;
    dedup_walk_start(&walk, &loading->library->dedup, record->xxh3);
    while ((chunk = dedup_walk_next(&walk)) != DEDUP_NONE) {
        if (read_record(loading->reader, chunk, &other, NULL) == 0 && other.pack == pack &&
            other.pack_offset == record->pack_offset)
            return true;
    }
    return false;
}

static int load_record(void *context, uint64_t number, const struct dlf_record *record)
{
    struct loading *loading = context;
    uint32_t pack = loading->source->pack_numbers[record->pack];
    if (is_known(loading, record, pack))
        return 0;
    return dedup_add(&loading->library->dedup, record->xxh3,
                     loading->source->first_chunk + (uint32_t)number);
}

static int number_packs(struct library *library, struct library_source *source)
{
    const struct dlf_index_head *head = &source->index.head;
    source->pack_numbers = calloc((size_t)head->pack_count + 1, sizeof(uint32_t));
    if (!source->pack_numbers)
        return -ENOMEM;
    for (uint32_t i = 0; i < head->pack_count; i++) {
        source->pack_numbers[i] = pack_set_add(&library->packs, &head->packs[i]);
        if (source->pack_numbers[i] == PACK_NONE)
            return -ENOMEM;
    }
    return 0;
}

/*
 * Adds one image. A partly readable image stays as far as it was read: entries of the table were
 * checked, and are checked again when used. -ENOMEM.
 */
static int load_image(struct library *library, const char *name, struct library_reader *reader)
{
    struct dlf_manifest manifest;
    struct dlf_err why;
    struct library_source *source = &library->sources[library->source_count];
    struct loading loading = {.library = library, .source = source, .reader = reader};

    int rc = store_read_manifest(library->store, name, &manifest, NULL, &why);
    if (rc == 0)
        rc = stored_index_open(&source->index, library->store, &manifest, &why);
    if (rc < 0) {
        log_warning("%s; its chunks are not used again", why.msg);
        return 0;
    }
    if (source->index.head.record_count >= DEDUP_NONE - library->chunk_count) {
        log_warning("image %s has too many chunks to use them again", name);
        stored_index_close(&source->index);
        return 0;
    }
    source->first_chunk = library->chunk_count;
    library->source_count++;
    library->chunk_count += (uint32_t)source->index.head.record_count;
    rc = number_packs(library, source);
    if (rc < 0)
        return rc;
    rc = stored_index_each(&source->index, load_record, &loading, &why);
    if (rc < 0 && rc != -ENOMEM) {
        log_warning("%s; chunks behind this are not used again", why.msg);
        rc = 0;
    }
    return rc;
}

static int load_images(struct library *library, const struct store_list *images, const char *name)
{
    struct library_reader reader;
    int rc = library_reader_init(&reader, library, NULL);
    if (rc < 0)
        return rc;
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; rc == 0 && i < images->count; i++) {
            bool is_own = strcmp(images->names[i], name) == 0;
            if (is_own == (pass == 0))
                rc = load_image(library, images->names[i], &reader);
        }
    }
    library_reader_free(&reader);
    return rc;
}

int library_open(struct library *library, const struct store *store, const char *name,
                 struct dlf_err *err)
{
    struct store_list images;
    memset(library, 0, sizeof(*library));
    library->store = store;
    int rc = store_images(store, &images, err);
    if (rc < 0)
        return rc;
    library->sources = calloc(images.count + 1, sizeof(*library->sources));
    rc = library->sources ? load_images(library, &images, name) : -ENOMEM;
    store_list_free(&images);
    if (rc == 0) {
        library->pack_warned =
            calloc((size_t)library->packs.count + 1, sizeof(*library->pack_warned));
        if (!library->pack_warned)
            rc = -ENOMEM;
    }
    if (rc < 0) {
        library_close(library);
        return dlf_fail(err, -rc, "out of memory for the chunks of the store %s", store->path);
    }
    return 0;
}

void library_close(struct library *library)
{
    for (size_t i = 0; library->sources && i < library->source_count; i++) {
        stored_index_close(&library->sources[i].index);
        free(library->sources[i].pack_numbers);
    }
    free(library->sources);
    free(library->pack_warned);
    pack_set_free(&library->packs);
    dedup_free(&library->dedup);
    memset(library, 0, sizeof(*library));
}

/* Reads the stored chunk and compares. */
static bool is_same(struct library_reader *reader, const struct dlf_record *record,
                    const uint8_t *content)
{
    struct library *library = reader->library;
    struct dlf_err why;
    int rc = pack_reader_read(&reader->packs, &library->packs.packs[record->pack], record, &why);
    if (rc < 0) {
        if (!atomic_exchange(&library->pack_warned[record->pack], true))
            log_warning("%s; what it held of this image is stored again", why.msg);
        return false;
    }
    return memcmp(reader->packs.content, content, record->length) == 0;
}

uint32_t library_find(struct library_reader *reader, uint64_t xxh3, const uint8_t *content,
                      uint32_t length, struct dlf_record *record)
{
    struct dedup_walk walk;
    struct dlf_record candidate;
    uint32_t chunk;
    dedup_walk_start(&walk, &reader->library->dedup, xxh3);
    while ((chunk = dedup_walk_next(&walk)) != DEDUP_NONE) {
        if (read_record(reader, chunk, &candidate, NULL) == 0 && candidate.xxh3 == xxh3 &&
            candidate.length == length && is_same(reader, &candidate, content)) {
            *record = candidate;
            return chunk;
        }
    }
    return DEDUP_NONE;
}
