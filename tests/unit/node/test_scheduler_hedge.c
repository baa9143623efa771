/* Requests that stay silent: a piece with a waiting reader is requested again, and the first answer
 * counts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "scheduler_bench.h"

#include "fuse/util.h"

/* More requests than it takes to know the usual answer time. */
#define KNOWN 120u

static void hedge_begin(struct bench *b, unsigned mirrors)
{
    bench_begin(b, mirrors);
    dlf_sched_hedge(b->sched, true);
}

/* Makes KNOWN requests that are answered at once. */
static void learn(struct bench *b)
{
    for (unsigned i = 0; i < KNOWN; i++) {
        submit(b, 0, DLF_DEMAND);
        wait_done(b, i + 1);
    }
    b->done = 0;
}

/* One mirror with a known usual answer time, then as many unanswered requests as silent says. */
static void silent_begin(struct bench *b, unsigned silent)
{
    hedge_begin(b, 1);
    learn(b);
    fake_silent(b->source, KNOWN, KNOWN + silent - 1);
}

static struct dlf_sched_stats stats_of(const struct bench *b)
{
    struct dlf_sched_stats stats;
    dlf_sched_stats(b->sched, &stats);
    return stats;
}

static void nap_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

/* The request that is not needed any more is cancelled. */
static void wait_cancelled(const struct bench *b)
{
    uint64_t until = dlf_now_ms() + 20000;
    while (!fake_cancelled(b->source) && dlf_now_ms() < until)
        nap_ms(1);
    assert_int_equal(fake_cancelled(b->source), 1);
}

static void test_silence_is_hedged_after_a_second(void **state)
{
    struct bench b;
    uint64_t begin = dlf_now_ms();
    (void)state;
    hedge_begin(&b, 1);
    fake_silent(b.source, 0, 0);
    struct piece *p = submit(&b, 3, DLF_DEMAND);
    wait_done(&b, 1);
    uint64_t took = dlf_now_ms() - begin;
    assert_int_equal(p->rc, 0);
    assert_true(took >= 1000);
    assert_int_equal(stats_of(&b).hedged, 1);
    assert_int_equal(stats_of(&b).hedges_won, 1);
    wait_cancelled(&b);
    bench_end(&b);
    assert_int_equal(b.request_count, 2);
    assert_int_equal(b.requests[1].offset, b.requests[0].offset);
    assert_int_equal(b.requests[1].length, b.requests[0].length);
}

static void test_what_is_usual_is_learnt(void **state)
{
    struct bench b;
    (void)state;
    silent_begin(&b, 1);
    uint64_t begin = dlf_now_ms();
    submit(&b, 3, DLF_DEMAND);
    wait_requests(&b, KNOWN + 2);
    uint64_t took = dlf_now_ms() - begin;
    wait_done(&b, 1);
    assert_true(took >= 50);
    assert_true(took < 900); /* not the second for an unknown answer time */
    bench_end(&b);
}

/* A new connection takes time, far away and with TLS: up to a second that is no silence. */
static void test_connecting_is_no_silence(void **state)
{
    struct bench b;
    (void)state;
    silent_begin(&b, 1);
    uint64_t begin = dlf_now_ms();
    fake_connect_time(b.source, 600000);
    submit(&b, 3, DLF_DEMAND);
    wait_requests(&b, KNOWN + 2);
    uint64_t took = dlf_now_ms() - begin;
    wait_done(&b, 1);
    assert_true(took >= 650);
    bench_end(&b);
}

static void test_no_connection_is_silence(void **state)
{
    struct bench b;
    (void)state;
    silent_begin(&b, 1);
    uint64_t begin = dlf_now_ms();
    fake_connect_time(b.source, 30000000);
    submit(&b, 3, DLF_DEMAND);
    wait_requests(&b, KNOWN + 2);
    uint64_t took = dlf_now_ms() - begin;
    wait_done(&b, 1);
    assert_true(took >= 1000 && took < 10000);
    bench_end(&b);
}

static void test_another_mirror_is_asked(void **state)
{
    struct bench b;
    (void)state;
    hedge_begin(&b, 2);
    fake_silent(b.source, 0, 0);
    submit(&b, 3, DLF_DEMAND);
    wait_done(&b, 1);
    bench_end(&b);
    assert_int_equal(b.request_count, 2);
    assert_int_equal(b.requests[0].mirror, 0);
    assert_int_equal(b.requests[1].mirror, 1);
}

