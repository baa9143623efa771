/*
 * A run: one range request and the pieces that it brings. Gathers neighbours, takes the bytes as
 * they come, checks each piece's digest and hands it up; missing pieces go back into the queue. The
 * scheduler's thread only.
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

/* Bytes of less urgent pieces that may come before the head: 5 ms at 100 Mbit/s. Behind it, it is
 * not kept waiting. */
#define BEFORE_MAX ((uint64_t)64 << 10)

/* Rounds through all mirrors, some seconds, after which a replaceable piece fails. */
#define REPLACEABLE_ROUNDS 4

/* Microseconds without a byte that are as good as all these rounds: a server that stalls. */
#define REPLACEABLE_US 3000000

/* Pieces that a stream's list has room for at first; it doubles. */
#define STREAM_ROOM 1024

/* One line for many pieces: a damaged pack has hundreds of them. */
static void say_bad_object(struct dlf_sched *s, const struct dlf_err *err)
{
    uint64_t now = dlf_now_ms();
    if (!atomic_load(&s->announces) || (s->said_ms && now - s->said_ms < SAY_AGAIN_MS))
        return;
    s->said_ms = now;
    dlf_warn("%s; every mirror has failed, trying again", err->msg);
}

/* For a piece that can be had in another way: is it the object that is bad, or was it long enough?
 */
static bool not_worth_waiting(const struct dlf_sched *s, const struct dlf_fetch *f, int rc)
{
    bool bad =
        (rc == -ENOENT || rc == -EBADMSG) && !f->unreached && f->tried == dlf_source_all(s->source);
    return bad || f->rounds >= REPLACEABLE_ROUNDS;
}

/* f is replaceable and has failed: its object is asked for no more, and the queue's other
 * replaceable pieces of it fail with f. */
static void give_up_object(struct dlf_sched *s, struct dlf_fetch *f, int rc,
                           const struct dlf_err *err)
{
    struct dlf_sha256 object = f->object;
    struct dlf_fetch **link = &s->queue;
    dlf_fetch_end(s, f, rc, NULL, err);
    while (*link) {
        f = *link;
        if (f->replaceable && dlf_sha256_equal(&f->object, &object)) {
            dlf_sched_unlink(s, link);
            dlf_fetch_end(s, f, rc, NULL, err);
            link = &s->queue; /* the piece before it may be gone, too */
        } else {
            link = &f->next;
        }
    }
}

/* A mirror that is down has failed, too: the piece does not wait for its time of grace to end. */
static bool all_have_failed(const struct dlf_sched *s, const struct dlf_fetch *f)
{
    uint32_t out = f->once ? f->tried : f->tried | dlf_source_down(s->source);
    return out == dlf_source_all(s->source);
}

/* A reader waits for a piece that no mirror gave; a mirror that was not asked because it is down
 * may have it. */
static void say_trouble(const struct dlf_sched *s, const struct dlf_fetch *f,
                        const struct dlf_err *err)
{
    bool unreached = f->unreached || f->tried != dlf_source_all(s->source);
    if (dlf_fetch_class(f) == DLF_DEMAND && !f->replaceable && !f->twin)
        dlf_trouble(unreached ? DLF_TROUBLE_UNREACHABLE : DLF_TROUBLE_UNUSABLE, err->msg);
}

/*
 * A piece failed at a mirror, or its mirrors are all bad. The next mirror is tried at once; when
 * all were tried it waits until *until_ms, which is set for the first piece of a run and then
 * holds for all of it: a millisecond between them would make several requests of them.
 */
