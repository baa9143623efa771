/*
 * Chunk codecs: round trips, refusals by name, and stored bytes that lie about themselves. Compiled
 * a second time with a codec.c without zstd: the tested codecs are those of dlf_codec_available.
 */
#include "check.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>

#include "format/codec.h"
#include "format/limits.h"
#include "golden.h"

#ifndef HAS_ZSTD
#error "HAS_ZSTD says whether the codec.c that is tested was compiled with zstd"
#endif

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
    assert_int_equal(used, n == size ? DLF_CODEC_RAW : codec);
    if (codec != DLF_CODEC_RAW && kind == 0 && size > 64)
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
    static const int lz4_levels[] = {1, 2, 3, 9, 12};
    static const int zstd_levels[] = {1, 2, 3, 5, 9, 13, 19};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        /* The slowest levels take seconds for a chunk of the largest size. */
        bool slow = sizes[s] == DLF_CHUNK_MAX;
        for (int kind = 0; kind < 3; kind++) {
            round_trip(DLF_CODEC_RAW, 1, sizes[s], kind);
            for (size_t l = 0; l < 5 - (slow ? 1 : 0); l++)
                round_trip(DLF_CODEC_LZ4, lz4_levels[l], sizes[s], kind);
            for (size_t l = 0; l < 7 - (slow ? 2 : 0) && dlf_codec_available(DLF_CODEC_ZSTD); l++)
                round_trip(DLF_CODEC_ZSTD, zstd_levels[l], sizes[s], kind);
        }
    }
}

/* Earlier chunks of an encoder do not change later ones: jobs come to workers in any order. */
static void encoders_have_no_memory(void **state)
{
    (void)state;
    enum { SIZE = 65536, OTHERS = 20 };
    uint8_t *content = malloc(SIZE);
    uint8_t *other = malloc(SIZE);
    uint8_t *first = malloc(SIZE);
    uint8_t *then = malloc(SIZE);
    assert_true(content && other && first && then);
    for (int codec = DLF_CODEC_LZ4; codec <= DLF_CODEC_ZSTD; codec++) {
        int min;
        int max;
        assert_true(dlf_codec_level_range((enum dlf_codec)codec, &min, &max));
        for (int level = min; level <= max && dlf_codec_available((uint8_t)codec); level++) {
            uint8_t used;
            struct dlf_encoder *enc = dlf_encoder_new((enum dlf_codec)codec, level);
            assert_non_null(enc);
            fill(content, SIZE, 1);
            /* Runs of the same content at other places, as files have it. */
            memmove(content + 30000, content, 12345);
            uint32_t n = dlf_encode(enc, content, SIZE, first, &used);
            for (uint32_t i = 1; i <= OTHERS; i++) {
                memcpy(other, content + i * 100, SIZE - i * 100);
                fill(other + SIZE - i * 100, i * 100, 2);
                dlf_encode(enc, other, SIZE, then, &used);
            }
            assert_int_equal(dlf_encode(enc, content, SIZE, then, &used), n);
            assert_memory_equal(then, first, n);
            dlf_encoder_free(enc);
        }
    }
    free(content);
    free(other);
    free(first);
    free(then);
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
    assert_int_equal(dlf_codec_by_name("zstd"), HAS_ZSTD ? DLF_CODEC_ZSTD : -1);
    assert_int_equal(dlf_codec_by_name("LZ4"), -1);
    assert_int_equal(dlf_codec_by_name(""), -1);
    assert_int_equal(dlf_codec_by_name("unknown"), -1);
    assert_int_equal(dlf_codec_available(DLF_CODEC_ZSTD), HAS_ZSTD);
    assert_true(dlf_codec_available(DLF_CODEC_RAW) && dlf_codec_available(DLF_CODEC_LZ4));
    assert_false(dlf_codec_available(3));
}

static void levels_are_those_of_the_programs(void **state)
{
    (void)state;
    int min = -1;
    int max = -1;
    assert_false(dlf_codec_level_range(DLF_CODEC_RAW, &min, &max));
    assert_int_equal(min, -1);
    assert_true(dlf_codec_level_range(DLF_CODEC_LZ4, &min, &max));
    assert_int_equal(min, 1);
    assert_int_equal(max, 12);
    assert_true(dlf_codec_level_range(DLF_CODEC_ZSTD, &min, &max));
    assert_int_equal(min, 1);
    assert_int_equal(max, 19);
}