static void test_the_first_may_still_win(void **state)
{
    struct bench b;
    (void)state;
    silent_begin(&b, 2);
    struct piece *p = submit(&b, 3, DLF_DEMAND);
    wait_requests(&b, KNOWN + 2);
    fake_speak(b.source, KNOWN);
    wait_done(&b, 1);
    assert_int_equal(p->rc, 0);
    wait_cancelled(&b);
    assert_int_equal(stats_of(&b).hedged, 1);
    assert_int_equal(stats_of(&b).hedges_won, 0);
    bench_end(&b);
    assert_int_equal(b.done, 1);
}

static void test_a_second_one_that_fails_changes_nothing(void **state)
{
    static const enum fake_answer missing[] = {FAKE_MISSING};
    struct bench b;
    (void)state;
    silent_begin(&b, 1);
    fake_script(b.source, 0, missing, 1);
    struct piece *p = submit(&b, 3, DLF_DEMAND);
    wait_requests(&b, KNOWN + 2);
    nap_ms(100);
    assert_int_equal(b.done, 0);
    fake_speak(b.source, KNOWN);
    wait_done(&b, 1);
    assert_int_equal(p->rc, 0);
    assert_int_equal(stats_of(&b).hedges_won, 0);
    bench_end(&b);
}

static void test_both_may_fail(void **state)
{
    static const enum fake_answer broken[] = {FAKE_FLIPPED, FAKE_BROKEN};
    struct bench b;
    (void)state;
    silent_begin(&b, 1);
    fake_script(b.source, 0, broken, 2);
    struct piece *p = submit(&b, 3, DLF_DEMAND);
    wait_requests(&b, KNOWN + 2);
    fake_speak(b.source, KNOWN);
    wait_done(&b, 1); /* it is tried again, as any other */
    assert_int_equal(p->rc, 0);
    bench_end(&b);
    assert_int_equal(b.done, 1);
}

static void test_only_what_somebody_waits_for(void **state)
{
    struct bench b;
    (void)state;
    silent_begin(&b, 1);
    struct piece *p = submit(&b, 3, DLF_PREFETCH);
    nap_ms(300);
    assert_int_equal(fake_requests(b.source, b.requests), KNOWN + 1);
    /* Now a reader waits for it. */
    atomic_store(&p->fetch.class, DLF_DEMAND);
    dlf_sched_kick(b.sched);
    wait_done(&b, 1);
    assert_int_equal(p->rc, 0);
    bench_end(&b);
}

/* Pieces that are submitted from the scheduler's thread, so that they become one request. Readers
 * wait for the first ones. */
struct together {
    struct bench b; /* first: pieces point to it */
    unsigned count;
    unsigned waited_for;
    bool once;                      /* all but the first ones */
    const enum fake_answer *others; /* of the second mirror; NULL: right */
    unsigned other_count;
};

static void submit_all(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                       const struct dlf_err *err)
{
    struct piece *p = (struct piece *)fetch;
    const struct together *t = (const struct together *)p->bench;
    for (unsigned i = 0; i < t->count; i++) {
        enum dlf_class class = i < t->waited_for ? DLF_DEMAND : DLF_PREFETCH;
        prepare(p->bench, i, class)->fetch.once = t->once && class != DLF_DEMAND;
        dlf_sched_submit(p->bench->sched, &p->bench->pieces[i].fetch);
    }
    piece_done(fetch, rc, bytes, err);
}

/* One request for count pieces stays silent, until other requests have brought all of them. */
static void silent_together(struct together *t, unsigned mirrors)
{
    struct bench *b = &t->b;
    hedge_begin(b, mirrors);
    learn(b);
    fake_silent(b->source, KNOWN + 1, KNOWN + 1);
    if (t->others)
        fake_script(b->source, 1, t->others, t->other_count);
    struct piece *first = prepare(b, 60, DLF_DEMAND);
    first->fetch.done = submit_all;
    dlf_sched_submit(b->sched, &first->fetch);
    wait_done(b, t->count + 1);
    for (unsigned i = 0; i < t->count; i++)
        assert_int_equal(b->pieces[i].rc, 0);
    assert_int_equal(stats_of(b).hedged, 1);
    bench_end(b);
    assert_int_equal(b->done, t->count + 1);
    assert_int_equal(b->requests[KNOWN + 1].length, (uint64_t)t->count * PIECE);
}

/* A reader of the first piece will want the others soon. */
static void test_the_rest_of_a_silent_request_moves(void **state)
{
    struct together t = {.count = 17, .waited_for = 1};
    (void)state;
    silent_together(&t, 1);
    assert_int_equal(t.b.request_count, KNOWN + 3); /* with the piece that a reader wants */
}

