/*
 * The cache's room, through any reads, limits, drops and refusals: the file stays within its limit,
 * every held chunk is right and can be evicted, and a failure passes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache_bench.h"
#include "fake_kernel.h"

/* Of each history. */
#ifdef DLFUSE_SANITIZED
#define STEPS 250u
#else
#define STEPS 1500u
#endif
#define CHUNKS 600u

static struct dlf_cache_stats stats_of(const struct cache_bench *b)
{
    struct dlf_cache_stats stats;
    dlf_cache_stats(b->cache, &stats);
    return stats;
}

/* The file has exactly the pages of the present chunks, and they are within the limit. */
static void check_room(const struct cache_bench *b)
{
    struct dlf_cache_stats s = stats_of(b);
    uint64_t model = cache_bench_model(b);
    assert_int_equal(s.held_bytes, model);
    assert_true(s.held_bytes <= s.limit_bytes || s.held_bytes - s.limit_bytes < b->page_bytes);
    if (fake_kernel.page_bytes)
        assert_true(cache_bench_blocks(b) <= model);
    else
        assert_int_equal(cache_bench_blocks(b), model);
}

static int setup(void **state)
{
    (void)state;
    fake_kernel_reset();
    cache_bench_lines = 0;
    return 0;
}

/* ---- any history ---- */

/* One random thing happens. */
static void happen(struct cache_bench *b, bool limits)
{
    uint32_t chunk = cache_bench_random(b, b->count);
    switch (cache_bench_random(b, 12)) {
    case 0:
        cache_bench_load_page(b, cache_bench_random(b, b->page_count));
        break;
    case 1:
        if (limits && cache_bench_random(b, 4) == 0)
            dlf_cache_set_limit(b->cache,
                                cache_bench_random(b, (uint32_t)(b->data_size + b->data_size / 8)));
        break;
    case 2:
        cache_bench_hand_over(b, chunk, -ETIMEDOUT);
        break;
    case 3:
        if (cache_bench_random(b, 100) == 0)
            cache_bench_hand_over(b, chunk, -ENOENT); /* of the boot pack: it is dropped */
        break;
    case 4:
        if (cache_bench_random(b, 20) == 0) {
            fake_kernel.write_errno = cache_bench_random(b, 2) ? ENOMEM : ENOSPC;
            fake_kernel.write_part = cache_bench_random(b, 5000);
            fake_kernel.write_failures = 1;
        }
        break;
    case 5:
        fake_kernel.later_ms += 100;
        break;
    case 6:
    case 7:
    case 8:
        cache_bench_hand_over(b, chunk, 0);
        break;
    default:
        /* Neighbours, most of the time. */
        for (uint32_t i = 0; i < 6 && chunk + i < b->count; i++)
            cache_bench_ask(b, chunk + i);
        break;
    }
}

static void histories(enum bench_shape shape, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++) {
        struct cache_bench b;
        uint64_t limit = (uint64_t)(round % 4) << 18; /* 0: below one chunk; all of it at the end */
        cache_bench_begin(&b, shape, CHUNKS, round + 1, round % 4 == 3 ? UINT64_MAX : limit);
        if (round % 2)
            cache_bench_use_boot(&b);
        for (unsigned i = 0; i < STEPS; i++) {
            happen(&b, round % 3 != 2);
            check_room(&b);
        }
        cache_bench_check_content(&b);
        dlf_cache_set_limit(b.cache, 0); /* all that is held can go */
        if (!dlf_cache_complete(b.cache))
            assert_int_equal(cache_bench_blocks(&b), 0);
        cache_bench_end(&b);
    }
    assert_int_equal(fake_kernel.odd_punches, 0);
    assert_true(fake_kernel.failed > 0);
}

static void test_any_history_of_blocks(void **state)
{
    (void)state;
    histories(BENCH_BLOCKS, 6);
}

static void test_any_history_of_bytes(void **state)
{
    (void)state;
    histories(BENCH_BYTES, 12);
}

static void test_any_history_of_odd_chunks(void **state)
{
    (void)state;
    histories(BENCH_ODD, 12);
}

static void test_any_history_with_pages_of_64k(void **state)
{
    (void)state;
    fake_kernel.page_bytes = 65536;
    histories(BENCH_BYTES, 6);
    histories(BENCH_ODD, 6);
}

/* ---- one thing at a time ---- */

/* A chunk finds room while the limit allows one: every held chunk can be evicted. */
static void test_every_chunk_is_kept(void **state)
{
    (void)state;
    for (unsigned shape = BENCH_BLOCKS; shape <= BENCH_ODD; shape++) {
        struct cache_bench b;
        cache_bench_begin(&b, (enum bench_shape)shape, CHUNKS, 99, 0);
        uint64_t limit = cache_bench_most(&b) + b.page_bytes;
        cache_bench_end(&b);
        cache_bench_begin(&b, (enum bench_shape)shape, CHUNKS, 99, limit);
        cache_bench_load_pages(&b);
        for (unsigned i = 0; i < 1000; i++) {
            uint32_t chunk = cache_bench_random(&b, CHUNKS);
            cache_bench_bring(&b, chunk);
            assert_true(dlf_cache_present(b.cache, chunk));
            check_room(&b);
        }
        cache_bench_end(&b);
    }
}