static void piece_failed(struct dlf_sched *s, struct dlf_fetch *f, unsigned mirror, int rc,
                         uint64_t *until_ms, const struct dlf_err *err)
{
    f->tried |= (uint32_t)1 << mirror;
    f->unreached |= rc != -ENOENT && rc != -EBADMSG;
    pthread_mutex_lock(&s->inbox_lock);
    s->last_failure = *err;
    pthread_mutex_unlock(&s->inbox_lock);
    if (all_have_failed(s, f)) {
        say_trouble(s, f, err);
        if (f->replaceable && not_worth_waiting(s, f, rc)) {
            give_up_object(s, f, rc, err);
            return;
        }
        if (f->once) {
            dlf_fetch_end(s, f, rc, NULL, err);
            return;
        }
        /* The source reports mirrors that do not answer; this is about an object that is bad. */
        if (rc == -ENOENT || rc == -EBADMSG)
            say_bad_object(s, err);
        if (!*until_ms)
            *until_ms = dlf_now_ms() + dlf_backoff_ms(f->rounds);
        f->not_before_ms = *until_ms;
        f->rounds++;
        f->tried = 0;
        f->avoid = 0;
        f->unreached = false;
    }
    dlf_sched_enqueue(s, f);
}

static atomic_uint_fast64_t *bytes_counter(struct dlf_sched *s, const struct dlf_fetch *f)
{
    if (strcmp(f->kind, "pack") == 0)
        return &s->class_bytes[dlf_fetch_class(f)];
    return strcmp(f->kind, "index") == 0 ? &s->index_bytes : &s->boot_bytes;
}

/* All bytes of a piece are there. False when they are wrong. */
static bool piece_complete(struct run *run, const uint8_t *bytes)
{
    struct dlf_sched *s = run->sched;
    struct dlf_fetch *f = run->pieces[run->next];
    struct dlf_sha256 digest = dlf_sha256(bytes, f->length);
    if (!dlf_sha256_fits(&digest, &f->sha256)) {
        struct dlf_err err;
        uint64_t until_ms = 0;
        dlf_sched_count(&s->bad_digests, 1);
        dlf_source_blame(s->source, run->get.mirror);
        dlf_fail(&err, EBADMSG, "%s%s: bytes %" PRIu64 "-%" PRIu64 " do not have their SHA-256",
                 dlf_source_mirror_base(s->source, run->get.mirror), run->path, f->offset,
                 f->offset + f->length - 1);
        run->next++;
        piece_failed(s, f, run->get.mirror, -EBADMSG, &until_ms, &err);
        return false;
    }
    dlf_sched_count(bytes_counter(s, f), f->length);
    dlf_sched_count(&s->recovered, !f->twin && (f->tried || f->rounds));
    if (f->rounds)
        dlf_trouble_over();
    run->next++;
    run->brought = true;
    dlf_fetch_end(s, f, 0, bytes, NULL);
    return true;
}

static void note_arrival(struct run *run, uint64_t offset, size_t size)
{
    uint64_t now = dlf_now_us();
    run->position = offset + size;
    run->heard_us = now;
    run->overdue = false;
    run->silent = false;
    if (run->marks[1].us)
        return;
    run->marks[0] = run->marks[1] = (struct mark){now, run->position};
    uint64_t sent = dlf_source_sent_us(run->sched->source, &run->get);
    dlf_hedge_note_wait(run->sched, run, now - (sent ? sent : run->begun_us));
}

static bool same_place(const struct dlf_fetch *a, const struct dlf_fetch *b)
{
    return a->offset == b->offset && a->length == b->length;
}

bool dlf_run_wants_more(struct run *run)
{
    while (run->next < run->count && !run->pieces[run->next])
        run->next++;
    return run->next < run->count;
}

/* Completes the piece of these bytes, and the pieces behind it in the same place: content that is
 * in the image several times. */
static void complete_pieces(struct run *run, const uint8_t *bytes)
{
    const struct dlf_fetch *f;
    uint64_t offset = run->pieces[run->next]->offset;
    uint32_t length = run->pieces[run->next]->length;
    do {
        piece_complete(run, bytes);
        f = dlf_run_wants_more(run) ? run->pieces[run->next] : NULL;
    } while (f && f->offset == offset && f->length == length);
}

