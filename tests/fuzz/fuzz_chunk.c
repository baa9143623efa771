/*
 * Any bytes as a record and its stored bytes: byte 0 is the codec, bytes 1 and 2 the content's
 * length, the rest is stored. Then the other way: the rest as content must survive the round trip.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/codec.h"
#include "format/digest.h"
#include "format/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *exact(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        abort();
    return p;
}

static void decode(uint8_t codec, const uint8_t *stored, uint32_t stored_size, uint32_t length)
{
    struct dlf_err err = {""};
    uint8_t *out = exact(length);
    int rc = dlf_decode(codec, stored, stored_size, out, length, &err);
    if (rc < 0 && !err.msg[0])
        abort();
    if (rc == 0 && !dlf_codec_available(codec))
        abort();
    free(out);
}

static void round_trip(enum dlf_codec with, unsigned choice, const uint8_t *content, uint32_t size)
{
    uint8_t codec = 255;
    int min = 1;
    int max = 1;
    dlf_codec_level_range(with, &min, &max);
    /* The slowest levels find nothing in the library that others do not, and take its time. */
    if (max > 12)
        max = 12;
    uint8_t *stored = exact(size);
    uint8_t *back = exact(size);
    struct dlf_encoder *enc =
        dlf_encoder_new(with, min + (int)(choice % (unsigned)(max - min + 1)));
    if (!enc)
        abort();
    uint32_t n = dlf_encode(enc, content, size, stored, &codec);
    if (n == 0 || n > size || dlf_decode(codec, stored, n, back, size, NULL) != 0 ||
        memcmp(back, content, size) != 0 || dlf_xxh3(back, size) != dlf_xxh3(content, size))
        abort();
    dlf_encoder_free(enc);
    free(stored);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > DLF_CHUNK_MAX)
        return 0;
    uint32_t length = (uint32_t)data[1] | (uint32_t)data[2] << 8;
    uint32_t stored_size = (uint32_t)(size - 3);
    decode(data[0], data + 3, stored_size, length);
    decode(DLF_CODEC_RAW, data + 3, stored_size, stored_size);
    round_trip(DLF_CODEC_LZ4, data[0], data + 3, stored_size);
    if (dlf_codec_available(DLF_CODEC_ZSTD))
        round_trip(DLF_CODEC_ZSTD, data[0], data + 3, stored_size);
    return 0;
}