/* When the boot pack is dropped, its chunks can be evicted like all others. */
static void test_chunks_of_a_dropped_boot_pack_go(void **state)
{
    struct cache_bench b;
    (void)state;
    cache_bench_begin(&b, BENCH_BYTES, CHUNKS, 3, UINT64_MAX);
    cache_bench_use_boot(&b);
    for (uint32_t i = 0; i < CHUNKS; i++)
        cache_bench_ask(&b, i); /* only the table's are known */
    for (unsigned i = 0; i < 100; i++)
        cache_bench_hand_over(&b, 0, 0);
    cache_bench_hand_over(&b, 0, -ENOENT);
    assert_int_equal(b.boot_failed, 1);
    while (cache_bench_hand_over(&b, 0, 0)) /* these were being fetched */
        ;
    uint64_t held = stats_of(&b).held_bytes;
    assert_true(stats_of(&b).present_chunks > 100);
    assert_true(dlf_cache_set_limit(b.cache, held / 4));
    check_room(&b);
    cache_bench_load_page(&b, 2); /* a chunk that came by the table is the same by its page */
    cache_bench_bring(&b, 2 * DLF_INDEX_PAGE_RECORDS + 7);
    assert_true(dlf_cache_set_limit(b.cache, 0));
    assert_int_equal(cache_bench_blocks(&b), 0);
    assert_int_equal(stats_of(&b).present_chunks, 0);
    assert_int_equal(stats_of(&b).present_bytes, 0);
    cache_bench_end(&b);
}

/* The image takes more pages than its data suggest: the limit is kept, so the image is not kept
 * whole. */
static void test_pages_may_be_more_than_the_data(void **state)
{
    struct cache_bench b;
    (void)state;
    cache_bench_begin(&b, BENCH_ODD, CHUNKS, 5, UINT64_MAX);
    uint64_t data = b.data_size;
    cache_bench_load_pages(&b);
    for (uint32_t i = 0; i < CHUNKS; i++)
        cache_bench_bring(&b, i);
    assert_true(dlf_cache_complete(b.cache));
    assert_true(cache_bench_blocks(&b) > data + b.page_bytes);
    cache_bench_end(&b);

    cache_bench_begin(&b, BENCH_ODD, CHUNKS, 5, data);
    cache_bench_load_pages(&b);
    assert_true(dlf_cache_holds_all(b.cache, data));
    assert_int_equal(dlf_cache_rest_ms(b.cache), 0);
    for (uint32_t i = 0; i < 2 * CHUNKS; i++) {
        cache_bench_bring(&b, i % CHUNKS);
        assert_true(dlf_cache_present(b.cache, i % CHUNKS));
        check_room(&b);
    }
    assert_false(dlf_cache_complete(b.cache));
    assert_false(dlf_cache_holds_all(b.cache, data));
    assert_true(dlf_cache_rest_ms(b.cache) == UINT64_MAX);
    assert_true(dlf_cache_set_limit(b.cache, data));
    assert_null(dlf_cache_enter(b.cache));
    cache_bench_end(&b);
}

/* A limit of the data's size holds all data, also when they end within the last page. */
static void test_a_limit_of_the_data_holds_all(void **state)
{
    struct cache_bench b;
    (void)state;
    cache_bench_begin(&b, BENCH_BYTES, CHUNKS, 7, 0);
    uint64_t data = b.data_size;
    assert_int_not_equal(data % b.page_bytes, 0);
    cache_bench_end(&b);
    cache_bench_begin(&b, BENCH_BYTES, CHUNKS, 7, data);
    cache_bench_load_pages(&b);
    for (uint32_t i = 0; i < CHUNKS; i++)
        cache_bench_bring(&b, i);
    assert_true(dlf_cache_complete(b.cache));
    cache_bench_end(&b);
}

/* ---- refusals of the kernel ---- */

