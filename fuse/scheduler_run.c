/*
 * A run: one range request and the pieces that it brings. Gathers neighbours, takes the bytes as
 * they come, checks each piece's digest and hands it up; what did not come goes back into the
 * queue. The scheduler's thread only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/log.h"
#include "fuse/scheduler_private.h"
#include "fuse/util.h"

/* Milliseconds between two lines about bad objects. */
#define SAY_AGAIN_MS 10000

/*
 * Bytes of one request. Long enough that a round trip is small beside the transfer, short enough
 * that what comes behind it does not wait long: 1 MiB takes 84 ms at 100 Mbit/s.
 */
static const uint64_t run_bytes_max[DLF_CLASSES] = {
    [DLF_DEMAND] = (uint64_t)2 << 20,
    [DLF_PREFETCH] = (uint64_t)2 << 20,
    [DLF_FILL] = (uint64_t)1 << 20,
};

/* One line for many pieces: a damaged pack has hundreds of them. */
static void say_bad_object(struct dlf_sched *s, const struct dlf_err *err)
{
    uint64_t now = dlf_now_ms();
    if (!atomic_load(&s->announces) || (s->said_ms && now - s->said_ms < SAY_AGAIN_MS))
        return;
    s->said_ms = now;
    dlf_warn("%s; every mirror has failed, trying again", err->msg);
}

/*
 * A piece failed at a mirror, or its mirrors are all bad. The next mirror is tried at once; when
 * all were tried it waits.
 */
static void piece_failed(struct dlf_sched *s, struct dlf_fetch *f, unsigned mirror, int rc,
                         const struct dlf_err *err)
{
    f->tried |= (uint32_t)1 << mirror;
    pthread_mutex_lock(&s->inbox_lock);
    s->last_failure = *err;
    pthread_mutex_unlock(&s->inbox_lock);
    if (f->tried == dlf_source_all(s->source)) {
        if (f->once) {
            f->done(f, rc, NULL, err);
            return;
        }
        /* The source reports mirrors that do not answer; this is about an object that is bad. */
        if (rc == -ENOENT || rc == -EBADMSG)
            say_bad_object(s, err);
        f->not_before_ms = dlf_now_ms() + dlf_backoff_ms(f->rounds);
        f->rounds++;
        f->tried = 0;
    }
    dlf_sched_enqueue(s, f);
}

/* All bytes of a piece are there. False when they are not what they should be. */
static bool piece_complete(struct run *run, const uint8_t *bytes)
{
    struct dlf_sched *s = run->sched;
    struct dlf_fetch *f = run->pieces[run->next];
    struct dlf_sha256 digest = dlf_sha256(bytes, f->length);
    if (!dlf_sha256_equal(&digest, &f->sha256)) {
        struct dlf_err err;
        struct dlf_mirror_stats mirror;
        dlf_sched_count(&s->bad_digests, 1);
        dlf_source_blame(s->source, run->get.mirror);
        dlf_source_mirror_stats(s->source, run->get.mirror, &mirror);
        dlf_fail(&err, EBADMSG, "%s%s: bytes %" PRIu64 "-%" PRIu64 " do not have their SHA-256",
                 mirror.base, run->path, f->offset, f->offset + f->length - 1);
        run->next++;
        piece_failed(s, f, run->get.mirror, -EBADMSG, &err);
        return false;
    }
    dlf_sched_count(strcmp(f->kind, "pack") == 0 ? &s->class_bytes[dlf_fetch_class(f)]
                                                 : &s->index_bytes,
                    f->length);
    run->next++;
    f->done(f, 0, bytes, NULL);
    return true;
}

static bool run_data(struct dlf_get *get, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct run *run = (struct run *)get;
    while (size && run->next < run->count) {
        struct dlf_fetch *f = run->pieces[run->next];
        uint64_t at = f->offset + run->have; /* the next byte that is wanted */
        if (offset < at) {
            uint64_t skip = at - offset < size ? at - offset : size;
            offset += skip;
            bytes += skip;
            size -= (size_t)skip;
            continue;
        }
        uint32_t left = f->length - run->have;
        uint32_t n = size < left ? (uint32_t)size : left;
        const uint8_t *whole = run->have ? run->buffer : bytes;
        if (run->have || n < left)
            memcpy(run->buffer + run->have, bytes, n);
        if (n == left) {
            run->have = 0;
            piece_complete(run, whole);
        } else {
            run->have += n;
        }
        offset += n;
        bytes += n;
        size -= n;
    }
    return true;
}