/* May f ride along with the run that begins with head? */
static bool is_company(const struct dlf_fetch *head, const struct dlf_fetch *f, uint64_t now)
{
    return f->kind == head->kind && f->tried == head->tried && f->avoid == head->avoid &&
           f->not_before_ms <= now && dlf_sha256_equal(&f->object, &head->object);
}

static uint64_t end_of(const struct dlf_fetch *f)
{
    return f->offset + f->length;
}

/* May b come behind a in one run, with at most so many bytes between them? */
static bool follows(const struct dlf_fetch *a, const struct dlf_fetch *b, uint64_t gap_max)
{
    return same_place(a, b) || (b->offset >= end_of(a) && b->offset - end_of(a) <= gap_max);
}

/* Room for the pieces' list and for a piece that comes in parts. */
static bool make_room(struct run *run, unsigned pieces, uint32_t bytes)
{
    if (run->buffer_size < bytes) {
        uint8_t *buffer = malloc(bytes);
        if (!buffer)
            return false;
        free(run->buffer);
        run->buffer = buffer;
        run->buffer_size = bytes;
    }
    if (run->room < pieces) {
        struct dlf_fetch **more = realloc(run->pieces, pieces * sizeof(struct dlf_fetch *));
        if (!more)
            return false;
        run->pieces = more;
        run->room = pieces;
    }
    return true;
}

/* Adds f to a stream's pieces, which are in order. False when its bytes are not all still to come,
 * or overlap another piece's. */
static bool add_to_stream(struct run *run, struct dlf_fetch *f)
{
    unsigned at = run->count;
    unsigned before;
    if (f->offset < run->passed)
        return false;
    while (at > run->next && (!run->pieces[at - 1] || run->pieces[at - 1]->offset > f->offset))
        at--;
    for (before = at; before > run->next && !run->pieces[before - 1];)
        before--;
    if (before > run->next && !follows(run->pieces[before - 1], f, UINT64_MAX))
        return false;
    for (before = at; before < run->count && !run->pieces[before];)
        before++;
    if (before < run->count && !follows(f, run->pieces[before], UINT64_MAX))
        return false;
    if (run->count == run->room && !make_room(run, 2 * run->room, run->buffer_size))
        return false;
    memmove(run->pieces + at + 1, run->pieces + at, (run->count - at) * sizeof(run->pieces[0]));
    run->pieces[at] = f;
    run->count++;
    return true;
}

/* Takes all that is queued for the object into the run, as far as it goes where the run's pieces
 * do.
 */
static void gather_whole(struct run *run, const struct dlf_fetch *head)
{
    struct dlf_sched *s = run->sched;
    uint64_t now = dlf_now_ms();
    struct dlf_fetch **link = &s->queue;
    while (*link) {
        struct dlf_fetch *f = *link;
        if (is_company(head, f, now) && add_to_stream(run, f)) {
            f->hedged = f->hedge != NULL;
            dlf_sched_unlink(s, link);
        } else {
            link = &f->next;
        }
    }
}

/* All of the object is coming where a range was asked for: its other wanted pieces come too. */
static void become_stream(struct run *run)
{
    run->stream = true;
    run->whole = true;
    run->from = 0;
    run->passed = 0;
    if (!dlf_run_wants_more(run))
        return;
    struct dlf_fetch *head = run->pieces[run->next];
    if (head->whole)
        head->whole(head);
    dlf_sched_take_inbox(run->sched);
    gather_whole(run, head);
}