static void test_a_failed_write_passes(void **state)
{
    static const int causes[] = {ENOMEM, ENOSPC, EIO, EDQUOT, 0};
    struct cache_bench b;
    (void)state;
    for (unsigned i = 0; i < sizeof(causes) / sizeof(causes[0]); i++) {
        cache_bench_begin(&b, BENCH_BYTES, CHUNKS, 11, UINT64_MAX);
        cache_bench_load_pages(&b);
        for (uint32_t chunk = 0; chunk < 100; chunk++)
            cache_bench_bring(&b, chunk);
        fake_kernel.write_errno = causes[i];
        fake_kernel.write_part = 300;
        fake_kernel.write_failures = 1;
        cache_bench_bring(&b, 100);
        assert_int_equal(fake_kernel.write_failures, 0);
        assert_false(dlf_cache_present(b.cache, 100));
        check_room(&b); /* the written part is given back */
        assert_false(dlf_cache_stuck(b.cache));
        assert_in_range(dlf_cache_rest_ms(b.cache), 1, 500);
        cache_bench_bring(&b, 101);
        assert_false(dlf_cache_present(b.cache, 101));
        fake_kernel.later_ms += 500;
        assert_int_equal(dlf_cache_rest_ms(b.cache), 0);
        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
            cache_bench_bring(&b, chunk);
        assert_true(dlf_cache_complete(b.cache));
        check_room(&b);
        cache_bench_check_content(&b);
        cache_bench_end(&b);
    }
}

/* While memory is refused, the cache asks less and less often, but never stops. */
static void test_failures_are_spread(void **state)
{
    struct cache_bench b;
    (void)state;
    cache_bench_begin(&b, BENCH_BYTES, CHUNKS, 12, UINT64_MAX);
    cache_bench_load_pages(&b);
    fake_kernel.write_failures = 1000;
    for (unsigned i = 0; i < 3000; i++) { /* five minutes */
        cache_bench_bring(&b, i % CHUNKS);
        fake_kernel.later_ms += 100;
    }
    unsigned tries = 1000 - fake_kernel.write_failures;
    assert_true(tries >= 10 && tries <= 18);
    assert_int_equal(cache_bench_lines, 1);
    assert_int_equal(cache_bench_blocks(&b), 0);
    fake_kernel.write_failures = 0;
    fake_kernel.later_ms += 30000;
    cache_bench_bring(&b, 0);
    assert_true(dlf_cache_present(b.cache, 0));
    assert_int_equal(cache_bench_lines, 2);
    cache_bench_end(&b);
}

static void test_writes_in_pieces_and_interrupts(void **state)
{
    struct cache_bench b;
    (void)state;
    cache_bench_begin(&b, BENCH_BYTES, CHUNKS, 13, UINT64_MAX);
    cache_bench_load_pages(&b);
    fake_kernel.write_short = 777;
    fake_kernel.write_errno = EINTR;
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        fake_kernel.write_failures = 3;
        cache_bench_bring(&b, chunk);
    }
    assert_true(dlf_cache_complete(b.cache));
    check_room(&b);
    cache_bench_check_content(&b);
    cache_bench_end(&b);
}

/* Pages that cannot be given back count as held; later they can. */
static void test_failed_punches_pass(void **state)
{
    struct cache_bench b;
    (void)state;
    cache_bench_begin(&b, BENCH_BYTES, CHUNKS, 14, 1 << 20);
    cache_bench_load_pages(&b);
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        cache_bench_bring(&b, chunk);
    fake_kernel.punch_errno = EINTR;
    fake_kernel.punch_failures = 20;
    for (uint32_t chunk = 0; chunk < 50; chunk++)
        cache_bench_bring(&b, chunk);
    assert_int_equal(fake_kernel.punch_failures, 0);
    check_room(&b);
    fake_kernel.punch_errno = ENOMEM;
    for (unsigned i = 0; i < 3000; i++) {
        fake_kernel.punch_failures = cache_bench_random(&b, 3);
        if (i % 100 == 99)
            fake_kernel.punch_failures = 1000000;
        cache_bench_bring(&b, cache_bench_random(&b, CHUNKS));
        assert_true(cache_bench_blocks(&b) <= 1 << 20);
    }
    cache_bench_check_content(&b);
    fake_kernel.punch_failures = 0;
    assert_true(dlf_cache_set_limit(b.cache, 0));
    assert_int_equal(cache_bench_blocks(&b), 0);
    assert_int_equal(stats_of(&b).held_bytes, 0);
    cache_bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_any_history_of_blocks, setup),
        cmocka_unit_test_setup(test_any_history_of_bytes, setup),
        cmocka_unit_test_setup(test_any_history_of_odd_chunks, setup),
        cmocka_unit_test_setup(test_any_history_with_pages_of_64k, setup),
        cmocka_unit_test_setup(test_every_chunk_is_kept, setup),
        cmocka_unit_test_setup(test_chunks_of_a_dropped_boot_pack_go, setup),
        cmocka_unit_test_setup(test_pages_may_be_more_than_the_data, setup),
        cmocka_unit_test_setup(test_a_limit_of_the_data_holds_all, setup),
        cmocka_unit_test_setup(test_a_failed_write_passes, setup),
        cmocka_unit_test_setup(test_failures_are_spread, setup),
        cmocka_unit_test_setup(test_writes_in_pieces_and_interrupts, setup),
        cmocka_unit_test_setup(test_failed_punches_pass, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
