/* Chunk codecs, by liblz4. An encoder belongs to one thread; decoding is pure. */
#include "format/codec.h"

#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>
#include <string.h>

/* Known by number and name so that a refusal can say it; not in this build. */
#define CODEC_ZSTD 2

/* From this level on the lz4 program uses LZ4HC; below it, LZ4 fast. */
#define LEVEL_HC 3

struct dlf_encoder {
    enum dlf_codec codec;
    int level;
    void *state; /* LZ4 or LZ4HC working memory; NULL for raw */
};

const char *dlf_codec_name(uint8_t codec)
{
    switch (codec) {
    case DLF_CODEC_RAW:
        return "raw";
    case DLF_CODEC_LZ4:
        return "lz4";
    case CODEC_ZSTD:
        return "zstd";
    default:
        return "unknown";
    }
}

int dlf_codec_by_name(const char *name)
{
    if (strcmp(name, "raw") == 0)
        return DLF_CODEC_RAW;
    if (strcmp(name, "lz4") == 0)
        return DLF_CODEC_LZ4;
    return -1;
}

struct dlf_encoder *dlf_encoder_new(enum dlf_codec codec, int level)
{
    struct dlf_encoder *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return NULL;
    enc->codec = codec;
    enc->level = level;
    if (codec == DLF_CODEC_LZ4) {
        size_t size = level >= LEVEL_HC ? (size_t)LZ4_sizeofStateHC() : (size_t)LZ4_sizeofState();
        enc->state = malloc(size);
        if (!enc->state) {
            free(enc);
            return NULL;
        }
    }
    return enc;
}

void dlf_encoder_free(struct dlf_encoder *enc)
{
    if (!enc)
        return;
    free(enc->state);
    free(enc);
}

uint32_t dlf_encode(struct dlf_encoder *enc, const uint8_t *content, uint32_t size, uint8_t *out,
                    uint8_t *codec)
{
    int stored = 0;
    /* Room for one byte less than the content: what does not shrink does not fit. */
    int room = (int)size - 1;
    if (enc->codec == DLF_CODEC_LZ4 && room > 0) {
        if (enc->level >= LEVEL_HC)
            stored = LZ4_compress_HC_extStateHC(enc->state, (const char *)content, (char *)out,
                                                (int)size, room, enc->level);
        else
            stored = LZ4_compress_fast_extState(enc->state, (const char *)content, (char *)out,
                                                (int)size, room, 1);
    }
    if (stored > 0) {
        *codec = DLF_CODEC_LZ4;
        return (uint32_t)stored;
    }
    memcpy(out, content, size);
    *codec = DLF_CODEC_RAW;
    return size;
}

int dlf_decode(uint8_t codec, const uint8_t *stored, uint32_t stored_size, uint8_t *out,
               uint32_t size, struct dlf_err *err)
{
    int got;
    switch (codec) {
    case DLF_CODEC_RAW:
        if (stored_size != size)
            return dlf_fail(err, EBADMSG, "raw chunk has %u stored bytes for %u of content",
                            stored_size, size);
        memcpy(out, stored, size);
        return 0;
    case DLF_CODEC_LZ4:
        if (stored_size > LZ4_MAX_INPUT_SIZE || size > LZ4_MAX_INPUT_SIZE)
            return dlf_fail(err, EFBIG, "lz4 chunk of %u bytes is over the limit", size);
        got = LZ4_decompress_safe((const char *)stored, (char *)out, (int)stored_size, (int)size);
        if (got < 0 || (uint32_t)got != size)
            return dlf_fail(err, EBADMSG, "lz4 chunk does not decompress to its %u bytes", size);
        return 0;
    default:
        return dlf_fail(err, ENOTSUP, "chunk codec %u (%s) is not in this build of dlfuse", codec,
                        dlf_codec_name(codec));
    }
}