static void test_the_rest_moves_to_another_mirror(void **state)
{
    struct together t = {.count = 17, .waited_for = 1};
    (void)state;
    silent_together(&t, 2);
    assert_int_equal(t.b.request_count, KNOWN + 3);
    assert_int_equal(t.b.requests[KNOWN + 2].mirror, 1);
}

/* A silent mirror has not failed: it may have a piece that the other one lacks. */
static void test_a_silent_mirror_has_not_failed(void **state)
{
    static const enum fake_answer missing[] = {FAKE_MISSING, FAKE_MISSING};
    struct together t = {
        .count = 17, .waited_for = 1, .once = true, .others = missing, .other_count = 2};
    (void)state;
    silent_together(&t, 2);
    assert_int_equal(t.b.requests[KNOWN + 2].mirror, 1);
    assert_int_equal(t.b.requests[KNOWN + 3].mirror, 0);
}

/* More pieces than may be requested twice at a time: the others move, too. */
static void test_many_wait_for_one_request(void **state)
{
    struct together t = {.count = 50, .waited_for = 50};
    (void)state;
    silent_together(&t, 1);
}

/* When everything is slow, not all of it is requested twice. */
static void test_four_in_a_row(void **state)
{
    struct bench b;
    (void)state;
    hedge_begin(&b, 1);
    learn(&b);
    /* Every other one is a second request, which is answered. */
    fake_silent(b.source, KNOWN, FAKE_REQUESTS_MAX - 1);
    for (unsigned i = 0; i < 4; i++) {
        submit(&b, 2 * i, DLF_DEMAND);
        wait_requests(&b, KNOWN + 2 * i + 2);
        fake_speak(b.source, KNOWN + 2 * i + 1);
        wait_done(&b, i + 1);
    }
    submit(&b, 10, DLF_DEMAND);
    wait_requests(&b, KNOWN + 9);
    nap_ms(500);
    assert_int_equal(fake_requests(b.source, b.requests), KNOWN + 9);
    assert_int_equal(stats_of(&b).hedged, 4);
    fake_speak(b.source, KNOWN + 8);
    wait_done(&b, 5);
    bench_end(&b);
}

/* When another mirror is quick, each silent request is hedged. */
static void test_another_mirror_has_no_limit(void **state)
{
    struct bench b;
    (void)state;
    hedge_begin(&b, 2);
    learn(&b);
    for (unsigned i = 0; i < 6; i++) {
        fake_silent(b.source, KNOWN + 2 * i, KNOWN + 2 * i);
        submit(&b, 2 * i, DLF_DEMAND);
        wait_done(&b, i + 1);
    }
    assert_int_equal(stats_of(&b).hedged, 6);
    assert_int_equal(stats_of(&b).hedges_won, 6);
    bench_end(&b);
}

static void test_the_end_ends_both(void **state)
{
    struct bench b;
    (void)state;
    silent_begin(&b, 2);
    struct piece *p = submit(&b, 3, DLF_DEMAND);
    wait_requests(&b, KNOWN + 2);
    bench_end(&b);
    assert_int_equal(p->rc, -ESHUTDOWN);
    assert_int_equal(b.done, 1);
}

static void test_off_is_off(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    learn(&b);
    fake_silent(b.source, KNOWN, KNOWN);
    submit(&b, 3, DLF_DEMAND);
    wait_requests(&b, KNOWN + 1);
    nap_ms(1500);
    assert_int_equal(fake_requests(b.source, b.requests), KNOWN + 1);
    fake_speak(b.source, KNOWN);
    wait_done(&b, 1);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_is_hedged_after_a_second),
        cmocka_unit_test(test_what_is_usual_is_learnt),
        cmocka_unit_test(test_connecting_is_no_silence),
        cmocka_unit_test(test_no_connection_is_silence),
        cmocka_unit_test(test_another_mirror_is_asked),
        cmocka_unit_test(test_the_first_may_still_win),
        cmocka_unit_test(test_a_second_one_that_fails_changes_nothing),
        cmocka_unit_test(test_both_may_fail),
        cmocka_unit_test(test_only_what_somebody_waits_for),
        cmocka_unit_test(test_the_rest_of_a_silent_request_moves),
        cmocka_unit_test(test_the_rest_moves_to_another_mirror),
        cmocka_unit_test(test_a_silent_mirror_has_not_failed),
        cmocka_unit_test(test_many_wait_for_one_request),
        cmocka_unit_test(test_four_in_a_row),
        cmocka_unit_test(test_another_mirror_has_no_limit),
        cmocka_unit_test(test_the_end_ends_both),
        cmocka_unit_test(test_off_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
