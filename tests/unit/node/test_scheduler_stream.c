/* An object that streams: its pieces open one another, a demand overtakes it, it breaks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "scheduler_bench.h"

#include "fuse/util.h"

#define STREAM_PIECES 40u

/* Piece 0 is the head: when it is there, the others are asked for. */
struct stream {
    struct bench b; /* first: pieces point to it */
    unsigned skip;  /* a piece that is not wanted; 0: all are wanted */
    bool two_steps; /* the head asks for piece 1 only, which asks for the others */
    bool bad_step;  /* and its bytes are not as expected */
    bool boot_pack; /* all of its pieces are replaceable */
};

static void step_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                      const struct dlf_err *err)
{
    struct piece *p = (struct piece *)fetch;
    for (unsigned i = 2; rc == 0 && i < STREAM_PIECES; i++)
        submit(p->bench, i, DLF_PREFETCH);
    piece_done(fetch, rc, bytes, err);
}

static void submit_step(struct stream *t, const struct piece *head)
{
    uint8_t bytes[PIECE];
    struct piece *p = &t->b.pieces[1];
    for (unsigned k = 0; k < PIECE; k++)
        bytes[k] = fake_byte(PIECE + k);
    bytes[0] ^= t->bad_step;
    *p = *head;
    p->fetch.offset = PIECE;
    p->fetch.sha256 = dlf_sha256(bytes, PIECE);
    p->fetch.stream_bytes = 0;
    p->fetch.done = step_done;
    dlf_sched_submit(t->b.sched, &p->fetch);
}

static void head_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                      const struct dlf_err *err)
{
    struct piece *p = (struct piece *)fetch;
    struct stream *t = (struct stream *)p->bench;
    if (t->two_steps)
        submit_step(t, p);
    for (unsigned i = 1; rc == 0 && !t->two_steps && i < STREAM_PIECES; i++)
        if (i != t->skip) {
            prepare(&t->b, i, DLF_PREFETCH)->fetch.replaceable = t->boot_pack;
            dlf_sched_submit(t->b.sched, &t->b.pieces[i].fetch);
        }
    piece_done(fetch, rc, bytes, err);
}

static void stream_begin(struct stream *t)
{
    uint8_t bytes[PIECE];
    struct piece *p = &t->b.pieces[0];
    for (unsigned k = 0; k < PIECE; k++)
        bytes[k] = fake_byte(k);
    p->bench = &t->b;
    p->fetch = (struct dlf_fetch){.kind = "pack",
                                  .length = PIECE,
                                  .sha256 = dlf_sha256(bytes, PIECE),
                                  .class = DLF_PREFETCH,
                                  .stream_bytes = (uint64_t)STREAM_PIECES * PIECE,
                                  .replaceable = true,
                                  .done = head_done};
    dlf_sched_submit(t->b.sched, &p->fetch);
}

static void test_stream_is_one_plain_get(void **state)
{
    struct stream t = {0};
    (void)state;
    bench_begin(&t.b, 1);
    t.skip = 7;
    stream_begin(&t);
    wait_done(&t.b, STREAM_PIECES - 1);
    bench_end(&t.b);
    assert_int_equal(t.b.request_count, 1);
    assert_int_equal(t.b.requests[0].length, 0);
    for (unsigned i = 2; i < STREAM_PIECES; i++)
        if (i != 7 && i != 8)
            assert_true(t.b.pieces[i].order > t.b.pieces[i - 1].order);
}

static void test_each_piece_of_a_stream_may_ask_for_more(void **state)
{
    struct stream t = {.two_steps = true};
    (void)state;
    bench_begin(&t.b, 1);
    stream_begin(&t);
    wait_done(&t.b, STREAM_PIECES);
    bench_end(&t.b);
    assert_int_equal(t.b.request_count, 1);
    for (unsigned i = 0; i < STREAM_PIECES; i++)
        assert_int_equal(t.b.pieces[i].rc, 0);
}

/* It fails from the stream on the one mirror, and by a request of its own on the other. */
static void test_a_bad_piece_ends_a_stream(void **state)
{
    struct stream t = {.two_steps = true, .bad_step = true};
    (void)state;
    bench_begin(&t.b, 2);
    stream_begin(&t);
    wait_done(&t.b, 2);
    bench_end(&t.b);
    assert_int_equal(t.b.pieces[0].rc, 0);
    assert_int_equal(t.b.pieces[1].rc, -EBADMSG);
    assert_int_equal(t.b.request_count, 2);
    assert_int_equal(t.b.requests[1].mirror, 1);
    assert_int_equal(t.b.requests[1].offset, PIECE);
    assert_int_equal(t.b.requests[1].length, PIECE);
}

static void test_demand_overtakes_a_stream(void **state)
{
    struct stream t = {0};
    struct dlf_sched_stats stats;
    (void)state;
    bench_begin(&t.b, 1);
    /* 100 kB/s: the last piece is 1.6 s away, a request of its own 0.1 s. */
    fake_pace(t.b.source, 1000, 100000);
    fake_drip(t.b.source, PIECE, 3);
    stream_begin(&t);
    wait_done(&t.b, 3);
    struct piece *last = &t.b.pieces[STREAM_PIECES - 1];
    atomic_store(&last->fetch.class, DLF_DEMAND);
    dlf_sched_kick(t.b.sched);
    wait_requests(&t.b, 2);
    fake_hold(t.b.source, false);
    wait_done(&t.b, STREAM_PIECES);
    dlf_sched_stats(t.b.sched, &stats);
    bench_end(&t.b);
    assert_int_equal(t.b.requests[1].offset, (STREAM_PIECES - 1) * PIECE);
    assert_int_equal(t.b.requests[1].length, PIECE);
    assert_int_equal(t.b.request_count, 2);
    assert_int_equal(stats.overtaken, 1);
    assert_true(last->order < STREAM_PIECES - 1);
}

