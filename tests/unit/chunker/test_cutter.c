/* The cutters: limits, restart, averages, and that an insertion moves only the cuts around it. */
#include "check.h"

#include "chunker/cutter.h"
#include "format/limits.h"

#define DATA_BYTES ((size_t)8 << 20)
#define CUTS_MAX 4096

struct cuts {
    size_t count;
    size_t ends[CUTS_MAX];
};

/* All cuts of one run. */
static void cut_all(const struct cutter *cutter, const uint8_t *data, size_t size,
                    struct cuts *cuts)
{
    cuts->count = 0;
    for (size_t at = 0; at < size;) {
        at += cutter_cut(cutter, data + at, size - at);
        assert_true(cuts->count < CUTS_MAX);
        cuts->ends[cuts->count++] = at;
    }
}

static const enum cut_kind kinds[] = {CUT_BLOCKS, CUT_BYTES};

static void test_limits(void **state)
{
    static struct cuts cuts;
    uint8_t *data = malloc(DATA_BYTES);
    (void)state;
    fill_random(data, DATA_BYTES, 1);
    for (int k = 0; k < 2; k++) {
        for (uint32_t average = CUT_AVERAGE_MIN; average <= CUT_AVERAGE_MAX; average *= 2) {
            struct cutter cutter;
            size_t from = 0;
            cutter_init(&cutter, kinds[k], average);
            assert_true(cutter.max_bytes <= DLF_CHUNK_MAX);
            cut_all(&cutter, data, DATA_BYTES, &cuts);
            for (size_t i = 0; i < cuts.count; i++) {
                size_t length = cuts.ends[i] - from;
                assert_in_range(length, 1, cutter.max_bytes);
                if (i + 1 < cuts.count)
                    assert_true(length >= cutter.min_bytes);
                if (kinds[k] == CUT_BLOCKS)
                    assert_int_equal(length % CUT_BLOCK, 0);
                from = cuts.ends[i];
            }
            /* Random data has no tails; the average is within a factor of two. */
            assert_in_range(DATA_BYTES / (cuts.count ? cuts.count : 1), average / 2, average * 2);
        }
    }
    free(data);
}

/* Data without a cut of its own is cut at the maximum. */
static void test_forced(void **state)
{
    uint8_t *data = malloc(DATA_BYTES);
    (void)state;
    memset(data, 0x5a, DATA_BYTES);
    for (int k = 0; k < 2; k++) {
        struct cutter cutter;
        cutter_init(&cutter, kinds[k], CUT_AVERAGE_DEFAULT);
        uint32_t length = cutter_cut(&cutter, data, DATA_BYTES);
        assert_true(length == cutter.max_bytes || length == cutter.min_bytes ||
                    kinds[k] == CUT_BYTES);
        assert_true(length <= cutter.max_bytes);
    }
    free(data);
}

static void test_short_runs(void **state)
{
    uint8_t data[3 * CUT_BLOCK];
    (void)state;
    fill_random(data, sizeof(data), 2);
    for (int k = 0; k < 2; k++) {
        struct cutter cutter;
        cutter_init(&cutter, kinds[k], CUT_AVERAGE_DEFAULT);
        for (size_t size = 1; size <= sizeof(data); size += 997)
            assert_int_equal(cutter_cut(&cutter, data, size), size);
    }
}

/* A cut depends on nothing but the bytes from the chunk's start up to the maximum. */
static void test_pure(void **state)
{
    uint8_t *data = malloc(DATA_BYTES);
    (void)state;
    fill_random(data, DATA_BYTES, 3);
    for (int k = 0; k < 2; k++) {
        struct cutter cutter;
        cutter_init(&cutter, kinds[k], CUT_AVERAGE_DEFAULT);
        uint32_t whole = cutter_cut(&cutter, data, DATA_BYTES);
        assert_int_equal(whole, cutter_cut(&cutter, data, cutter.max_bytes));
        assert_int_equal(whole, cutter_cut(&cutter, data, cutter.max_bytes + CUT_BLOCK));
        assert_int_equal(whole, cutter_cut(&cutter, data, whole));
    }
    free(data);
}