static void run_done(struct dlf_get *get, int rc, const struct dlf_err *err)
{
    struct run *run = (struct run *)get;
    struct dlf_sched *s = run->sched;
    struct dlf_err full;
    run->busy = false;
    if (rc < 0) {
        struct dlf_mirror_stats mirror;
        dlf_source_mirror_stats(s->source, get->mirror, &mirror);
        dlf_sched_count(&s->failed_attempts, 1);
        dlf_fail(&full, -rc, "%s%s: %s", mirror.base, run->path, err->msg);
        dlf_debug("%s", full.msg);
    } else {
        dlf_fail(&full, EBADMSG, "%s: incomplete", run->path);
        rc = -EBADMSG; /* for pieces that are left over: cannot be, but would not be lost */
    }
    for (unsigned i = run->next; i < run->count; i++)
        piece_failed(s, run->pieces[i], get->mirror, rc, &full);
}

/* May f ride along with the run that begins with head? */
static bool is_company(const struct dlf_fetch *head, const struct dlf_fetch *f, uint64_t now)
{
    return f->kind == head->kind && f->tried == head->tried && f->not_before_ms <= now &&
           dlf_sha256_equal(&f->object, &head->object);
}

static int by_offset(const void *a, const void *b)
{
    const struct dlf_fetch *x = *(struct dlf_fetch *const *)a;
    const struct dlf_fetch *y = *(struct dlf_fetch *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/*
 * Head and the pieces that touch it, in a row: sets run->pieces. Neighbours of any class come along
 * as far as the head's class allows bytes.
 */
static void gather(struct dlf_sched *s, struct run *run, struct dlf_fetch *head)
{
    struct dlf_fetch *near[4 * RUN_PIECES_MAX];
    unsigned n = 0;
    unsigned at = 0;
    uint64_t now = dlf_now_ms();
    uint64_t reach = run_bytes_max[run->class];

    for (struct dlf_fetch *f = s->queue; f && n < sizeof(near) / sizeof(near[0]); f = f->next) {
        uint64_t gap =
            f->offset > head->offset ? f->offset - head->offset : head->offset - f->offset;
        if (f == head || (gap <= reach && is_company(head, f, now)))
            near[n++] = f;
    }
    qsort(near, n, sizeof(near[0]), by_offset);
    while (at < n && near[at] != head)
        at++;
    if (at == n) { /* more candidates than room: the head goes alone */
        near[0] = head;
        at = 0;
        n = 1;
    }
    unsigned first = at;
    unsigned last = at;
    uint64_t bytes = head->length;
    while (last + 1 < n && last - first + 1 < RUN_PIECES_MAX &&
           near[last + 1]->offset == near[last]->offset + near[last]->length &&
           bytes + near[last + 1]->length <= reach)
        bytes += near[++last]->length;
    while (first > 0 && last - first + 1 < RUN_PIECES_MAX &&
           near[first - 1]->offset + near[first - 1]->length == near[first]->offset &&
           bytes + near[first - 1]->length <= reach)
        bytes += near[--first]->length;
    run->count = last - first + 1;
    memcpy(run->pieces, near + first, run->count * sizeof(near[0]));
}

static void drop_from_queue(struct dlf_sched *s, const struct run *run)
{
    struct dlf_fetch **link = &s->queue;
    for (unsigned i = 0; i < run->count; i++)
        run->pieces[i]->taken = true;
    while (*link) {
        if ((*link)->taken)
            dlf_sched_unlink(s, link)->taken = false;
        else
            link = &(*link)->next;
    }
}

static struct run *idle_run(struct dlf_sched *s)
{
    for (unsigned i = 0; i < RUNS_MAX; i++)
        if (!s->runs[i].busy)
            return &s->runs[i];
    return NULL;
}

bool dlf_run_begin(struct dlf_sched *s, struct dlf_fetch *head, unsigned mirror)
{
    struct run *run = idle_run(s);
    if (!run->buffer)
        run->buffer = malloc(s->piece_max);
    if (!run->buffer)
        return false;
    run->class = dlf_fetch_class(head);
    gather(s, run, head);
    struct dlf_fetch *last = run->pieces[run->count - 1];
    dlf_object_path(run->path, head->kind, &head->object);
    run->sched = s;
    run->next = 0;
    run->have = 0;
    run->get = (struct dlf_get){
        .path = run->path,
        .offset = run->pieces[0]->offset,
        .length = last->offset + last->length - run->pieces[0]->offset,
        .data = run_data,
        .done = run_done,
    };
    if (dlf_source_start(s->source, &run->get, mirror) < 0)
        return false;
    drop_from_queue(s, run);
    run->busy = true;
    return true;
}