static void codecs_not_in_the_build_are_refused_by_name(void **state)
{
    (void)state;
    uint8_t stored[4] = {0};
    uint8_t out[4] = {9, 9, 9, 9};
    struct dlf_err err;
    assert_refused(dlf_decode(3, stored, 4, out, 4, &err), ENOTSUP, err,
                   "chunk codec 3 (unknown) is not in this build of dlfuse");
    assert_refused(dlf_decode(200, stored, 4, out, 4, &err), ENOTSUP, err,
                   "chunk codec 200 (unknown) is not in this build of dlfuse");
#if !HAS_ZSTD
    assert_refused(dlf_decode(2, stored, 4, out, 4, &err), ENOTSUP, err,
                   "chunk codec 2 (zstd) is not in this build of dlfuse");
#endif
    assert_int_equal(out[0], 9);
    /* err may be NULL. */
    assert_int_equal(dlf_decode(200, stored, 4, out, 4, NULL), -ENOTSUP);
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

/* A frame by hand: "aaaaa" as one block of a repeated byte, the size in the header's one byte. */
static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x2b, 0, 0, 'a'};

#if HAS_ZSTD
static void zstd_frames_are_read(void **state)
{
    (void)state;
    uint8_t out[8] = {0};
    struct dlf_err err;
    struct dlf_decoder *dec = dlf_decoder_new();
    assert_non_null(dec);
    /* One decoder for all codecs, again and again. */
    for (int i = 0; i < 3; i++) {
        memset(out, 0, sizeof(out));
        assert_works(dlf_decode_with(dec, DLF_CODEC_ZSTD, frame, sizeof(frame), out, 5, &err), err);
        assert_memory_equal(out, "aaaaa\0\0", 8);
        assert_works(dlf_decode_with(dec, DLF_CODEC_RAW, frame, 4, out, 4, &err), err);
        assert_int_equal(
            dlf_decode_with(dec, DLF_CODEC_ZSTD, frame, sizeof(frame) - 1, out, 5, &err), -EBADMSG);
    }
    dlf_decoder_free(dec);
    dlf_decoder_free(NULL);
}

static void zstd_frames_that_lie_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t size; /* that the record says */
        uint32_t stored;
        uint8_t bytes[20];
        const char *says;
    } cases[] = {
        {4, 10, "\x28\xb5\x2f\xfd\x20\x05\x2b\0\0a",
         "zstd chunk of 4 bytes: its frame does not say that size"},
        {6, 10, "\x28\xb5\x2f\xfd\x20\x05\x2b\0\0a",
         "zstd chunk of 6 bytes: its frame does not say that size"},
        /* Its content is shorter and longer than its header says. */
        {5, 10, "\x28\xb5\x2f\xfd\x20\x05\x23\0\0a",
         "zstd chunk does not decompress to its 5 bytes"},
        {5, 10, "\x28\xb5\x2f\xfd\x20\x05\x33\0\0a",
         "zstd chunk does not decompress to its 5 bytes"},
        {5, 10, "\x29\xb5\x2f\xfd\x20\x05\x2b\0\0a",
         "zstd chunk of 5 bytes: it is not a zstd frame"},
        {5, 0, "", "zstd chunk of 5 bytes: it is not a zstd frame"},
        {5, 5, "\x28\xb5\x2f\xfd\x20", "zstd chunk of 5 bytes: it is not a zstd frame"},
        {5, 9, "\x28\xb5\x2f\xfd\x20\x05\x2b\0\0",
         "zstd chunk of 5 bytes: its stored bytes are not one frame"},
        /* Behind the frame: a byte, an empty frame, a skippable frame before it. */
        {5, 11, "\x28\xb5\x2f\xfd\x20\x05\x2b\0\0a\0",
         "zstd chunk of 5 bytes: its stored bytes are not one frame"},
        {5, 19, "\x28\xb5\x2f\xfd\x20\x05\x2b\0\0a\x28\xb5\x2f\xfd\x20\0\x01\0\0",
         "zstd chunk of 5 bytes: its stored bytes are not one frame"},
        {5, 18, "\x50\x2a\x4d\x18\0\0\0\0\x28\xb5\x2f\xfd\x20\x05\x2b\0\0a",
         "zstd chunk of 5 bytes: its frame does not say that size"},
        /* No size; a checksum; a dictionary; the reserved bit. */
        {5, 10, "\x28\xb5\x2f\xfd\0\0\x2b\0\0a",
         "zstd chunk of 5 bytes: its frame does not say that size"},
        {5, 14, "\x28\xb5\x2f\xfd\x24\x05\x2b\0\0a\0\0\0\0",
         "zstd chunk of 5 bytes: its frame has a checksum or a dictionary"},
        {5, 11, "\x28\xb5\x2f\xfd\x21\x01\x05\x2b\0\0a",
         "zstd chunk of 5 bytes: its frame has a checksum or a dictionary"},
        {5, 10, "\x28\xb5\x2f\xfd\x28\x05\x2b\0\0a",
         "zstd chunk of 5 bytes: it is not a zstd frame"},
        /* A window of 1 KiB, and one of 2 GiB, for 261 and 5 bytes. */
        {261, 12, "\x28\xb5\x2f\xfd\x40\0\x05\0\x2b\x08\0a",
         "zstd chunk of 261 bytes: its frame has a window over that size"},
        {5, 14, "\x28\xb5\x2f\xfd\x80\xa8\x05\0\0\0\x2b\0\0a",
         "zstd chunk of 5 bytes: its frame has a window over that size"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct dlf_err err;
        uint8_t *stored = malloc(cases[i].stored + 1);
        uint8_t *out = malloc(cases[i].size);
        assert_true(stored && out);
        memcpy(stored, cases[i].bytes, cases[i].stored);
        assert_refused(
            dlf_decode(DLF_CODEC_ZSTD, stored, cases[i].stored, out, cases[i].size, &err), EBADMSG,
            err, cases[i].says);
        free(stored);
        free(out);
    }
}

