/* An LRU of open packs, and the two checks that every chunk passes. */
#include "chunker/pack_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/io.h"

int pack_reader_init(struct pack_reader *reader, const struct store *store, struct dlf_err *err)
{
    memset(reader, 0, sizeof(*reader));
    reader->store = store;
    for (int i = 0; i < PACK_READER_OPEN_MAX; i++)
        reader->slots[i].fd = -1;
    reader->stored = malloc(DLF_CHUNK_MAX);
    reader->content = malloc(DLF_CHUNK_MAX);
    reader->decoder = dlf_decoder_new();
    if (!reader->stored || !reader->content || !reader->decoder) {
        pack_reader_free(reader);
        return dlf_fail(err, ENOMEM, "out of memory for reading packs");
    }
    return 0;
}

void pack_reader_free(struct pack_reader *reader)
{
    free(reader->stored);
    free(reader->content);
    dlf_decoder_free(reader->decoder);
    reader->stored = reader->content = NULL;
    reader->decoder = NULL;
    for (int i = 0; i < PACK_READER_OPEN_MAX; i++) {
        if (reader->slots[i].fd >= 0)
            close(reader->slots[i].fd);
        reader->slots[i].fd = -1;
    }
}

/* The slot that has the pack open, or else the one to use for it. */
static struct pack_reader_slot *slot_for(struct pack_reader *reader,
                                         const struct dlf_index_pack *pack)
{
    struct pack_reader_slot *oldest = &reader->slots[0];
    for (int i = 0; i < PACK_READER_OPEN_MAX; i++) {
        struct pack_reader_slot *slot = &reader->slots[i];
        if (slot->fd >= 0 && dlf_sha256_equal(&slot->sha256, &pack->sha256))
            return slot;
        if (slot->fd < 0 || (oldest->fd >= 0 && slot->last_use < oldest->last_use))
            oldest = slot;
    }
    if (oldest->fd >= 0)
        close(oldest->fd);
    oldest->fd = -1;
    return oldest;
}

static int open_pack(struct pack_reader *reader, const struct dlf_index_pack *pack,
                     struct dlf_err *err)
{
    char path[DLF_OBJECT_PATH_MAX];
    uint64_t size;
    struct pack_reader_slot *slot = slot_for(reader, pack);
    slot->last_use = ++reader->use_count;
    if (slot->fd >= 0)
        return slot->fd;
    dlf_object_path(path, "pack", &pack->sha256);
    int fd = store_object_open(reader->store, path, &size, err);
    if (fd < 0)
        return fd;
    if (size != pack->size) {
        close(fd);
        return dlf_fail(err, EBADMSG, "%s/%s has %" PRIu64 " bytes, the index says %u",
                        reader->store->path, path, size, pack->size);
    }
    slot->fd = fd;
    slot->sha256 = pack->sha256;
    return fd;
}

int chunk_check(struct dlf_decoder *decoder, const struct dlf_record *record, const uint8_t *stored,
                uint8_t *content, struct dlf_err *err)
{
    struct dlf_sha256 found = dlf_sha256(stored, record->stored_length);
    if (!dlf_sha256_fits(&found, &record->sha256))
        return dlf_fail(err, EBADMSG, "wrong SHA-256 of the stored bytes");
    int rc = dlf_decode_with(decoder, record->codec, stored, record->stored_length, content,
                             record->length, err);
    if (rc < 0)
        return rc;
    if (dlf_xxh3(content, record->length) != record->xxh3)
        return dlf_fail(err, EBADMSG, "wrong XXH3 of the content");
    return 0;
}

int pack_reader_read(struct pack_reader *reader, const struct dlf_index_pack *pack,
                     const struct dlf_record *record, struct dlf_err *err)
{
    char path[DLF_OBJECT_PATH_MAX];
    struct dlf_err why;
    int fd = open_pack(reader, pack, err);
    if (fd < 0)
        return fd;
    dlf_object_path(path, "pack", &pack->sha256);
    int rc = io_pread(fd, reader->stored, record->stored_length, record->pack_offset);
    if (rc < 0)
        return dlf_fail(err, -rc, "cannot read %u bytes at byte %u of %s/%s: %s",
                        record->stored_length, record->pack_offset, reader->store->path, path,
                        strerror(-rc));
    rc = chunk_check(reader->decoder, record, reader->stored, reader->content, &why);
    if (rc < 0)
        return dlf_fail(err, -rc, "%s/%s: chunk at byte %u (image offset %" PRIu64 "): %s",
                        reader->store->path, path, record->pack_offset, record->offset, why.msg);
    return 0;
}
