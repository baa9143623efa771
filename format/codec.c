/* Chunk codecs, by liblz4 and libzstd. Encoders and decoders belong to one thread each. */
#include "format/codec.h"

#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>
#include <string.h>

#if DLFUSE_ZSTD
#include "format/codec_zstd.h"
#endif

/* Levels as in the lz4 program, from 1 on: from 3 on it uses LZ4HC; below, LZ4 fast. */
#define LZ4_LEVEL_HC 3
#define LZ4_LEVEL_MAX 12

/* Higher levels mean larger windows, which no chunk fills. */
#define ZSTD_LEVEL_MAX 19

struct dlf_encoder {
    enum dlf_codec codec;
    int level;
    void *lz4; /* LZ4 or LZ4HC working memory; NULL for the others */
#if DLFUSE_ZSTD
    struct codec_zstd_encoder *zstd;
#endif
};

struct dlf_decoder {
#if DLFUSE_ZSTD
    struct codec_zstd_decoder *zstd; /* from the first zstd chunk on */
#else
    char unused;
#endif
};

const char *dlf_codec_name(uint8_t codec)
{
    switch (codec) {
    case DLF_CODEC_RAW:
        return "raw";
    case DLF_CODEC_LZ4:
        return "lz4";
    case DLF_CODEC_ZSTD:
        return "zstd";
    default:
        return "unknown";
    }
}

bool dlf_codec_available(uint8_t codec)
{
    return codec == DLF_CODEC_RAW || codec == DLF_CODEC_LZ4 ||
           (DLFUSE_ZSTD && codec == DLF_CODEC_ZSTD);
}

int dlf_codec_by_name(const char *name)
{
    for (int codec = DLF_CODEC_RAW; codec <= DLF_CODEC_ZSTD; codec++) {
        if (dlf_codec_available((uint8_t)codec) &&
            strcmp(name, dlf_codec_name((uint8_t)codec)) == 0)
            return codec;
    }
    return -1;
}

bool dlf_codec_level_range(enum dlf_codec codec, int *min, int *max)
{
    if (codec == DLF_CODEC_RAW)
        return false;
    *min = 1;
    *max = codec == DLF_CODEC_ZSTD ? ZSTD_LEVEL_MAX : LZ4_LEVEL_MAX;
    return true;
}

/* Allocates the codec's own memory. */
static bool encoder_start(struct dlf_encoder *enc)
{
    switch (enc->codec) {
    case DLF_CODEC_LZ4:
        enc->lz4 = malloc(enc->level >= LZ4_LEVEL_HC ? (size_t)LZ4_sizeofStateHC()
                                                     : (size_t)LZ4_sizeofState());
        return enc->lz4 != NULL;
#if DLFUSE_ZSTD
    case DLF_CODEC_ZSTD:
        enc->zstd = codec_zstd_encoder_new(enc->level);
        return enc->zstd != NULL;
#endif
    default:
        return true;
    }
}

struct dlf_encoder *dlf_encoder_new(enum dlf_codec codec, int level)
{
    struct dlf_encoder *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return NULL;
    enc->codec = codec;
    enc->level = level;
    if (!encoder_start(enc)) {
        free(enc);
        return NULL;
    }
    return enc;
}

void dlf_encoder_free(struct dlf_encoder *enc)
{
    if (!enc)
        return;
#if DLFUSE_ZSTD
    codec_zstd_encoder_free(enc->zstd);
#endif
    free(enc->lz4);
    free(enc);
}

static int encode_lz4(struct dlf_encoder *enc, const uint8_t *content, uint32_t size, uint8_t *out,
                      int room)
{
    if (enc->level >= LZ4_LEVEL_HC)
        return LZ4_compress_HC_extStateHC(enc->lz4, (const char *)content, (char *)out, (int)size,
                                          room, enc->level);
    return LZ4_compress_fast_extState(enc->lz4, (const char *)content, (char *)out, (int)size, room,
                                      1);
}