static void windows_may_be_below_the_content(void **state)
{
    (void)state;
    /* 2 KiB of content, a window of 1 KiB: allowed, though this writer makes none. Two blocks: one
     * is never over the window. */
    static const uint8_t two[] = {0x28, 0xb5, 0x2f, 0xfd, 0x40, 0x00, 0x00, 0x07,
                                  0x02, 0x20, 0x00, 'a',  0x03, 0x20, 0x00, 'b'};
    /* The same with half of the content missing. */
    static const uint8_t one[] = {0x28, 0xb5, 0x2f, 0xfd, 0x40, 0x00,
                                  0x00, 0x07, 0x03, 0x20, 0x00, 'a'};
    uint8_t out[2048];
    struct dlf_err err;
    assert_works(dlf_decode(DLF_CODEC_ZSTD, two, sizeof(two), out, 2048, &err), err);
    assert_int_equal(out[1023], 'a');
    assert_int_equal(out[1024], 'b');
    assert_refused(dlf_decode(DLF_CODEC_ZSTD, one, sizeof(one), out, 2048, &err), EBADMSG, err,
                   "zstd chunk does not decompress to its 2048 bytes");
}
#else
static void zstd_is_refused_by_name(void **state)
{
    (void)state;
    uint8_t out[5];
    struct dlf_err err;
    struct dlf_decoder *dec = dlf_decoder_new();
    assert_non_null(dec);
    assert_refused(dlf_decode_with(dec, DLF_CODEC_ZSTD, frame, sizeof(frame), out, 5, &err),
                   ENOTSUP, err, "chunk codec 2 (zstd) is not in this build of dlfuse");
    dlf_decoder_free(dec);
}
#endif

/* Both buffers are exact allocations, so that a sanitizer sees one byte too many. */
static void decode_damaged(uint8_t codec, const uint8_t *stored, uint32_t n, uint32_t size)
{
    uint8_t *in = malloc(n);
    uint8_t *out = malloc(size);
    struct dlf_err err;
    assert_true(in && out);
    memcpy(in, stored, n);
    int rc = dlf_decode(codec, in, n, out, size, &err);
    assert_true(rc == 0 || rc == -EBADMSG);
    free(in);
    free(out);
}

static void damaged_chunks_never_leave_their_buffers(void **state)
{
    (void)state;
    enum { SIZE = 600 };
    uint8_t content[SIZE];
    uint8_t stored[SIZE];
    for (int wanted = DLF_CODEC_LZ4; wanted <= DLF_CODEC_ZSTD; wanted++) {
        uint8_t codec;
        if (!dlf_codec_available((uint8_t)wanted))
            continue;
        struct dlf_encoder *enc = dlf_encoder_new((enum dlf_codec)wanted, 1);
        assert_non_null(enc);
        fill(content, SIZE, 1);
        uint32_t n = dlf_encode(enc, content, SIZE, stored, &codec);
        dlf_encoder_free(enc);
        assert_int_equal(codec, wanted);
        for (uint32_t i = 0; i < n; i++) {
            uint8_t kept = stored[i];
            for (unsigned value = 0; value < 256; value++) {
                stored[i] = (uint8_t)value;
                decode_damaged(codec, stored, n, SIZE);
            }
            stored[i] = kept;
            decode_damaged(codec, stored, i + 1, SIZE);
        }
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
        cmocka_unit_test(encoders_have_no_memory),
        cmocka_unit_test(names_and_numbers_agree),
        cmocka_unit_test(levels_are_those_of_the_programs),
        cmocka_unit_test(codecs_not_in_the_build_are_refused_by_name),
        cmocka_unit_test(wrong_sizes_are_refused),
#if HAS_ZSTD
        cmocka_unit_test(zstd_frames_are_read),
        cmocka_unit_test(zstd_frames_that_lie_are_refused),
        cmocka_unit_test(windows_may_be_below_the_content),
#else
        cmocka_unit_test(zstd_is_refused_by_name),
#endif
        cmocka_unit_test(damaged_chunks_never_leave_their_buffers),
        cmocka_unit_test(golden_chunks_are_read_and_written),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