static bool run_data(struct dlf_get *get, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct run *run = (struct run *)get;
    if (get->whole && !run->stream)
        become_stream(run);
    note_arrival(run, offset, size);
    while (size && run->next < run->count) {
        struct dlf_fetch *f = run->pieces[run->next];
        if (!f) {
            run->next++;
            continue;
        }
        uint64_t at = f->offset + run->have; /* the next byte that is wanted */
        if (offset < at) {
            uint64_t skip = at - offset < size ? at - offset : size;
            offset += skip;
            bytes += skip;
            size -= (size_t)skip;
            run->passed = offset;
            continue;
        }
        uint32_t left = f->length - run->have;
        uint32_t n = size < left ? (uint32_t)size : left;
        const uint8_t *whole = run->have ? run->buffer : bytes;
        if (run->have || n < left)
            memcpy(run->buffer + run->have, bytes, n);
        run->passed = offset + n;
        if (n == left) {
            run->have = 0;
            complete_pieces(run, whole);
            if (run->stream)
                dlf_sched_take_inbox(run->sched); /* pieces that its done submitted come next */
        } else {
            run->have += n;
        }
        offset += n;
        bytes += n;
        size -= n;
    }
    /* A request without wanted pieces is cut off; a range only where it is not yet complete. */
    return dlf_run_wants_more(run) || (!run->stream && run->pieces[run->count - 1]);
}

void dlf_run_drop(struct run *run, unsigned piece)
{
    const struct dlf_fetch *f = run->pieces[piece];
    run->pieces[piece] = NULL;
    if (piece != run->next)
        return;
    /* The bytes that have come serve another piece in the same place as well. */
    if (!dlf_run_wants_more(run) || !same_place(run->pieces[run->next], f))
        run->have = 0;
}

static void run_done(struct dlf_get *get, int rc, const struct dlf_err *err)
{
    struct run *run = (struct run *)get;
    struct dlf_sched *s = run->sched;
    struct dlf_err full;
    uint64_t until_ms = 0;
    run->busy = false;
    if (run->whole)
        dlf_sched_note_run(s, run->class, run->passed, false);
    if (rc == -ECANCELED) {
        dlf_fail(&full, ECANCELED, "%s: cut off", run->path); /* nothing is left over */
    } else if (rc < 0) {
        dlf_sched_count(&s->failed_attempts, 1);
        dlf_fail(&full, -rc, "%s%s: %s", dlf_source_mirror_base(s->source, get->mirror), run->path,
                 err->msg);
        dlf_debug("%s", full.msg);
    } else {
        dlf_fail(&full, EBADMSG, "%s: incomplete", run->path);
        rc = -EBADMSG; /* for pieces that are left over: cannot be, but would not be lost */
    }
    bool stalled = get->slow || dlf_now_us() - run->heard_us >= REPLACEABLE_US;
    for (unsigned i = run->next; i < run->count; i++) {
        struct dlf_fetch *f = run->pieces[i];
        if (!f)
            continue;
        if (f->replaceable && stalled)
            f->rounds = REPLACEABLE_ROUNDS;
        else if (f->replaceable && run->brought)
            f->rounds = 0; /* it was worth while, and so may the next one be */
        piece_failed(s, f, get->mirror, rc, &until_ms, &full);
    }
    run->count = run->next;
}

