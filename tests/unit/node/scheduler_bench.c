/* piece_done writes some fields; all others belong to the test's thread. */
#include "scheduler_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fuse/util.h"

void piece_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes, const struct dlf_err *err)
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

void bench_begin(struct bench *b, unsigned mirrors)
{
    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    dlf_cond_init(&b->changed);
    b->source = fake_source_new(mirrors);
    b->sched = dlf_sched_new(b->source, PIECE, false);
    assert_non_null(b->sched);
}

void bench_end(struct bench *b)
{
    b->request_count = fake_requests(b->source, b->requests);
    dlf_sched_free(b->sched);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    assert_false(b->wrong_bytes);
}

struct piece *prepare(struct bench *b, unsigned i, enum dlf_class class)
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

struct piece *submit(struct bench *b, unsigned i, enum dlf_class class)
{
    struct piece *p = prepare(b, i, class);
    assert_int_equal(dlf_sched_submit(b->sched, &p->fetch), 0);
    return p;
}

void wait_done(struct bench *b, unsigned count)
{
    uint64_t until_ms = dlf_now_ms() + 20000;
    pthread_mutex_lock(&b->lock);
    while (b->done < count && dlf_cond_wait(&b->changed, &b->lock, until_ms))
        continue;
    bool all = b->done >= count;
    pthread_mutex_unlock(&b->lock);
    assert_true(all);
}

void wait_requests(struct bench *b, unsigned count)
{
    uint64_t until = dlf_now_ms() + 20000;
    struct timespec pause = {.tv_nsec = 1000000};
    while ((b->request_count = fake_requests(b->source, b->requests)) < count) {
        assert_true(dlf_now_ms() < until);
        nanosleep(&pause, NULL);
    }
}
