/*
 * A chunk as one zstd frame. Private to codec.c; a build without zstd leaves it out.
 *
 * The frame states its content's size. It has no checksum (SHA-256 and XXH3 are there already), no
 * dictionary, and no window over the content: the record tells how much memory decoding takes.
 */
#ifndef DLFUSE_FORMAT_CODEC_ZSTD_H
#define DLFUSE_FORMAT_CODEC_ZSTD_H

#include <stdint.h>

#include "format/err.h"

/* Working memory for one thread; NULL when out of memory. */
struct codec_zstd_encoder;
struct codec_zstd_encoder *codec_zstd_encoder_new(int level);
void codec_zstd_encoder_free(struct codec_zstd_encoder *enc);

/* The stored length, or 0 when it does not fit in room bytes or memory ran out. */
uint32_t codec_zstd_encode(struct codec_zstd_encoder *enc, const uint8_t *content, uint32_t size,
                           uint8_t *out, uint32_t room);

/* The same for decoding. */
struct codec_zstd_decoder;
struct codec_zstd_decoder *codec_zstd_decoder_new(void);
void codec_zstd_decoder_free(struct codec_zstd_decoder *dec);

/* As dlf_decode. -EBADMSG. */
int codec_zstd_decode(struct codec_zstd_decoder *dec, const uint8_t *stored, uint32_t stored_size,
                      uint8_t *out, uint32_t size, struct dlf_err *err);

#endif
