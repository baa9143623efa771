/* The cache's room under threads: readers, workers that write, and a limit that goes up and down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache_bench.h"
#include "fake_kernel.h"
#include "fuse/workers.h"

#define CHUNKS 700u
#define READERS 2u
#define SWINGS 60u /* of the limit */

struct crowd {
    struct cache_bench b;
    atomic_bool over;
    atomic_uint_fast64_t most; /* the limit that holds, the higher one while it changes */
    atomic_uint swings;
    atomic_uint mapped; /* reads from the mapping */
    atomic_uint wrong;
};

static uint32_t dice(uint64_t *seed, uint32_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % below;
}

/* As dlf_image_read_now: the states without a lock, the bytes from the mapping. */
static void read_mapped(struct crowd *c, uint32_t chunk)
{
    const struct dlf_record *r = &c->b.records[chunk];
    const uint8_t *memory = dlf_cache_enter(c->b.cache);
    if (!memory)
        return;
    if (dlf_cache_present(c->b.cache, chunk)) {
        c->mapped++;
        c->wrong += !cache_bench_right(memory + r->offset, r->offset, r->length);
    }
    dlf_cache_leave(c->b.cache);
}

static void *reader(void *cookie)
{
    struct crowd *c = cookie;
    uint64_t seed = (uint64_t)(uintptr_t)&seed;
    while (!c->over) {
        /* Never the first: a complete image would stay. */
        uint32_t chunk = 1 + dice(&seed, CHUNKS - 1);
        read_mapped(c, chunk);
        cache_bench_ask(&c->b, chunk);
    }
    return NULL;
}

static void *scheduler(void *cookie)
{
    struct crowd *c = cookie;
    uint64_t seed = 1;
    while (!c->over)
        if (!cache_bench_hand_over(&c->b, dice(&seed, 1000), 0))
            usleep(20);
    return NULL;
}

static void *limiter(void *cookie)
{
    struct crowd *c = cookie;
    uint64_t seed = 2;
    uint64_t now = UINT64_MAX;
    while (!c->over) {
        bool all = dice(&seed, 2);
        uint64_t next = all ? UINT64_MAX : dice(&seed, (uint32_t)c->b.data_size);
        if (next > now)
            c->most = next;
        assert_true(dlf_cache_set_limit(c->b.cache, next));
        c->most = now = next;
        c->swings++;
        usleep(all ? 20000 : 5000);
    }
    return NULL;
}

/* Memory is never more than the limit plus a chunk for each thread. */
static void watch(struct crowd *c)
{
    uint64_t slack = (1 + dlf_workers_count()) * cache_bench_most(&c->b) + c->b.page_bytes;
    while (c->swings < SWINGS) {
        uint64_t before = c->most;
        uint64_t blocks = cache_bench_blocks(&c->b);
        uint64_t after = c->most;
        uint64_t most = before > after ? before : after;
        if (most < UINT64_MAX - slack)
            assert_true(blocks <= most + slack);
        usleep(100);
    }
}

static void crowd(enum bench_shape shape)
{
    struct crowd c = {.most = UINT64_MAX};
    pthread_t threads[READERS + 2];
    fake_kernel_reset();
    fake_kernel.processors = 4;
    cache_bench_begin(&c.b, shape, CHUNKS, 21, UINT64_MAX);
    c.b.more = true;
    cache_bench_load_pages(&c.b);
    for (unsigned i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, reader, &c);
    pthread_create(&threads[READERS], NULL, scheduler, &c);
    pthread_create(&threads[READERS + 1], NULL, limiter, &c);
    watch(&c);
    c.over = true;
    for (unsigned i = 0; i < READERS + 2; i++)
        pthread_join(threads[i], NULL);
    dlf_cache_stop(c.b.cache); /* all writers have stopped: not a page too many */
    struct dlf_cache_stats s;
    dlf_cache_set_limit(c.b.cache, c.b.data_size / 3);
    dlf_cache_stats(c.b.cache, &s);
    assert_true(s.evicted_chunks > 0);
    assert_int_equal(s.held_bytes, cache_bench_model(&c.b));
    assert_int_equal(cache_bench_blocks(&c.b), s.held_bytes);
    assert_true(s.held_bytes < c.b.data_size / 3 + c.b.page_bytes);
    cache_bench_check_content(&c.b);
    assert_int_equal(c.wrong, 0);
    assert_true(c.mapped > 0);
    cache_bench_end(&c.b);
}

static void test_crowd_with_blocks(void **state)
{
    (void)state;
    crowd(BENCH_BLOCKS);
}

static void test_crowd_with_shared_pages(void **state)
{
    (void)state;
    crowd(BENCH_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd_with_blocks),
        cmocka_unit_test(test_crowd_with_shared_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
