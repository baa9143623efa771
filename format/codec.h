/*
 * Encodes a chunk's content into its stored bytes, and decodes it. The codec is chosen for each
 * chunk: a chunk that does not shrink is stored raw.
 */
#ifndef DLFUSE_FORMAT_CODEC_H
#define DLFUSE_FORMAT_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/err.h"

/* The values are those of the record's codec byte (docs/FORMAT.md). */
enum dlf_codec {
    DLF_CODEC_RAW = 0,
    DLF_CODEC_LZ4 = 1,  /* one LZ4 block, no frame */
    DLF_CODEC_ZSTD = 2, /* one zstd frame; not in every build */
};

/* "raw", "lz4", "zstd", also when this build lacks the codec; or "unknown". Never NULL. */
const char *dlf_codec_name(uint8_t codec);

/* The codec's number, or -1 when this build has no codec of that name. */
int dlf_codec_by_name(const char *name);

/* Whether this build encodes and decodes it. */
bool dlf_codec_available(uint8_t codec);

/*
 * The levels as the codecs' own programs count them. lz4: 1 to 12, 1 and 2 are LZ4 fast, the others
 * LZ4HC. zstd: 1 to 19. False, with outputs untouched, for raw, which has no levels.
 */
bool dlf_codec_level_range(enum dlf_codec codec, int *min, int *max);

/*
 * An encoder's working memory, for one thread. The codec must be available and the level in its
 * range (raw: any). NULL when out of memory.
 */
struct dlf_encoder;
struct dlf_encoder *dlf_encoder_new(enum dlf_codec codec, int level);
void dlf_encoder_free(struct dlf_encoder *enc);

/*
 * Stores size bytes of content (1 to DLF_CHUNK_MAX) into out, which has room for size bytes. That
 * always suffices: content that does not shrink is copied raw. Sets *codec and returns the stored
 * length. The same content, codec and level give the same bytes.
 */
uint32_t dlf_encode(struct dlf_encoder *enc, const uint8_t *content, uint32_t size, uint8_t *out,
                    uint8_t *codec);

/* A decoder's working memory, for one thread; for all codecs. NULL when out of memory. */
struct dlf_decoder;
struct dlf_decoder *dlf_decoder_new(void);
void dlf_decoder_free(struct dlf_decoder *dec);

/*
 * Turns stored bytes, already checked against their digest, into exactly size bytes at out. 0,
 * -ENOTSUP for a codec that this build lacks (named in err), -EBADMSG for bytes that do not give
 * that size, -EFBIG for sizes that liblz4 cannot take, -ENOMEM. Never writes past out + size; bytes
 * written before a failure are not content.
 */
int dlf_decode_with(struct dlf_decoder *dec, uint8_t codec, const uint8_t *stored,
                    uint32_t stored_size, uint8_t *out, uint32_t size, struct dlf_err *err);

/* The same with a decoder for this call only: for a caller with few chunks. */
int dlf_decode(uint8_t codec, const uint8_t *stored, uint32_t stored_size, uint8_t *out,
               uint32_t size, struct dlf_err *err);

#endif
