/*
 * Reads stored chunks from the store's packs and checks them: the digest of the stored bytes before
 * decoding, the XXH3 of the content afterwards. Keeps some packs open.
 *
 * One reader per thread.
 */
#ifndef DLFUSE_CHUNKER_PACK_READER_H
#define DLFUSE_CHUNKER_PACK_READER_H

#include <stdint.h>

#include "chunker/store.h"
#include "format/codec.h"
#include "format/index.h"

#define PACK_READER_OPEN_MAX 16

struct pack_reader {
    const struct store *store; /* borrowed */
    uint8_t *stored;           /* DLF_CHUNK_MAX bytes */
    uint8_t *content;          /* DLF_CHUNK_MAX bytes */
    struct dlf_decoder *decoder;
    uint64_t use_count;
    struct pack_reader_slot {
        int fd; /* -1: free */
        struct dlf_sha256 sha256;
        uint64_t last_use;
    } slots[PACK_READER_OPEN_MAX];
};

/* -ENOMEM. */
int pack_reader_init(struct pack_reader *reader, const struct store *store, struct dlf_err *err);
void pack_reader_free(struct pack_reader *reader);

/*
 * Reads, checks and decodes one chunk; its content is in reader->content until the next call. The
 * record must have passed dlf_index_page_check. -ENOENT or -EBADMSG for a pack that is missing or
 * damaged, -ENOTSUP for its codec; err names the pack and the offset.
 */
int pack_reader_read(struct pack_reader *reader, const struct dlf_index_pack *pack,
                     const struct dlf_record *record, struct dlf_err *err);

/*
 * The checks alone, on stored bytes in the caller's memory. -EBADMSG or -ENOTSUP; err has the
 * reason, without the pack. content has room for record->length.
 */
int chunk_check(struct dlf_decoder *decoder, const struct dlf_record *record, const uint8_t *stored,
                uint8_t *content, struct dlf_err *err);

#endif