uint32_t dlf_encode(struct dlf_encoder *enc, const uint8_t *content, uint32_t size, uint8_t *out,
                    uint8_t *codec)
{
    int stored = 0;
    /* Room for one byte less than the content: a chunk that does not shrink does not fit. */
    int room = (int)size - 1;
    if (enc->codec == DLF_CODEC_LZ4 && room > 0)
        stored = encode_lz4(enc, content, size, out, room);
#if DLFUSE_ZSTD
    if (enc->codec == DLF_CODEC_ZSTD && room > 0)
        stored = (int)codec_zstd_encode(enc->zstd, content, size, out, (uint32_t)room);
#endif
    if (stored > 0) {
        *codec = (uint8_t)enc->codec;
        return (uint32_t)stored;
    }
    memcpy(out, content, size);
    *codec = DLF_CODEC_RAW;
    return size;
}

struct dlf_decoder *dlf_decoder_new(void)
{
    return calloc(1, sizeof(struct dlf_decoder));
}

/* Frees the decoder's members, but not the decoder. */
static void decoder_end(struct dlf_decoder *dec)
{
#if DLFUSE_ZSTD
    codec_zstd_decoder_free(dec->zstd);
#else
    (void)dec;
#endif
}

void dlf_decoder_free(struct dlf_decoder *dec)
{
    if (!dec)
        return;
    decoder_end(dec);
    free(dec);
}

static int decode_lz4(const uint8_t *stored, uint32_t stored_size, uint8_t *out, uint32_t size,
                      struct dlf_err *err)
{
    if (stored_size > LZ4_MAX_INPUT_SIZE || size > LZ4_MAX_INPUT_SIZE)
        return dlf_fail(err, EFBIG, "lz4 chunk of %u bytes is over the limit", size);
    int got = LZ4_decompress_safe((const char *)stored, (char *)out, (int)stored_size, (int)size);
    if (got < 0 || (uint32_t)got != size)
        return dlf_fail(err, EBADMSG, "lz4 chunk does not decompress to its %u bytes", size);
    return 0;
}

#if DLFUSE_ZSTD
static int decode_zstd(struct dlf_decoder *dec, const uint8_t *stored, uint32_t stored_size,
                       uint8_t *out, uint32_t size, struct dlf_err *err)
{
    if (!dec->zstd)
        dec->zstd = codec_zstd_decoder_new();
    if (!dec->zstd)
        return dlf_fail(err, ENOMEM, "out of memory for decompressing zstd");
    return codec_zstd_decode(dec->zstd, stored, stored_size, out, size, err);
}
#endif

int dlf_decode_with(struct dlf_decoder *dec, uint8_t codec, const uint8_t *stored,
                    uint32_t stored_size, uint8_t *out, uint32_t size, struct dlf_err *err)
{
    (void)dec; /* a build without zstd needs none */
    switch (codec) {
    case DLF_CODEC_RAW:
        if (stored_size != size)
            return dlf_fail(err, EBADMSG, "raw chunk has %u stored bytes for %u of content",
                            stored_size, size);
        memcpy(out, stored, size);
        return 0;
    case DLF_CODEC_LZ4:
        return decode_lz4(stored, stored_size, out, size, err);
#if DLFUSE_ZSTD
    case DLF_CODEC_ZSTD:
        return decode_zstd(dec, stored, stored_size, out, size, err);
#endif
    default:
        return dlf_fail(err, ENOTSUP, "chunk codec %u (%s) is not in this build of dlfuse", codec,
                        dlf_codec_name(codec));
    }
}

int dlf_decode(uint8_t codec, const uint8_t *stored, uint32_t stored_size, uint8_t *out,
               uint32_t size, struct dlf_err *err)
{
    struct dlf_decoder dec = {0};
    int rc = dlf_decode_with(&dec, codec, stored, stored_size, out, size, err);
    decoder_end(&dec);
    return rc;
}
