/* The scheduler against a source without a network: its requests, their order, and its handling of
 * wrong answers. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/util.h"
#include "scheduler_bench.h"

static void test_neighbours_share_a_request(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_hold(b.source, true);
    /* Four others use up the connections, so that the rest queues up. */
    for (unsigned i = 0; i < 4; i++)
        submit(&b, 2 * i, DLF_DEMAND);
    wait_requests(&b, 4);
    /* Out of order, with a gap at 25. */
    static const unsigned places[] = {23, 21, 20, 22, 26, 24, 27};
    for (unsigned i = 0; i < 7; i++)
        submit(&b, places[i], i % 2 ? DLF_PREFETCH : DLF_DEMAND);
    fake_hold(b.source, false);
    wait_done(&b, 11);
    bench_end(&b);
    assert_int_equal(b.request_count, 6);
    assert_int_equal(b.requests[4].offset, 20 * PIECE);
    assert_int_equal(b.requests[4].length, 5 * PIECE);
    assert_int_equal(b.requests[5].offset, 26 * PIECE);
    assert_int_equal(b.requests[5].length, 2 * PIECE);
}

static void test_urgent_first(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_hold(b.source, true);
    for (unsigned i = 0; i < 4; i++)
        submit(&b, 2 * i, DLF_DEMAND);
    wait_requests(&b, 4);
    struct piece *fill = submit(&b, 10, DLF_FILL);
    struct piece *prefetch = submit(&b, 12, DLF_PREFETCH);
    struct piece *raised = submit(&b, 14, DLF_FILL);
    struct piece *demand = submit(&b, 16, DLF_DEMAND);
    atomic_store(&raised->fetch.class, DLF_DEMAND);
    dlf_sched_kick(b.sched);
    fake_hold(b.source, false);
    wait_done(&b, 8);
    assert_true(raised->order < demand->order); /* it came first */
    assert_true(demand->order < prefetch->order);
    assert_true(prefetch->order < fill->order);
    bench_end(&b);
}

static void test_fill_waits_for_demand(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_hold(b.source, true);
    submit(&b, 0, DLF_DEMAND);
    wait_requests(&b, 1);
    submit(&b, 10, DLF_FILL);
    submit(&b, 20, DLF_DEMAND);
    wait_requests(&b, 2); /* the second demand goes out, the fill does not */
    assert_int_equal(b.requests[1].offset, 20 * PIECE);
    fake_hold(b.source, false);
    wait_done(&b, 3);
    bench_end(&b);
}

static void test_wrong_bytes_go_to_the_next_mirror(void **state)
{
    static const enum fake_answer flipped[] = {FAKE_FLIPPED};
    struct bench b;
    struct dlf_sched_stats stats;
    (void)state;
    bench_begin(&b, 2);
    fake_script(b.source, 0, flipped, 1);
    struct piece *p = submit(&b, 3, DLF_DEMAND);
    wait_done(&b, 1);
    dlf_sched_stats(b.sched, &stats);
    bench_end(&b);
    assert_int_equal(p->rc, 0);
    assert_int_equal(stats.bad_digests, 1);
    assert_int_equal(b.request_count, 2);
    assert_int_equal(b.requests[1].mirror, 1);
}

static void test_broken_transfer_keeps_what_came(void **state)
{
    static const enum fake_answer broken[] = {FAKE_BROKEN};
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_script(b.source, 0, broken, 1);
    fake_hold(b.source, true);
    for (unsigned i = 0; i < 4; i++)
        submit(&b, 40 + 2 * i, DLF_DEMAND);
    wait_requests(&b, 4);
    for (unsigned i = 0; i < 8; i++)
        submit(&b, i, DLF_PREFETCH);
    fake_hold(b.source, false);
    wait_done(&b, 12);
    bench_end(&b);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(b.pieces[i].rc, 0);
}

static void test_missing_everywhere_is_tried_again(void **state)
{
    static const enum fake_answer missing[] = {FAKE_MISSING, FAKE_MISSING};
    struct bench b;
    struct dlf_sched_stats stats;
    (void)state;
    bench_begin(&b, 2);
    fake_script(b.source, 0, missing, 2);
    fake_script(b.source, 1, missing, 2);
    struct piece *p = submit(&b, 0, DLF_DEMAND);
    wait_done(&b, 1);
    dlf_sched_stats(b.sched, &stats);
    bench_end(&b);
    assert_int_equal(p->rc, 0);
    assert_int_equal(b.request_count, 5);
    assert_int_equal(stats.failed_attempts, 4);
}