static int by_offset(const void *a, const void *b)
{
    const struct dlf_fetch *x = *(struct dlf_fetch *const *)a;
    const struct dlf_fetch *y = *(struct dlf_fetch *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/*
 * Head and its neighbours, in a row: sets run->pieces. Neighbours of any class come along as far as
 * the head's class allows bytes, with such gaps between them as are cheaper than a further request.
 */
static void gather(struct dlf_sched *s, struct run *run, struct dlf_fetch *head)
{
    struct dlf_fetch *near[4 * RUN_PIECES_MAX];
    unsigned n = 0;
    unsigned at = 0;
    uint64_t now = dlf_now_ms();
    uint64_t reach = s->limits.bytes[run->class];
    uint64_t gap_max = run->class == DLF_FILL ? 0 : s->limits.gap;

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
    while (last + 1 < n && last - first + 1 < RUN_PIECES_MAX &&
           follows(near[last], near[last + 1], gap_max) &&
           end_of(near[last + 1]) - near[first]->offset <= reach)
        last++;
    while (first > 0 && last - first + 1 < RUN_PIECES_MAX &&
           (dlf_fetch_class(near[first - 1]) <= run->class ||
            head->offset - near[first - 1]->offset <= BEFORE_MAX) &&
           follows(near[first - 1], near[first], gap_max) &&
           end_of(near[last]) - near[first - 1]->offset <= reach)
        first--;
    run->count = last - first + 1;
    memcpy(run->pieces, near + first, run->count * sizeof(near[0]));
}

static void drop_from_queue(struct dlf_sched *s, const struct run *run)
{
    struct dlf_fetch **link = &s->queue;
    for (unsigned i = 0; i < run->count; i++) {
        run->pieces[i]->taken = true;
        run->pieces[i]->hedged = run->pieces[i]->hedge != NULL;
    }
    while (*link) {
        if ((*link)->taken)
            dlf_sched_unlink(s, link)->taken = false;
        else
            link = &(*link)->next;
    }
}

static struct run *idle_run(struct dlf_sched *s)
{
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++)
        if (!s->runs[i].busy)
            return &s->runs[i];
    return NULL;
}

bool dlf_run_attach(struct dlf_sched *s, struct dlf_fetch *f)
{
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++) {
        struct run *run = &s->runs[i];
        if (run->busy && run->stream && dlf_sha256_equal(&run->object, &f->object))
            return add_to_stream(run, f);
    }
    return false;
}

bool dlf_run_may_bring(const struct dlf_sched *s, const struct dlf_fetch *f, unsigned mirror)
{
    if (f->stream_bytes || f->twin || !dlf_source_sends_whole(s->source, mirror))
        return false;
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++) {
        const struct run *run = &s->runs[i];
        bool answered = run->marks[1].us != 0;
        if (run->busy && !run->stream && !answered && run->get.mirror == mirror &&
            dlf_sha256_equal(&run->object, &f->object))
            return true;
    }
    return false;
}

/* The question that brings run's pieces. */
static struct dlf_get question(const struct run *run, const struct dlf_fetch *head)
{
    struct dlf_get get = {.path = run->path, .data = run_data, .done = run_done};
    if (run->stream) {
        get.limit = head->stream_bytes;
    } else {
        get.offset = run->pieces[0]->offset;
        get.length = end_of(run->pieces[run->count - 1]) - get.offset;
    }
    return get;
}

bool dlf_run_begin(struct dlf_sched *s, struct dlf_fetch *head, unsigned mirror)
{
    struct run *run = idle_run(s);
    bool stream = head->stream_bytes != 0;
    uint32_t bytes = head->length > s->piece_max ? head->length : s->piece_max;
    if (!make_room(run, stream ? STREAM_ROOM : RUN_PIECES_MAX, bytes))
        return false;
    run->class = dlf_fetch_class(head);
    run->stream = stream;
    run->whole = false;
    run->object = head->object;
    run->next = 0;
    run->have = 0;
    run->passed = 0;
    if (stream) {
        run->pieces[0] = head;
        run->count = 1;
    } else {
        gather(s, run, head);
    }
    dlf_object_path(run->path, head->kind, &head->object);
    run->sched = s;
    run->begun_us = dlf_now_us();
    run->heard_us = run->begun_us;
    run->noted = stream; /* as long as all of it: not a usual one */
    run->brought = false;
    run->overdue = false;
    run->silent = false;
    run->unwanted = false;
    run->marks[0] = run->marks[1] = (struct mark){0};
    run->get = question(run, head);
    run->get.fresh = head->twin;
    run->from = run->get.offset;
    run->position = run->from;
    if (dlf_source_start(s->source, &run->get, mirror) < 0) {
        run->count = 0;
        return false;
    }
    drop_from_queue(s, run);
    run->busy = true;
    if (!stream)
        dlf_sched_note_run(s, run->class, run->get.length, strcmp(head->kind, "index") != 0);
    if (run->class == DLF_DEMAND && !head->twin)
        dlf_hedge_note_request(s);
    return true;
}