/* Half a piece has come and then the stream stalls: its speed until then does not matter. */
static void test_demand_leaves_a_stream_that_stalls(void **state)
{
    struct stream t = {0};
    struct dlf_sched_stats stats;
    (void)state;
    bench_begin(&t.b, 1);
    fake_pace(t.b.source, 1000, 100000000);
    fake_drip(t.b.source, PIECE + PIECE / 2, 3);
    stream_begin(&t);
    wait_done(&t.b, 4);
    struct piece *arriving = &t.b.pieces[4];
    assert_false(arriving->done);
    uint64_t began_ms = dlf_now_ms();
    atomic_store(&arriving->fetch.class, DLF_DEMAND);
    dlf_sched_kick(t.b.sched);
    wait_requests(&t.b, 2);
    uint64_t waited_ms = dlf_now_ms() - began_ms;
    fake_hold(t.b.source, false);
    wait_done(&t.b, STREAM_PIECES);
    dlf_sched_stats(t.b.sched, &stats);
    bench_end(&t.b);
    assert_true(waited_ms >= 500);
    assert_int_equal(t.b.requests[1].offset, 4 * PIECE);
    assert_int_equal(t.b.requests[1].length, PIECE);
    assert_int_equal(t.b.request_count, 2);
    assert_int_equal(stats.overtaken, 1);
    for (unsigned i = 0; i < STREAM_PIECES; i++)
        assert_int_equal(t.b.pieces[i].rc, 0);
}

static void test_broken_stream_leaves_pieces(void **state)
{
    static const enum fake_answer broken[] = {FAKE_BROKEN};
    struct stream t = {0};
    (void)state;
    bench_begin(&t.b, 1);
    fake_script(t.b.source, 0, broken, 1);
    stream_begin(&t);
    wait_done(&t.b, STREAM_PIECES);
    bench_end(&t.b);
    /* Pieces that had come stay; the rest is one range. */
    assert_int_equal(t.b.request_count, 2);
    assert_int_equal(t.b.requests[1].offset, STREAM_PIECES / 2 * PIECE);
    for (unsigned i = 0; i < STREAM_PIECES; i++)
        assert_int_equal(t.b.pieces[i].rc, 0);
}

/* A long time does not matter: its bytes were coming until then. */
static void test_a_long_stream_that_breaks_leaves_pieces(void **state)
{
    static const enum fake_answer broken[] = {FAKE_BROKEN};
    const struct timespec long_time = {.tv_sec = 3, .tv_nsec = 200000000};
    struct stream t = {.boot_pack = true};
    (void)state;
    bench_begin(&t.b, 1);
    fake_drip(t.b.source, PIECE, 3);
    stream_begin(&t);
    wait_done(&t.b, 3);
    nanosleep(&long_time, NULL);
    fake_drip(t.b.source, 0, 0);
    fake_script(t.b.source, 0, broken, 1);
    fake_hold(t.b.source, false);
    wait_done(&t.b, STREAM_PIECES);
    bench_end(&t.b);
    assert_int_equal(t.b.request_count, 2);
    for (unsigned i = 0; i < STREAM_PIECES; i++)
        assert_int_equal(t.b.pieces[i].rc, 0);
}

/* Each attempt brings some bytes and breaks: as long as bytes come, the scheduler does not give up.
 */
static void test_a_stream_may_break_often(void **state)
{
    static const enum fake_answer broken[] = {FAKE_BROKEN, FAKE_BROKEN, FAKE_BROKEN, FAKE_BROKEN,
                                              FAKE_BROKEN};
    struct stream t = {.boot_pack = true};
    (void)state;
    bench_begin(&t.b, 1);
    fake_script(t.b.source, 0, broken, 5);
    stream_begin(&t);
    wait_done(&t.b, STREAM_PIECES);
    bench_end(&t.b);
    assert_int_equal(t.b.request_count, 6);
    for (unsigned i = 0; i < STREAM_PIECES; i++)
        assert_int_equal(t.b.pieces[i].rc, 0);
}

static void test_missing_stream_fails_when_replaceable(void **state)
{
    static const enum fake_answer missing[] = {FAKE_MISSING};
    struct stream t = {0};
    (void)state;
    bench_begin(&t.b, 2);
    fake_script(t.b.source, 0, missing, 1);
    fake_script(t.b.source, 1, missing, 1);
    stream_begin(&t);
    wait_done(&t.b, 1);
    bench_end(&t.b);
    assert_int_equal(t.b.pieces[0].rc, -ENOENT);
    assert_int_equal(t.b.request_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_is_one_plain_get),
        cmocka_unit_test(test_each_piece_of_a_stream_may_ask_for_more),
        cmocka_unit_test(test_a_bad_piece_ends_a_stream),
        cmocka_unit_test(test_demand_overtakes_a_stream),
        cmocka_unit_test(test_demand_leaves_a_stream_that_stalls),
        cmocka_unit_test(test_broken_stream_leaves_pieces),
        cmocka_unit_test(test_a_long_stream_that_breaks_leaves_pieces),
        cmocka_unit_test(test_a_stream_may_break_often),
        cmocka_unit_test(test_missing_stream_fails_when_replaceable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