static void test_once_fails_when_all_mirrors_did(void **state)
{
    static const enum fake_answer missing[] = {FAKE_MISSING};
    static const enum fake_answer flipped[] = {FAKE_FLIPPED};
    struct bench b;
    (void)state;
    bench_begin(&b, 2);
    fake_script(b.source, 0, missing, 1);
    fake_script(b.source, 1, flipped, 1);
    b.pieces[0].fetch.once = true;
    struct piece *p = submit(&b, 0, DLF_DEMAND);
    wait_done(&b, 1);
    bench_end(&b);
    assert_int_equal(p->rc, -EBADMSG);
    assert_int_equal(b.request_count, 2);
}

/* Resubmits the piece whenever it is done, like a fill that retries a failed piece. */
static void resubmit(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                     const struct dlf_err *err)
{
    struct piece *p = (struct piece *)fetch;
    piece_done(fetch, rc, bytes, err);
    assert_int_equal(dlf_sched_submit(p->bench->sched, fetch), -ESHUTDOWN);
}

static void test_a_stopped_scheduler_refuses(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_hold(b.source, true);
    struct piece *p = prepare(&b, 0, DLF_DEMAND);
    p->fetch.done = resubmit;
    assert_int_equal(dlf_sched_submit(b.sched, &p->fetch), 0);
    wait_requests(&b, 1);
    dlf_sched_stop(b.sched);
    struct piece *late = prepare(&b, 1, DLF_DEMAND);
    assert_int_equal(dlf_sched_submit(b.sched, &late->fetch), -ESHUTDOWN);
    bench_end(&b); /* returns, although the piece resubmits itself for ever */
    assert_int_equal(p->rc, -ESHUTDOWN);
    assert_int_equal(b.done, 1);
    assert_false(late->done);
}

/* Submits a piece after dlf_sched_retire in a child process. Returns how the child ends. */
static int child_that_asks(void)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bench b;
        struct rlimit no_core = {0};
        setrlimit(RLIMIT_CORE, &no_core);
        if (!freopen("/dev/null", "w", stderr)) /* the assertion is expected */
            _exit(2);
        bench_begin(&b, 1);
        dlf_sched_retire(b.sched);
        struct piece *p = prepare(&b, 0, DLF_DEMAND);
        int rc = dlf_sched_submit(b.sched, &p->fetch);
        _exit(rc == -ESHUTDOWN ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_a_retired_scheduler_refuses(void **state)
{
    int status = child_that_asks();
    (void)state;
#ifdef NDEBUG
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#else
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#endif
}

static void test_a_retired_scheduler_brings_what_it_accepted(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_hold(b.source, true);
    struct piece *p = submit(&b, 0, DLF_FILL);
    dlf_sched_retire(b.sched);
    fake_hold(b.source, false);
    wait_done(&b, 1);
    bench_end(&b);
    assert_int_equal(p->rc, 0);
}

static void test_server_without_ranges(void **state)
{
    static const enum fake_answer whole[] = {FAKE_WHOLE};
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_script(b.source, 0, whole, 1);
    struct piece *p = submit(&b, 7, DLF_DEMAND);
    wait_done(&b, 1);
    bench_end(&b);
    assert_int_equal(p->rc, 0);
}

/* A demand in another object. */
static void submit_elsewhere(struct bench *b, unsigned i)
{
    b->pieces[i].fetch.object.bytes[0] = 1;
    submit(b, i, DLF_DEMAND);
}

/* A mirror that sent a whole object for a range once: one request, for piece 0 of another one. */
static void learn_whole(struct bench *b)
{
    static const enum fake_answer whole[] = {FAKE_WHOLE};
    bench_begin(b, 1);
    fake_script(b->source, 0, whole, 1);
    b->pieces[0].fetch.object.bytes[0] = 2;
    submit(b, 0, DLF_DEMAND);
    wait_done(b, 1);
}

/* It may be a cache that lacked the object: the next request is for a range again. */
static void test_one_whole_object_is_no_habit(void **state)
{
    struct bench b;
    (void)state;
    learn_whole(&b);
    for (unsigned i = 1; i < 4; i++) {
        submit(&b, 10 * i, DLF_DEMAND);
        wait_done(&b, i + 1);
    }
    bench_end(&b);
    assert_int_equal(b.request_count, 4);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(b.requests[i].offset, 10 * i * PIECE);
        assert_int_equal(b.requests[i].length, PIECE);
    }
}

