/*
 * The scheduler's thread and queue.
 *
 * What is whose: the queue, the runs and every piece's private fields belong to the thread. Others
 * reach it through the inbox, which inbox_lock guards (a leaf lock: nothing is called under it but
 * dlf_source_wake). Counters are atomic.
 *
 * A piece: inbox -> queue -> run -> done; a failed one goes from the run back to the queue.
 */
#include "fuse/scheduler.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "format/manifest.h"
#include "fuse/log.h"
#include "fuse/util.h"

/* Pieces in one request; with 64 KiB chunks other limits come first. */
#define RUN_PIECES_MAX 256

/*
 * Bytes of one request. Long enough that a round trip is small beside the transfer, short enough
 * that what comes behind it does not wait long: 1 MiB takes 84 ms at 100 Mbit/s.
 */
static const uint64_t run_bytes_max[DLF_CLASSES] = {
    [DLF_DEMAND] = (uint64_t)2 << 20,
    [DLF_PREFETCH] = (uint64_t)2 << 20,
    [DLF_FILL] = (uint64_t)1 << 20,
};

/* Requests at a time for each class: demand always finds a free one; two keep a fill's pipe full.
 */
static const unsigned runs_max[DLF_CLASSES] = {
    [DLF_DEMAND] = 4,
    [DLF_PREFETCH] = 3,
    [DLF_FILL] = 2,
};
#define RUNS_MAX 4

/* One request and the pieces that it will bring, by offset. */
struct run {
    struct dlf_get get; /* first: callbacks get its address */
    struct dlf_sched *sched;
    bool busy;
    enum dlf_class class;
    char path[DLF_OBJECT_PATH_MAX];
    struct dlf_fetch *pieces[RUN_PIECES_MAX];
    unsigned count;
    unsigned next;   /* the first piece that is not complete */
    uint32_t have;   /* bytes of it in buffer */
    uint8_t *buffer; /* piece_max bytes, made at first use */
};

struct dlf_sched {
    struct dlf_source *source;
    uint32_t piece_max;
    bool bulk;
    pthread_t thread;

    pthread_mutex_t inbox_lock;
    struct dlf_fetch *inbox; /* last in, first out */
    bool stop;
    bool retire;

    /* The thread's own. */
    struct dlf_fetch *queue; /* by sequence */
    struct dlf_fetch **queue_end;
    uint64_t sequence;
    struct run runs[RUNS_MAX];

    atomic_uint_fast64_t class_bytes[DLF_CLASSES];
    atomic_uint_fast64_t index_bytes;
    atomic_uint_fast64_t failed_attempts;
    atomic_uint_fast64_t bad_digests;
};

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static enum dlf_class class_of(const struct dlf_fetch *f)
{
    return (enum dlf_class)atomic_load_explicit(&f->class, memory_order_relaxed);
}

static void enqueue(struct dlf_sched *s, struct dlf_fetch *f)
{
    f->next = NULL;
    *s->queue_end = f;
    s->queue_end = &f->next;
}

/* Takes *link out of the queue. */
static struct dlf_fetch *unlink_fetch(struct dlf_sched *s, struct dlf_fetch **link)
{
    struct dlf_fetch *f = *link;
    *link = f->next;
    if (!*link)
        s->queue_end = link;
    f->next = NULL;
    return f;
}

static void take_inbox(struct dlf_sched *s, bool *stop, bool *retire)
{
    struct dlf_fetch *in_order = NULL;
    pthread_mutex_lock(&s->inbox_lock);
    struct dlf_fetch *f = s->inbox;
    s->inbox = NULL;
    *stop = s->stop;
    *retire = s->retire;
    pthread_mutex_unlock(&s->inbox_lock);
    while (f) {
        struct dlf_fetch *next = f->next;
        f->next = in_order;
        in_order = f;
        f = next;
    }
    while (in_order) {
        f = in_order;
        in_order = f->next;
        f->sequence = s->sequence++;
        f->not_before_ms = 0;
        f->tried = 0;
        f->rounds = 0;
        f->taken = false;
        enqueue(s, f);
    }
}

/* ---- what came back ---- */

/*
 * A piece failed at a mirror, or its mirrors are all bad. The next mirror is tried at once; when
 * all were tried it waits.
 */
