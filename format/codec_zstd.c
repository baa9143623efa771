/* One zstd frame for each chunk, by libzstd's stable interface. Contexts belong to one thread. */
#include "format/codec_zstd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/*
 * The same content must give the same bytes, independent of the context's earlier chunks. libzstd
 * from 1.5.5 on does not promise that for the levels that may use its row-based search: a context
 * that is used again starts it with another salt. With such a libzstd, these levels get a new
 * context for each chunk.
 */
#define SALTED_SINCE 10505
#define SALTED_LEVEL_MIN 4
#define SALTED_LEVEL_MAX 12

struct codec_zstd_encoder {
    ZSTD_CCtx *context;
    int level;
    bool salted;
};

struct codec_zstd_decoder {
    ZSTD_DCtx *context;
};

static ZSTD_CCtx *new_context(int level)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context && (ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)) ||
                    ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1)) ||
                    ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0)))) {
        ZSTD_freeCCtx(context);
        return NULL;
    }
    return context;
}

struct codec_zstd_encoder *codec_zstd_encoder_new(int level)
{
    struct codec_zstd_encoder *enc = calloc(1, sizeof(*enc));
    if (!enc)
        return NULL;
    enc->level = level;
    enc->salted = ZSTD_versionNumber() >= SALTED_SINCE && level >= SALTED_LEVEL_MIN &&
                  level <= SALTED_LEVEL_MAX;
    enc->context = new_context(level);
    if (!enc->context) {
        free(enc);
        return NULL;
    }
    return enc;
}

void codec_zstd_encoder_free(struct codec_zstd_encoder *enc)
{
    if (!enc)
        return;
    ZSTD_freeCCtx(enc->context);
    free(enc);
}

uint32_t codec_zstd_encode(struct codec_zstd_encoder *enc, const uint8_t *content, uint32_t size,
                           uint8_t *out, uint32_t room)
{
    if (enc->salted) {
        ZSTD_freeCCtx(enc->context);
        enc->context = new_context(enc->level);
        if (!enc->context)
            return 0;
    }
    size_t n = ZSTD_compress2(enc->context, out, room, content, size);
    return ZSTD_isError(n) ? 0 : (uint32_t)n;
}

struct codec_zstd_decoder *codec_zstd_decoder_new(void)
{
    struct codec_zstd_decoder *dec = calloc(1, sizeof(*dec));
    if (!dec)
        return NULL;
    dec->context = ZSTD_createDCtx();
    if (!dec->context) {
        free(dec);
        return NULL;
    }
    return dec;
}

void codec_zstd_decoder_free(struct codec_zstd_decoder *dec)
{
    if (!dec)
        return;
    ZSTD_freeDCtx(dec->context);
    free(dec);
}

/* The frame header's descriptor byte, behind the magic number (RFC 8878, 3.1.1.1.1). */
enum {
    MAGIC_SIZE = 4,
    DESCRIPTOR_SINGLE_SEGMENT = 1 << 5, /* the window is the content; no window byte */
    DESCRIPTOR_REFUSED = 1 << 3 /* reserved */ | 1 << 2 /* checksum */ | 3 /* dictionary */,
};

/* The window's size from the byte behind the descriptor (3.1.1.1.2). */
static uint64_t window_size(uint8_t byte)
{
    uint64_t base = UINT64_C(1) << (10 + (byte >> 3));
    return base + base / 8 * (byte & 7);
}

/* The reason why a frame is invalid for this chunk, or NULL. */
static const char *frame_fault(const uint8_t *stored, uint32_t stored_size, uint32_t size)
{
    /* Refuses a frame that is cut before the end of its size field. */
    unsigned long long content = ZSTD_getFrameContentSize(stored, stored_size);
    if (content == ZSTD_CONTENTSIZE_ERROR)
        return "it is not a zstd frame";
    if (content == ZSTD_CONTENTSIZE_UNKNOWN || content != size)
        return "its frame does not say that size";
    uint8_t descriptor = stored[MAGIC_SIZE];
    if (descriptor & DESCRIPTOR_REFUSED)
        return "its frame has a checksum or a dictionary";
    if (!(descriptor & DESCRIPTOR_SINGLE_SEGMENT) && window_size(stored[MAGIC_SIZE + 1]) > size)
        return "its frame has a window over that size";
    if (ZSTD_findFrameCompressedSize(stored, stored_size) != stored_size)
        return "its stored bytes are not one frame";
    return NULL;
}

int codec_zstd_decode(struct codec_zstd_decoder *dec, const uint8_t *stored, uint32_t stored_size,
                      uint8_t *out, uint32_t size, struct dlf_err *err)
{
    const char *fault = frame_fault(stored, stored_size, size);
    if (fault)
        return dlf_fail(err, EBADMSG, "zstd chunk of %u bytes: %s", size, fault);
    /* In one call: no window is allocated, the content itself is the window. */
    size_t got = ZSTD_decompressDCtx(dec->context, out, size, stored, stored_size);
    if (ZSTD_isError(got) || got != size)
        return dlf_fail(err, EBADMSG, "zstd chunk does not decompress to its %u bytes", size);
    return 0;
}