/* All queued pieces of an object come in one pass, even if they are submitted after it has begun.
 */
static void test_whole_object_once(void **state)
{
    static const enum fake_answer whole[] = {FAKE_WHOLE, FAKE_WHOLE};
    struct bench b;
    (void)state;
    learn_whole(&b);
    fake_script(b.source, 0, whole, 2);
    fake_hold(b.source, true);
    struct piece *head = submit(&b, 40, DLF_DEMAND);
    wait_requests(&b, 2);
    for (unsigned i = 60; i > 2; i--)
        if (i != 40 && i != 41)
            submit(&b, i, i % 2 ? DLF_PREFETCH : DLF_FILL);
    submit_elsewhere(&b, 63); /* when it is asked for, the others have been taken */
    wait_requests(&b, 3);
    fake_hold(b.source, false);
    wait_done(&b, 59);
    bench_end(&b);
    assert_int_equal(b.request_count, 3);
    assert_int_equal(b.requests[1].offset, 40 * PIECE);
    assert_int_equal(b.requests[1].length, PIECE);
    assert_int_equal(b.pieces[3].order, 1);
    assert_int_equal(head->order, 38);
    assert_int_equal(b.pieces[60].order, 57);
}

/* The whole object is coming: the owner submits the other pieces that it wants. */
static void want_more(struct dlf_fetch *fetch)
{
    struct piece *p = (struct piece *)fetch;
    for (unsigned i = 20; i < 50; i++)
        if (p != &p->bench->pieces[i])
            submit(p->bench, i, DLF_PREFETCH);
}

static void test_whole_object_is_told_of(void **state)
{
    static const enum fake_answer whole[] = {FAKE_WHOLE};
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_script(b.source, 0, whole, 1);
    prepare(&b, 40, DLF_DEMAND)->fetch.whole = want_more;
    dlf_sched_submit(b.sched, &b.pieces[40].fetch);
    wait_done(&b, 30);
    bench_end(&b);
    assert_int_equal(b.request_count, 1);
    assert_int_equal(b.pieces[20].order, 0);
    assert_int_equal(b.pieces[49].order, 29);
}

/* A piece that the pass has left behind needs another request. */
static void test_whole_object_passed(void **state)
{
    static const enum fake_answer whole[] = {FAKE_WHOLE};
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_script(b.source, 0, whole, 1);
    fake_drip(b.source, PIECE, 8);
    prepare(&b, 3, DLF_PREFETCH)->fetch.whole = want_more;
    dlf_sched_submit(b.sched, &b.pieces[3].fetch);
    wait_done(&b, 1); /* the pass goes on to the others, and is held before them */
    struct piece *early = submit(&b, 2, DLF_PREFETCH);
    wait_requests(&b, 2);
    fake_drip(b.source, 0, 0);
    fake_hold(b.source, false);
    wait_done(&b, 32);
    bench_end(&b);
    assert_int_equal(b.request_count, 2);
    assert_int_equal(early->rc, 0);
}

/* Content that is in the image twice is asked for twice and sent once. */
static void test_same_place(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_hold(b.source, true);
    submit_elsewhere(&b, 62);
    wait_requests(&b, 1);
    struct piece *twin = prepare(&b, 9, DLF_FILL);
    twin->fetch.offset = prepare(&b, 7, DLF_FILL)->fetch.offset;
    twin->fetch.sha256 = b.pieces[7].fetch.sha256;
    dlf_sched_submit(b.sched, &twin->fetch); /* waits while a demand runs */
    submit(&b, 7, DLF_FILL);
    submit(&b, 8, DLF_FILL);
    submit_elsewhere(&b, 63); /* when it is asked for, the others have been taken */
    wait_requests(&b, 2);
    fake_hold(b.source, false);
    wait_done(&b, 5);
    bench_end(&b);
    assert_int_equal(b.request_count, 3);
    assert_int_equal(b.requests[2].offset, 7 * PIECE);
    assert_int_equal(b.requests[2].length, 2 * PIECE);
    assert_int_equal(twin->rc, 0);
    assert_true(twin->done);
}