static void piece_failed(struct dlf_sched *s, struct dlf_fetch *f, unsigned mirror, int rc,
                         const struct dlf_err *err)
{
    f->tried |= (uint32_t)1 << mirror;
    if (f->tried == dlf_source_all(s->source)) {
        if (f->once) {
            f->done(f, rc, NULL, err);
            return;
        }
        /* The source reports mirrors that do not answer; this is about an object that is bad. */
        if (f->rounds == 0 && (rc == -ENOENT || rc == -EBADMSG))
            dlf_warn("%s; every mirror has failed, trying again", err->msg);
        f->not_before_ms = dlf_now_ms() + dlf_backoff_ms(f->rounds);
        f->rounds++;
        f->tried = 0;
    }
    enqueue(s, f);
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
        add(&s->bad_digests, 1);
        dlf_source_mirror_stats(s->source, run->get.mirror, &mirror);
        dlf_fail(&err, EBADMSG, "%s%s: bytes %" PRIu64 "-%" PRIu64 " do not have their SHA-256",
                 mirror.base, run->path, f->offset, f->offset + f->length - 1);
        run->next++;
        piece_failed(s, f, run->get.mirror, -EBADMSG, &err);
        return false;
    }
    add(strcmp(f->kind, "pack") == 0 ? &s->class_bytes[class_of(f)] : &s->index_bytes, f->length);
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
        add(&s->failed_attempts, 1);
        dlf_fail(&full, -rc, "%s%s: %s", mirror.base, run->path, err->msg);
        dlf_debug("%s", full.msg);
    } else {
        dlf_fail(&full, EBADMSG, "%s: incomplete", run->path);
        rc = -EBADMSG; /* for pieces that are left over: cannot be, but would not be lost */
    }
    for (unsigned i = run->next; i < run->count; i++)
        piece_failed(s, run->pieces[i], get->mirror, rc, &full);
}

/* ---- what goes out ---- */

static unsigned running_in(const struct dlf_sched *s, enum dlf_class class)
{
    unsigned n = 0;
    for (unsigned i = 0; i < RUNS_MAX; i++)
        n += s->runs[i].busy && s->runs[i].class == class;
    return n;
}

/* May a run of this class begin now? Less urgent ones leave room and wait for more urgent ones. */
static bool class_may_run(const struct dlf_sched *s, enum dlf_class class)
{
    if (s->bulk)
        return true; /* as many as the source takes */
    if (running_in(s, class) >= runs_max[class])
        return false;
    return class != DLF_FILL || running_in(s, DLF_DEMAND) + running_in(s, DLF_PREFETCH) == 0;
}

/*
 * The most urgent piece that may go now, and the mirror for it; NULL when there is none.
 * *wait_until becomes the time at which looking again makes sense, if that is sooner.
 */
