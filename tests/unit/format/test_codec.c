/* Chunk codecs: round trips, refusals by name, and stored bytes that lie about themselves. */
#include "check.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>

#include "format/codec.h"
#include "format/limits.h"
#include "golden.h"

static const uint32_t sizes[] = {1,    2,    12,    13,    255,   4095,
                                 4096, 4097, 65535, 65536, 65537, 1 << 20 /* the limit */};

/* Content of three kinds: one byte, text-like, without pattern. */
static void fill(uint8_t *content, uint32_t size, int kind)
{
    uint64_t random = size;
    for (uint32_t i = 0; i < size; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint8_t byte = (uint8_t)(random >> 56);
        content[i] = kind == 0 ? 0x55 : kind == 1 ? (uint8_t)('a' + byte % 4) : byte;
    }
}

static void round_trip(enum dlf_codec codec, int level, uint32_t size, int kind)
{
    uint8_t *content = malloc(size);
    uint8_t *stored = malloc(size);
    uint8_t *back = malloc(size);
    uint8_t used = 99;
    struct dlf_err err;
    struct dlf_encoder *enc = dlf_encoder_new(codec, level);
    assert_true(enc && content && stored && back);

    fill(content, size, kind);
    uint32_t n = dlf_encode(enc, content, size, stored, &used);
    assert_in_range(n, 1, size);
    /* Raw exactly when it did not shrink. */
    assert_int_equal(used, n == size ? DLF_CODEC_RAW : DLF_CODEC_LZ4);
    if (codec == DLF_CODEC_RAW)
        assert_int_equal(used, DLF_CODEC_RAW);
    if (codec == DLF_CODEC_LZ4 && kind == 0 && size > 64)
        assert_true(n < size / 10);
    assert_works(dlf_decode(used, stored, n, back, size, &err), err);
    assert_memory_equal(back, content, size);

    /* The same encoder again: nothing of the first chunk is left in it. */
    uint8_t *again = malloc(size);
    assert_non_null(again);
    assert_int_equal(dlf_encode(enc, content, size, again, &used), n);
    assert_memory_equal(again, stored, n);

    dlf_encoder_free(enc);
    free(content);
    free(stored);
    free(back);
    free(again);
}

static void round_trips(void **state)
{
    (void)state;
    static const int levels[] = {DLF_LEVEL_MIN, 2, 3, 9, DLF_LEVEL_MAX};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        for (int kind = 0; kind < 3; kind++) {
            round_trip(DLF_CODEC_RAW, 1, sizes[s], kind);
            /* The slowest level takes seconds for a chunk of the largest size. */
            size_t count = sizeof(levels) / sizeof(*levels) - (sizes[s] == DLF_CHUNK_MAX ? 1 : 0);
            for (size_t l = 0; l < count; l++)
                round_trip(DLF_CODEC_LZ4, levels[l], sizes[s], kind);
        }
    }
}

static void names_and_numbers_agree(void **state)
{
    (void)state;
    assert_string_equal(dlf_codec_name(DLF_CODEC_RAW), "raw");
    assert_string_equal(dlf_codec_name(DLF_CODEC_LZ4), "lz4");
    assert_string_equal(dlf_codec_name(2), "zstd");
    assert_string_equal(dlf_codec_name(3), "unknown");
    assert_string_equal(dlf_codec_name(255), "unknown");
    assert_int_equal(dlf_codec_by_name("raw"), DLF_CODEC_RAW);
    assert_int_equal(dlf_codec_by_name("lz4"), DLF_CODEC_LZ4);
    assert_int_equal(dlf_codec_by_name("zstd"), -1);
    assert_int_equal(dlf_codec_by_name("LZ4"), -1);
    assert_int_equal(dlf_codec_by_name(""), -1);
}