static void test_shutdown_answers_everybody(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_hold(b.source, true);
    for (unsigned i = 0; i < 20; i++)
        submit(&b, 2 * i, i % 3 ? DLF_FILL : DLF_DEMAND);
    wait_requests(&b, 4);
    bench_end(&b);
    assert_int_equal(b.done, 20);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(b.pieces[2 * i].rc, -ESHUTDOWN);
}

/* ---- the pace of the network ---- */

static void test_far_networks_bridge_gaps(void **state)
{
    struct bench b;
    (void)state;
    bench_begin(&b, 1);
    fake_pace(b.source, 20000, 100000000);
    fake_hold(b.source, true);
    for (unsigned i = 0; i < 16; i++) { /* as many as there may be */
        submit(&b, 40 + i, DLF_DEMAND);
        wait_requests(&b, i + 1);
    }
    submit(&b, 1, DLF_DEMAND);
    submit(&b, 4, DLF_DEMAND);
    fake_hold(b.source, false);
    wait_done(&b, 18);
    bench_end(&b);
    assert_int_equal(b.request_count, 17);
    assert_int_equal(b.requests[16].offset, PIECE);
    assert_int_equal(b.requests[16].length, 4 * PIECE);
}

static void test_few_connections_nearby(void **state)
{
    struct bench b;
    struct timespec pause = {.tv_nsec = 50000000};
    (void)state;
    bench_begin(&b, 1);
    fake_pace(b.source, 200, 10000000);
    fake_hold(b.source, true);
    for (unsigned i = 0; i < 8; i++)
        submit(&b, 2 * i, DLF_DEMAND);
    wait_requests(&b, 4);
    nanosleep(&pause, NULL);
    assert_int_equal(fake_requests(b.source, b.requests), 4);
    fake_hold(b.source, false);
    wait_done(&b, 8);
    bench_end(&b);
}

/* Eight pieces that share nothing, on a far network of unknown bandwidth. Returns the number of
 * parallel requests one round trip later. */
static unsigned requests_after_growth(uint64_t answer_us)
{
    struct bench b;
    struct timespec pause = {.tv_nsec = 30000000};
    bench_begin(&b, 1);
    fake_pace(b.source, 20000, 0);
    fake_answer_time(b.source, answer_us);
    fake_hold(b.source, true);
    for (unsigned i = 0; i < 7; i++)
        submit(&b, 2 * i, DLF_DEMAND);
    wait_requests(&b, 4);
    nanosleep(&pause, NULL);
    submit(&b, 14, DLF_DEMAND); /* it looks again */
    nanosleep(&pause, NULL);
    unsigned n = fake_requests(b.source, b.requests);
    fake_hold(b.source, false);
    wait_done(&b, 8);
    bench_end(&b);
    return n;
}

static void test_waiting_demand_gets_connections(void **state)
{
    (void)state;
    assert_int_equal(requests_after_growth(20000), 8);
    assert_int_equal(requests_after_growth(60000), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_neighbours_share_a_request),
        cmocka_unit_test(test_urgent_first),
        cmocka_unit_test(test_fill_waits_for_demand),
        cmocka_unit_test(test_wrong_bytes_go_to_the_next_mirror),
        cmocka_unit_test(test_broken_transfer_keeps_what_came),
        cmocka_unit_test(test_missing_everywhere_is_tried_again),
        cmocka_unit_test(test_once_fails_when_all_mirrors_did),
        cmocka_unit_test(test_a_stopped_scheduler_refuses),
        cmocka_unit_test(test_a_retired_scheduler_refuses),
        cmocka_unit_test(test_a_retired_scheduler_brings_what_it_accepted),
        cmocka_unit_test(test_server_without_ranges),
        cmocka_unit_test(test_one_whole_object_is_no_habit),
        cmocka_unit_test(test_whole_object_once),
        cmocka_unit_test(test_whole_object_is_told_of),
        cmocka_unit_test(test_whole_object_passed),
        cmocka_unit_test(test_same_place),
        cmocka_unit_test(test_shutdown_answers_everybody),
        cmocka_unit_test(test_far_networks_bridge_gaps),
        cmocka_unit_test(test_few_connections_nearby),
        cmocka_unit_test(test_waiting_demand_gets_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