static void test_tail_ends_chunk(void **state)
{
    struct cutter cutter;
    uint8_t *data = malloc(DATA_BYTES);
    (void)state;
    fill_random(data, DATA_BYTES, 4);
    cutter_init(&cutter, CUT_BLOCKS, CUT_AVERAGE_MAX);
    uint32_t natural = cutter_cut(&cutter, data, DATA_BYTES);
    assert_true(natural > cutter.min_bytes + CUT_BLOCK);
    /* 64 zero bytes at the end of a block do, 63 do not; nor any before the minimum. */
    uint32_t end = cutter.min_bytes + CUT_BLOCK;
    memset(data + CUT_BLOCK - 64, 0, 64);
    memset(data + end - 63, 0, 63);
    assert_int_not_equal(cutter_cut(&cutter, data, DATA_BYTES), CUT_BLOCK);
    assert_int_not_equal(cutter_cut(&cutter, data, DATA_BYTES), end);
    data[end - 64] = 0;
    assert_int_equal(cutter_cut(&cutter, data, DATA_BYTES), end);
    free(data);
}

/* The number of chunks of b that do not occur in a. Both from the same cutter. */
static size_t count_new(const struct cuts *a, const uint8_t *a_data, const struct cuts *b,
                        const uint8_t *b_data)
{
    size_t new_count = 0;
    for (size_t i = 0; i < b->count; i++) {
        size_t b_from = i ? b->ends[i - 1] : 0;
        size_t length = b->ends[i] - b_from;
        bool found = false;
        for (size_t j = 0; j < a->count && !found; j++) {
            size_t a_from = j ? a->ends[j - 1] : 0;
            found = a->ends[j] - a_from == length &&
                    memcmp(a_data + a_from, b_data + b_from, length) == 0;
        }
        new_count += !found;
    }
    return new_count;
}

/* After an insertion in the middle, nearly all chunks are the same. */
static void test_shift(void **state)
{
    static struct cuts before;
    static struct cuts after;
    uint8_t *data = malloc(DATA_BYTES);
    uint8_t *shifted = malloc(DATA_BYTES + CUT_BLOCK);
    (void)state;
    fill_random(data, DATA_BYTES, 5);
    for (int k = 0; k < 2; k++) {
        struct cutter cutter;
        size_t middle = DATA_BYTES / 2 + 5 * CUT_BLOCK;
        size_t extra = kinds[k] == CUT_BLOCKS ? CUT_BLOCK : 7;
        cutter_init(&cutter, kinds[k], CUT_AVERAGE_DEFAULT);
        memcpy(shifted, data, middle);
        fill_random(shifted + middle, extra, 6);
        memcpy(shifted + middle + extra, data + middle, DATA_BYTES - middle);
        cut_all(&cutter, data, DATA_BYTES, &before);
        cut_all(&cutter, shifted, DATA_BYTES + extra, &after);
        assert_in_range(count_new(&before, data, &after, shifted), 1, 6);
    }
    free(data);
    free(shifted);
}

/* The cuts of the default cutters in one known input: a change here re-sends all images. */
static void test_stable(void **state)
{
    static const size_t expected[2][4] = {{102400, 151552, 180224, 204800},
                                          {76972, 168906, 253983, 352016}};
    static struct cuts cuts;
    uint8_t *data = malloc(DATA_BYTES);
    (void)state;
    fill_random(data, DATA_BYTES, 7);
    for (int k = 0; k < 2; k++) {
        struct cutter cutter;
        cutter_init(&cutter, kinds[k], CUT_AVERAGE_DEFAULT);
        cut_all(&cutter, data, DATA_BYTES, &cuts);
        for (int i = 0; i < 4; i++)
            assert_int_equal(cuts.ends[i], expected[k][i]);
    }
    free(data);
}

static void test_average_valid(void **state)
{
    (void)state;
    assert_true(cutter_average_valid(8192));
    assert_true(cutter_average_valid(262144));
    assert_false(cutter_average_valid(0));
    assert_false(cutter_average_valid(4096));
    assert_false(cutter_average_valid(65537));
    assert_false(cutter_average_valid(524288));
    assert_false(cutter_average_valid(UINT64_C(1) << 40));
}

static void test_is_zero(void **state)
{
    uint8_t data[CUT_BLOCK] = {0};
    (void)state;
    assert_true(cut_is_zero(data, 0));
    assert_true(cut_is_zero(data, sizeof(data)));
    for (size_t i = 0; i < sizeof(data); i += 13) {
        data[i] = 1;
        assert_false(cut_is_zero(data, sizeof(data)));
        data[i] = 0;
    }
    data[sizeof(data) - 1] = 1;
    assert_false(cut_is_zero(data, sizeof(data)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_forced),
        cmocka_unit_test(test_short_runs),      cmocka_unit_test(test_pure),
        cmocka_unit_test(test_tail_ends_chunk), cmocka_unit_test(test_shift),
        cmocka_unit_test(test_stable),          cmocka_unit_test(test_average_valid),
        cmocka_unit_test(test_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