static void codecs_not_in_the_build_are_refused_by_name(void **state)
{
    (void)state;
    uint8_t stored[4] = {0};
    uint8_t out[4] = {9, 9, 9, 9};
    struct dlf_err err;
    assert_refused(dlf_decode(2, stored, 4, out, 4, &err), ENOTSUP, err,
                   "chunk codec 2 (zstd) is not in this build of dlfuse");
    assert_refused(dlf_decode(200, stored, 4, out, 4, &err), ENOTSUP, err,
                   "chunk codec 200 (unknown) is not in this build of dlfuse");
    assert_int_equal(out[0], 9);
    /* Nobody has to ask for the words. */
    assert_int_equal(dlf_decode(2, stored, 4, out, 4, NULL), -ENOTSUP);
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    /* "aaaaaaaaaaaaaaaaaaaaaaaa" + "bbbbb": a literal, a match of 23, five literals. */
    static const uint8_t block[] = {1 << 4 | 15, 'a', 1, 0, 4, 5 << 4, 'b', 'b', 'b', 'b', 'b'};
    uint8_t out[64];
    struct dlf_err err;
    assert_works(dlf_decode(DLF_CODEC_LZ4, block, sizeof(block), out, 29, &err), err);
    assert_memory_equal(out, "aaaaaaaaaaaaaaaaaaaaaaaabbbbb", 29);
    assert_refused(dlf_decode(DLF_CODEC_LZ4, block, sizeof(block), out, 28, &err), EBADMSG, err,
                   "lz4 chunk does not decompress to its 28 bytes");
    assert_refused(dlf_decode(DLF_CODEC_LZ4, block, sizeof(block), out, 30, &err), EBADMSG, err,
                   "lz4 chunk does not decompress to its 30 bytes");
    assert_refused(dlf_decode(DLF_CODEC_LZ4, block, sizeof(block) - 1, out, 29, &err), EBADMSG, err,
                   "lz4 chunk does not decompress to its 29 bytes");
    assert_refused(dlf_decode(DLF_CODEC_LZ4, block, 0, out, 29, &err), EBADMSG, err,
                   "lz4 chunk does not decompress to its 29 bytes");
    assert_refused(dlf_decode(DLF_CODEC_RAW, block, 4, out, 5, &err), EBADMSG, err,
                   "raw chunk has 4 stored bytes for 5 of content");
    assert_refused(dlf_decode(DLF_CODEC_RAW, block, 5, out, 4, &err), EBADMSG, err,
                   "raw chunk has 5 stored bytes for 4 of content");
    /* Sizes that would be negative numbers to liblz4; nothing is read or written. */
    assert_refused(dlf_decode(DLF_CODEC_LZ4, block, UINT32_MAX, out, 4, &err), EFBIG, err,
                   "lz4 chunk of 4 bytes is over the limit");
    assert_refused(dlf_decode(DLF_CODEC_LZ4, block, 4, out, UINT32_MAX, &err), EFBIG, err,
                   "lz4 chunk of 4294967295 bytes is over the limit");
}

/* Both buffers are exact allocations, so that a sanitizer sees one byte too many. */
static void decode_damaged(const uint8_t *stored, uint32_t n, uint32_t size)
{
    uint8_t *in = malloc(n);
    uint8_t *out = malloc(size);
    struct dlf_err err;
    assert_true(in && out);
    memcpy(in, stored, n);
    int rc = dlf_decode(DLF_CODEC_LZ4, in, n, out, size, &err);
    assert_true(rc == 0 || rc == -EBADMSG);
    free(in);
    free(out);
}

static void damaged_lz4_never_leaves_its_buffers(void **state)
{
    (void)state;
    enum { SIZE = 600 };
    uint8_t content[SIZE];
    uint8_t stored[SIZE];
    uint8_t codec;
    struct dlf_encoder *enc = dlf_encoder_new(DLF_CODEC_LZ4, 1);
    assert_non_null(enc);
    fill(content, SIZE, 1);
    uint32_t n = dlf_encode(enc, content, SIZE, stored, &codec);
    dlf_encoder_free(enc);
    assert_int_equal(codec, DLF_CODEC_LZ4);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t kept = stored[i];
        for (unsigned value = 0; value < 256; value++) {
            stored[i] = (uint8_t)value;
            decode_damaged(stored, n, SIZE);
        }
        stored[i] = kept;
        decode_damaged(stored, i + 1, SIZE);
    }
}

/*
 * chunk/text is content; chunk/text.lz4-1 and chunk/text.lz4-9 are its stored forms. Reading them
 * is the format and must work for ever; writing the same bytes is liblz4's business and is compared
 * for the version that they were made with.
 */
static void golden_chunk(int level, const char *path)
{
    size_t size = 0;
    size_t stored_size = 0;
    uint8_t *content = golden_read("chunk/text", &size);
    uint8_t *back = malloc(size + 1);
    uint8_t *ours = malloc(size + 1);
    uint8_t codec;
    struct dlf_err err;
    struct dlf_encoder *enc = dlf_encoder_new(DLF_CODEC_LZ4, level);
    assert_true(content && back && ours && enc && size > 0);
    uint32_t n = dlf_encode(enc, content, (uint32_t)size, ours, &codec);
    assert_int_equal(codec, DLF_CODEC_LZ4);
    if (getenv("DLFUSE_GOLDEN_WRITE"))
        assert_int_equal(golden_write(path, ours, n), 0);
    uint8_t *stored = golden_read(path, &stored_size);
    assert_non_null(stored);
    assert_works(
        dlf_decode(DLF_CODEC_LZ4, stored, (uint32_t)stored_size, back, (uint32_t)size, &err), err);
    assert_memory_equal(back, content, size);
    if (LZ4_versionNumber() == 10904) {
        assert_int_equal(n, stored_size);
        assert_memory_equal(ours, stored, n);
    }
    dlf_encoder_free(enc);
    free(content);
    free(back);
    free(ours);
    free(stored);
}

static void golden_chunks_are_read_and_written(void **state)
{
    (void)state;
    golden_chunk(1, "chunk/text.lz4-1");
    golden_chunk(9, "chunk/text.lz4-9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(names_and_numbers_agree),
        cmocka_unit_test(codecs_not_in_the_build_are_refused_by_name),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(damaged_lz4_never_leaves_its_buffers),
        cmocka_unit_test(golden_chunks_are_read_and_written),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
