/* Places one chunk after the other. Only the writer (main) thread enters. */
#include "chunker/placer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/codec.h"

int placer_init(struct placer *placer, struct store *store, const struct library *library,
                struct dlf_err *err)
{
    memset(placer, 0, sizeof(*placer));
    placer->library = library;
    placer->library_packs = malloc(((size_t)library->packs.count + 1) * sizeof(uint32_t));
    placer->library_used = calloc((size_t)library->chunk_count / 8 + 1, 1);
    placer->stored = malloc(DLF_CHUNK_MAX);
    placer->content = malloc(DLF_CHUNK_MAX);
    placer->decoder = dlf_decoder_new();
    if (placer->library_packs)
        memset(placer->library_packs, 0xff, ((size_t)library->packs.count + 1) * sizeof(uint32_t));
    int rc = index_writer_init(&placer->index, store, err);
    if (rc == 0) {
        placer->packer = packer_new(store, err);
        rc = placer->packer ? 0 : -ENOMEM;
    }
    if (rc == 0 && (!placer->library_packs || !placer->library_used || !placer->stored ||
                    !placer->content || !placer->decoder))
        rc = dlf_fail(err, ENOMEM, "out of memory for placing chunks");
    if (rc < 0) {
        placer_free(placer);
        return rc;
    }
    return 0;
}

void placer_free(struct placer *placer)
{
    packer_free(placer->packer);
    if (placer->index.store)
        index_writer_free(&placer->index);
    dedup_free(&placer->seen);
    free(placer->packs);
    free(placer->library_packs);
    free(placer->library_used);
    free(placer->stored);
    free(placer->content);
    dlf_decoder_free(placer->decoder);
    memset(placer, 0, sizeof(*placer));
}

/* Adds a pack to the index's table. Its number there, or PACK_NONE. */
static uint32_t add_pack(struct placer *placer, bool is_new, uint32_t number)
{
    if (placer->counts.packs == placer->pack_room) {
        uint32_t room = placer->pack_room ? placer->pack_room * 2 : 64;
        struct placer_pack *packs = realloc(placer->packs, room * sizeof(*packs));
        if (!packs)
            return PACK_NONE;
        placer->packs = packs;
        placer->pack_room = room;
    }
    placer->packs[placer->counts.packs] = (struct placer_pack){.is_new = is_new, .number = number};
    return placer->counts.packs++;
}

/* Places a chunk that the library has: its record, with the pack number of this index. */
static int place_library(struct placer *placer, const struct job *job, struct dlf_record *record)
{
    uint32_t *number = &placer->library_packs[job->record.pack];
    uint8_t *used = &placer->library_used[job->library_chunk / 8];
    uint8_t bit = (uint8_t)(1U << (job->library_chunk % 8));

    if (*number == PACK_NONE)
        *number = add_pack(placer, false, job->record.pack);
    if (*number == PACK_NONE)
        return -ENOMEM;
    *record = job->record;
    record->pack = *number;
    if (!(*used & bit)) {
        *used |= bit;
        placer->counts.stored_bytes += record->stored_length;
    }
    return 0;
}

/* True when record's chunk, new in this image, has the job's content. */
static bool is_same(struct placer *placer, const struct dlf_record *record, const struct job *job)
{
    if (record->xxh3 != job->record.xxh3 || record->length != job->length)
        return false;
    if (packer_read(placer->packer, placer->packs[record->pack].number, record->pack_offset,
                    placer->stored, record->stored_length, NULL) < 0)
        return false;
    return chunk_check(placer->decoder, record, placer->stored, placer->content, NULL) == 0 &&
           memcmp(placer->content, job->content, job->length) == 0;
}

/* Looks for the content among the new chunks of this image. */
static bool place_seen(struct placer *placer, const struct job *job, struct dlf_record *record)
{
    struct dedup_walk walk;
    uint32_t number;
    dedup_walk_start(&walk, &placer->seen, job->record.xxh3);
    while ((number = dedup_walk_next(&walk)) != DEDUP_NONE) {
        if (index_writer_read(&placer->index, number, record, NULL) == 0 &&
            is_same(placer, record, job))
            return true;
    }
    return false;
}

static int place_new(struct placer *placer, const struct job *job, struct dlf_record *record,
                     struct dlf_err *err)
{
    uint32_t pack;
    *record = job->record;
    int rc = packer_add(placer->packer, job->stored, record->stored_length, &pack,
                        &record->pack_offset, err);
    if (rc < 0)
        return rc;
    if (pack == placer->counts.new_packs) {
        placer->last_new_pack = add_pack(placer, true, pack);
        if (placer->last_new_pack == PACK_NONE)
            return dlf_fail(err, ENOMEM, "out of memory for the pack table");
        placer->counts.new_packs++;
    }
    record->pack = placer->last_new_pack;
    placer->counts.new_chunks++;
    placer->counts.new_bytes += record->stored_length;
    placer->counts.stored_bytes += record->stored_length;
    /* Record numbers are bounded by the index head's limit, far below 2^32. */
    rc = dedup_add(&placer->seen, record->xxh3, (uint32_t)placer->counts.chunks);
    return rc < 0 ? dlf_fail(err, -rc, "out of memory for the image's chunks") : 0;
}

int placer_put(struct placer *placer, const struct job *job, struct dlf_err *err)
{
    struct dlf_record record;
    int rc = 0;
    if (job->library_chunk != DEDUP_NONE) {
        if (place_library(placer, job, &record) < 0)
            return dlf_fail(err, ENOMEM, "out of memory for the pack table");
    } else if (!place_seen(placer, job, &record)) {
        rc = place_new(placer, job, &record, err);
    }
    if (rc < 0)
        return rc;
    record.offset = job->offset;
    placer->counts.chunks++;
    return index_writer_add(&placer->index, &record, err);
}

/* The index's pack table. NULL when out of memory. */
static struct dlf_index_pack *make_table(const struct placer *placer)
{
    uint32_t new_count;
    const struct dlf_index_pack *new_packs = packer_packs(placer->packer, &new_count);
    struct dlf_index_pack *table = calloc((size_t)placer->counts.packs + 1, sizeof(*table));
    for (uint32_t i = 0; table && i < placer->counts.packs; i++) {
        const struct placer_pack *pack = &placer->packs[i];
        table[i] =
            pack->is_new ? new_packs[pack->number] : placer->library->packs.packs[pack->number];
    }
    return table;
}

int placer_finish(struct placer *placer, uint64_t image_size, struct dlf_manifest *manifest,
                  struct dlf_err *err)
{
    struct dlf_index_head head = {.image_size = image_size,
                                  .stored_size = placer->counts.stored_bytes,
                                  .pack_count = placer->counts.packs};
    int rc = packer_finish(placer->packer, err);
    if (rc < 0)
        return rc;
    head.packs = make_table(placer);
    if (!head.packs)
        return dlf_fail(err, ENOMEM, "out of memory for the pack table");
    manifest->image_size = image_size;
    rc = index_writer_finish(&placer->index, &head, manifest, err);
    free(head.packs);
    return rc;
}