static struct dlf_fetch *pick(struct dlf_sched *s, unsigned *mirror, uint64_t *wait_until)
{
    struct dlf_fetch *best = NULL;
    uint64_t now = dlf_now_ms();
    for (struct dlf_fetch *f = s->queue; f; f = f->next) {
        uint64_t when = f->not_before_ms;
        if (best && class_of(f) >= class_of(best))
            continue;
        if (!class_may_run(s, class_of(f)))
            continue;
        if (when <= now) {
            int m = dlf_source_choose(s->source, f->tried, &when);
            if (m >= 0) {
                best = f;
                *mirror = (unsigned)m;
                continue;
            }
        }
        if (when < *wait_until)
            *wait_until = when;
    }
    return best;
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
            unlink_fetch(s, link)->taken = false;
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

/* Sends one request for head and its neighbours. False when that is not possible now. */
static bool begin_run(struct dlf_sched *s, struct dlf_fetch *head, unsigned mirror)
{
    struct run *run = idle_run(s);
    if (!run->buffer)
        run->buffer = malloc(s->piece_max);
    if (!run->buffer)
        return false;
    run->class = class_of(head);
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

/* Fails what is past its deadline; *wait_until becomes the next deadline if that is sooner. */
static void expire(struct dlf_sched *s, uint64_t *wait_until)
{
    uint64_t now = dlf_now_ms();
    struct dlf_fetch **link = &s->queue;
    while (*link) {
        struct dlf_fetch *f = *link;
        uint64_t deadline = atomic_load_explicit(&f->deadline_ms, memory_order_relaxed);
        if (deadline && deadline <= now) {
            struct dlf_err err;
            unlink_fetch(s, link);
            dlf_fail(&err, ETIMEDOUT, "no answer within the time allowed");
            f->done(f, -ETIMEDOUT, NULL, &err);
            continue;
        }
        if (deadline && deadline < *wait_until)
            *wait_until = deadline;
        link = &f->next;
    }
}

static bool all_idle(const struct dlf_sched *s)
{
    for (unsigned i = 0; i < RUNS_MAX; i++)
        if (s->runs[i].busy)
            return false;
    return s->queue == NULL;
}

static void *scheduler_thread(void *cookie)
{
    struct dlf_sched *s = cookie;
    for (;;) {
        bool stop;
        bool retire;
        unsigned mirror = 0;
        struct dlf_fetch *f;
        /* A minute at most: nothing depends on it, submit and kick wake the poll. */
        uint64_t wait_until = dlf_now_ms() + 60000;

        take_inbox(s, &stop, &retire);
        if (stop)
            return NULL;
        if (retire && all_idle(s)) {
            dlf_source_close(s->source);
            return NULL;
        }
        expire(s, &wait_until);
        while (dlf_source_free_slot(s->source) && (f = pick(s, &mirror, &wait_until)))
            if (!begin_run(s, f, mirror)) {
                wait_until = dlf_now_ms() + 100; /* out of memory: it may pass */
                break;
            }
        uint64_t now = dlf_now_ms();
        dlf_source_poll(s->source, wait_until > now ? (unsigned)(wait_until - now) : 0);
    }
}

struct dlf_sched *dlf_sched_new(struct dlf_source *source, uint32_t piece_max, bool bulk)
{
    struct dlf_sched *s = calloc(1, sizeof(*s));
    if (!s) {
        dlf_source_free(source);
        return NULL;
    }
    s->source = source;
    s->piece_max = piece_max;
    s->bulk = bulk;
    s->queue_end = &s->queue;
    pthread_mutex_init(&s->inbox_lock, NULL);
    if (pthread_create(&s->thread, NULL, scheduler_thread, s) != 0) {
        dlf_source_free(source);
        free(s);
        return NULL;
    }
    return s;
}

static void shut_down_piece(struct dlf_fetch *f)
{
    struct dlf_err err;
    dlf_fail(&err, ESHUTDOWN, "the node is shutting down");
    f->done(f, -ESHUTDOWN, NULL, &err);
}

void dlf_sched_free(struct dlf_sched *s)
{
    bool stop;
    bool retire;
    if (!s)
        return;
    pthread_mutex_lock(&s->inbox_lock);
    s->stop = true;
    pthread_mutex_unlock(&s->inbox_lock);
    dlf_source_wake(s->source);
    pthread_join(s->thread, NULL);
    dlf_source_close(s->source);
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        struct run *run = &s->runs[i];
        for (unsigned k = run->next; run->busy && k < run->count; k++)
            shut_down_piece(run->pieces[k]);
        free(run->buffer);
    }
    /* done may submit again: go on until nothing comes. */
    for (take_inbox(s, &stop, &retire); s->queue; take_inbox(s, &stop, &retire))
        shut_down_piece(unlink_fetch(s, &s->queue));
    dlf_source_free(s->source);
    pthread_mutex_destroy(&s->inbox_lock);
    free(s);
}

void dlf_sched_submit(struct dlf_sched *s, struct dlf_fetch *fetch)
{
    pthread_mutex_lock(&s->inbox_lock);
    bool first = s->inbox == NULL;
    fetch->next = s->inbox;
    s->inbox = fetch;
    pthread_mutex_unlock(&s->inbox_lock);
    if (first)
        dlf_source_wake(s->source);
}

void dlf_sched_kick(struct dlf_sched *s)
{
    dlf_source_wake(s->source);
}

void dlf_sched_retire(struct dlf_sched *s)
{
    pthread_mutex_lock(&s->inbox_lock);
    s->retire = true;
    pthread_mutex_unlock(&s->inbox_lock);
    dlf_source_wake(s->source);
}

void dlf_sched_announce(struct dlf_sched *s)
{
    dlf_source_announce(s->source);
}

void dlf_sched_stats(const struct dlf_sched *s, struct dlf_sched_stats *stats)
{
    uint32_t all = dlf_source_all(s->source);
    memset(stats, 0, sizeof(*stats));
    stats->index_bytes = atomic_load_explicit(&s->index_bytes, memory_order_relaxed);
    stats->failed_attempts = atomic_load_explicit(&s->failed_attempts, memory_order_relaxed);
    stats->bad_digests = atomic_load_explicit(&s->bad_digests, memory_order_relaxed);
    for (unsigned i = 0; i < DLF_CLASSES; i++)
        stats->class_bytes[i] = atomic_load_explicit(&s->class_bytes[i], memory_order_relaxed);
    for (unsigned i = 0; all >> i & 1; i++) {
        struct dlf_mirror_stats mirror;
        dlf_source_mirror_stats(s->source, i, &mirror);
        stats->fetched_bytes += mirror.bytes;
        stats->requests += mirror.requests;
    }
}

const struct dlf_source *dlf_sched_source(const struct dlf_sched *s)
{
    return s->source;
}
