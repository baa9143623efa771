/* The scheduler against a source without a network: what it asks for, in which order, what it does
 * when answers are wrong. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake_source.h"
#include "fuse/scheduler.h"
#include "fuse/util.h"

#define PIECE 4096u

/* Pieces of one test and what became of them. */
struct piece {
    struct dlf_fetch fetch; /* first: callbacks get its address */
    struct bench *bench;
    int rc;
    bool done;
    unsigned order; /* the how-manieth to be done */
};

struct bench {
    struct dlf_source *source;
    struct dlf_sched *sched;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned done;
    bool wrong_bytes;
    struct piece pieces[64];
    struct fake_request requests[FAKE_REQUESTS_MAX];
    unsigned request_count;
};

static void piece_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                       const struct dlf_err *err)
{
    struct piece *p = (struct piece *)fetch;
    struct bench *b = p->bench;
    (void)err;
    pthread_mutex_lock(&b->lock);
    for (uint32_t i = 0; rc == 0 && i < fetch->length; i++)
        if (bytes[i] != fake_byte(fetch->offset + i))
            b->wrong_bytes = true;
    p->rc = rc;
    p->done = true;
    p->order = b->done++;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

static void bench_begin(struct bench *b, unsigned mirrors)
{
    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    dlf_cond_init(&b->changed);
    b->source = fake_source_new(mirrors);
    b->sched = dlf_sched_new(b->source, PIECE, false);
    assert_non_null(b->sched);
}

static void bench_end(struct bench *b)
{
    b->request_count = fake_requests(b->source, b->requests);
    dlf_sched_free(b->sched);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    assert_false(b->wrong_bytes);
}

/* Piece number i, at the i-th place of the object. */
static struct piece *prepare(struct bench *b, unsigned i, enum dlf_class class)
{
    uint8_t bytes[PIECE];
    struct piece *p = &b->pieces[i];
    for (unsigned k = 0; k < PIECE; k++)
        bytes[k] = fake_byte((uint64_t)i * PIECE + k);
    p->bench = b;
    p->fetch.kind = "pack";
    p->fetch.offset = (uint64_t)i * PIECE;
    p->fetch.length = PIECE;
    p->fetch.sha256 = dlf_sha256(bytes, PIECE);
    p->fetch.done = piece_done;
    p->fetch.class = (uint8_t) class;
    return p;
}

static struct piece *submit(struct bench *b, unsigned i, enum dlf_class class)
{
    struct piece *p = prepare(b, i, class);
    dlf_sched_submit(b->sched, &p->fetch);
    return p;
}

/* Until count pieces are done; fails the test when that takes 20 s. */
static void wait_done(struct bench *b, unsigned count)
{
    uint64_t until_ms = dlf_now_ms() + 20000;
    pthread_mutex_lock(&b->lock);
    while (b->done < count && dlf_cond_wait(&b->changed, &b->lock, until_ms))
        continue;
    bool all = b->done >= count;
    pthread_mutex_unlock(&b->lock);
    assert_true(all);
}

/* Until the source was asked so often, all else being held. */
static void wait_requests(struct bench *b, unsigned count)
{
    uint64_t until = dlf_now_ms() + 20000;
    struct timespec pause = {.tv_nsec = 1000000};
    while ((b->request_count = fake_requests(b->source, b->requests)) < count) {
        assert_true(dlf_now_ms() < until);
        nanosleep(&pause, NULL);
    }
}

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

static void test_deadline(void **state)
{
    enum fake_answer missing[8];
    struct bench b;
    uint64_t begun = dlf_now_ms();
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        missing[i] = FAKE_MISSING;
    bench_begin(&b, 1);
    fake_script(b.source, 0, missing, 8);
    atomic_store(&b.pieces[0].fetch.deadline_ms, begun + 600);
    struct piece *p = submit(&b, 0, DLF_DEMAND);
    wait_done(&b, 1);
    bench_end(&b);
    assert_int_equal(p->rc, -ETIMEDOUT);
    assert_in_range(dlf_now_ms() - begun, 600, 10000);
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

/* Teaches b's scheduler that the mirror sends whole objects: one request, for piece 0. */
static void learn_whole(struct bench *b)
{
    static const enum fake_answer whole[] = {FAKE_WHOLE};
    bench_begin(b, 1);
    fake_script(b->source, 0, whole, 1);
    submit(b, 0, DLF_DEMAND);
    wait_done(b, 1);
    assert_false(dlf_sched_sends_whole(b->sched)); /* nobody has asked since */
}

/* What is queued for an object comes in one pass of it, also what is asked for when it has begun.
 */
static void test_whole_object_once(void **state)
{
    struct bench b;
    (void)state;
    learn_whole(&b);
    fake_hold(b.source, true);
    struct piece *head = submit(&b, 40, DLF_DEMAND);
    wait_requests(&b, 2);
    assert_true(dlf_sched_sends_whole(b.sched));
    for (unsigned i = 60; i > 2; i--)
        if (i != 40 && i != 41)
            submit(&b, i, i % 2 ? DLF_PREFETCH : DLF_FILL);
    submit_elsewhere(&b, 63); /* when it is asked for, the others have been taken */
    wait_requests(&b, 3);
    fake_hold(b.source, false);
    wait_done(&b, 59);
    bench_end(&b);
    assert_int_equal(b.request_count, 3);
    assert_int_equal(b.requests[1].offset, 0);
    assert_int_equal(b.requests[1].length, 0);
    assert_int_equal(b.pieces[3].order, 1);
    assert_int_equal(head->order, 38);
    assert_int_equal(b.pieces[60].order, 57);
}

/* What the pass is beyond needs another one. */
static void test_whole_object_passed(void **state)
{
    struct bench b;
    (void)state;
    learn_whole(&b);
    fake_drip(b.source, PIECE, 8);
    submit(&b, 3, DLF_PREFETCH);
    submit(&b, 30, DLF_DEMAND);
    wait_done(&b, 2); /* piece 3 has come; some more have passed, and it is held */
    struct piece *early = submit(&b, 2, DLF_PREFETCH);
    submit(&b, 20, DLF_PREFETCH);
    wait_requests(&b, 3);
    fake_drip(b.source, 0, 0);
    fake_hold(b.source, false);
    wait_done(&b, 5);
    bench_end(&b);
    assert_int_equal(b.request_count, 3);
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

/* ---- the stream ---- */

#define STREAM_PIECES 40u

/* Piece 0 is the head: when it is there, the others are asked for. */
struct stream {
    struct bench b; /* first: pieces point to it */
    unsigned skip;  /* a piece that nobody wants, 0: all are wanted */
    bool two_steps; /* the head asks for piece 1 only, which asks for the others */
    bool bad_step;  /* and which is not what it should be */
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
        if (i != t->skip)
            submit(&t->b, i, DLF_PREFETCH);
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
    /* What had come stays; the rest is one range. */
    assert_int_equal(t.b.request_count, 2);
    assert_int_equal(t.b.requests[1].offset, STREAM_PIECES / 2 * PIECE);
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

/* ---- what the network asks for ---- */

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

/* Eight pieces that share nothing, on a far network whose bandwidth nobody knows. Returns how many
 * requests there are at a time a round trip later. */
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
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_server_without_ranges),
        cmocka_unit_test(test_whole_object_once),
        cmocka_unit_test(test_whole_object_passed),
        cmocka_unit_test(test_same_place),
        cmocka_unit_test(test_shutdown_answers_everybody),
        cmocka_unit_test(test_stream_is_one_plain_get),
        cmocka_unit_test(test_each_piece_of_a_stream_may_ask_for_more),
        cmocka_unit_test(test_a_bad_piece_ends_a_stream),
        cmocka_unit_test(test_demand_overtakes_a_stream),
        cmocka_unit_test(test_broken_stream_leaves_pieces),
        cmocka_unit_test(test_missing_stream_fails_when_replaceable),
        cmocka_unit_test(test_far_networks_bridge_gaps),
        cmocka_unit_test(test_few_connections_nearby),
        cmocka_unit_test(test_waiting_demand_gets_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
