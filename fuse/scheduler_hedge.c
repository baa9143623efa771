/*
 * Hedged requests. Where a request brings nothing for longer than nearly all do, or gets no
 * connection for longer than that should take, the pieces that readers wait for are requested once
 * more: on a new connection, from another mirror if one is up. The first answer counts, the other
 * request ends. The scheduler's thread only.
 *
 * The second request's piece is a twin, the scheduler's own; it lives in queue and runs as pieces
 * do, while the piece itself stays where it is. Either one's end takes the other out.
 */
#include <errno.h>
#include <inttypes.h>

#include "fuse/log.h"
#include "fuse/scheduler_private.h"
#include "fuse/util.h"

/*
 * Microseconds from when the question is out. Servers pause for some milliseconds now and then, and
 * another request would meet the same pause; Linux sends a lost packet again after 200 ms at the
 * soonest (TCP_RTO_MIN).
 */
#define SILENCE_MIN_US 50000

/* While the usual is not known, and for a new connection: a lost SYN is sent again after as long
 * (RFC 6298), and with TLS it takes four round trips. */
#define SILENCE_UNKNOWN_US 1000000
#define ROUND_TRIPS_UNKNOWN 5

/* Bytes that may be on their way unseen: TLS is handed up in records of up to 16 KiB, and several
 * requests share a link. */
#define UNSEEN_BYTES 65536

/*
 * Of so many requests that readers wait for, one may be doubled, in a row this many: where
 * everything is slow, a server that cannot follow does not get twice the work. A hedge that another
 * mirror wins costs nothing: that mirror can follow, and the silent one is down after two silences.
 * Else four readers that meet a pause together would leave no hedge for their next requests.
 */
#define REQUESTS_A_HEDGE 20u
#define IN_A_ROW 4u

static uint64_t longer(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* For a connection, its name and its TLS. */
static uint64_t patience_to_connect_us(const struct dlf_sched *s, uint64_t patience)
{
    struct dlf_pace pace;
    dlf_source_pace(s->source, &pace);
    patience = longer(patience, SILENCE_UNKNOWN_US);
    return longer(patience, ROUND_TRIPS_UNKNOWN * pace.rtt_us);
}

/* For an answer, from when the question is out. */
static uint64_t patience_us(const struct dlf_sched *s)
{
    uint64_t usual = dlf_waits_p99(&s->waits);
    return usual ? longer(usual, SILENCE_MIN_US) : patience_to_connect_us(s, 0);
}

/* Where bytes have come: not sooner than at the speed that they had. */
static uint64_t patience_with_us(const struct run *run, uint64_t patience)
{
    uint64_t brought = run->position - run->from;
    if (!brought)
        return patience;
    return longer(patience, (run->heard_us - run->begun_us) * UNSEEN_BYTES / brought);
}

void dlf_hedge_note_request(struct dlf_sched *s)
{
    if (s->spent)
        s->spent--;
}

static struct hedge *idle_hedge(struct dlf_sched *s)
{
    for (unsigned i = 0; i < HEDGES_MAX; i++)
        if (!s->hedges[i].of)
            return &s->hedges[i];
    return NULL;
}

/* Takes a piece out of where it is: the queue, or a run, which is to end if that was its last. */
static void take_out(struct dlf_sched *s, const struct dlf_fetch *f)
{
    for (struct dlf_fetch **link = &s->queue; *link; link = &(*link)->next) {
        if (*link == f) {
            dlf_sched_unlink(s, link);
            return;
        }
    }
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++) {
        struct run *run = &s->runs[i];
        for (unsigned k = run->next; k < run->count; k++) {
            if (run->pieces[k] == f) {
                dlf_run_drop(run, k);
                run->unwanted = !dlf_run_wants_more(run);
                return;
            }
        }
    }
}

/* The twin's end: it came, or no mirror gave it; then the piece goes on without it. */
static void twin_done(struct dlf_fetch *twin, int rc, const uint8_t *bytes,
                      const struct dlf_err *err)
{
    struct hedge *h = (struct hedge *)twin;
    struct dlf_sched *s = h->sched;
    struct dlf_fetch *f = h->of;
    (void)err;
    h->of = NULL;
    f->hedge = NULL;
    if (rc < 0)
        return;
    take_out(s, f);
    dlf_sched_count(&s->hedges_won, 1);
    if (h->repaid)
        s->spent -= s->spent < REQUESTS_A_HEDGE ? s->spent : REQUESTS_A_HEDGE;
    dlf_sched_count(&s->recovered, f->tried || f->rounds);
    if (f->rounds)
        dlf_trouble_over();
    f->done(f, 0, bytes, NULL);
}

void dlf_fetch_end(struct dlf_sched *s, struct dlf_fetch *f, int rc, const uint8_t *bytes,
                   const struct dlf_err *err)
{
    struct hedge *h = f->hedge;
    if (h) {
        f->hedge = NULL;
        h->of = NULL;
        take_out(s, &h->twin);
    }
    f->done(f, rc, bytes, err);
}

/* The mirror that a piece of a silent run is not asked of now: the silent one, where there is
 * another that is up and has ranges. It has not failed: that is tried's. */
static uint32_t avoided(const struct dlf_sched *s, const struct run *run, const struct dlf_fetch *f)
{
    uint32_t mirror = (uint32_t)1 << run->get.mirror;
    uint32_t others = dlf_source_all(s->source) & ~dlf_source_down(s->source) & ~f->tried & ~mirror;
    for (unsigned i = 0; others >> i; i++)
        if ((others >> i & 1) && dlf_source_sends_whole(s->source, i))
            others &= ~((uint32_t)1 << i);
    return others ? mirror : 0;
}

static void ask_again(struct dlf_sched *s, struct hedge *h, const struct run *run,
                      struct dlf_fetch *f)
{
    *h = (struct hedge){.sched = s, .of = f};
    h->twin.kind = f->kind;
    h->twin.object = f->object;
    h->twin.offset = f->offset;
    h->twin.length = f->length;
    h->twin.sha256 = f->sha256;
    h->twin.class = DLF_DEMAND;
    h->twin.once = true;
    h->twin.twin = true;
    h->twin.tried = f->tried;
    h->twin.avoid = avoided(s, run, f);
    h->twin.done = twin_done;
    f->hedge = h;
    f->hedged = true;
    dlf_sched_enqueue(s, &h->twin);
}

static bool is_waited_for(const struct dlf_fetch *f)
{
    return f && !f->hedged && !f->twin && dlf_fetch_class(f) == DLF_DEMAND;
}

static bool somebody_waits(const struct run *run)
{
    for (unsigned i = run->next; i < run->count; i++)
        if (is_waited_for(run->pieces[i]))
            return true;
    return false;
}

/* Pieces that no reader waits for yet, but will if the silence lasts, are requested elsewhere; so
 * are pieces that readers do wait for, when no hedge is left for them. */
static void move_rest(struct dlf_sched *s, struct run *run)
{
    for (unsigned i = run->next; i < run->count; i++) {
        struct dlf_fetch *f = run->pieces[i];
        if (!f || f->hedged || f->twin)
            continue;
        dlf_run_drop(run, i);
        f->avoid = avoided(s, run, f);
        dlf_sched_enqueue(s, f);
    }
}

/* Requests again the pieces of a silent run that readers wait for. */
static void hedge_run(struct dlf_sched *s, struct run *run, uint64_t silent_us)
{
    struct hedge *h = idle_hedge(s);
    bool first = true;
    for (unsigned i = run->next; h && i < run->count; i++) {
        if (!is_waited_for(run->pieces[i]))
            continue;
        ask_again(s, h, run, run->pieces[i]);
        h->repaid = first && h->twin.avoid;
        first = false;
        h = idle_hedge(s);
    }
    move_rest(s, run);
    run->silent = true;
    s->spent += REQUESTS_A_HEDGE;
    dlf_sched_count(&s->hedged, 1);
    /* It takes at least as long: else only the quick ones would be the usual. */
    dlf_hedge_note_wait(s, run, silent_us);
    dlf_debug("%s%s: nothing for %" PRIu64 " ms, asked for again",
              dlf_source_mirror_base(s->source, run->get.mirror), run->path, silent_us / 1000);
}

void dlf_hedge_note_wait(struct dlf_sched *s, struct run *run, uint64_t us)
{
    if (run->class == DLF_DEMAND && !run->noted)
        dlf_waits_note(&s->waits, us);
    run->noted = true;
}

/* A mirror that sends whole objects would send all of it once more. */
static bool may_hedge(struct dlf_sched *s, const struct run *run)
{
    return !dlf_source_sends_whole(s->source, run->get.mirror) &&
           s->spent <= (IN_A_ROW - 1) * REQUESTS_A_HEDGE && idle_hedge(s) && somebody_waits(run);
}

/* 0: its question is not out yet. */
static uint64_t silent_since_us(const struct dlf_sched *s, const struct run *run)
{
    bool heard = run->heard_us != run->begun_us;
    return heard ? run->heard_us : dlf_source_sent_us(s->source, &run->get);
}

/*
 * Overdue twice in a row: between the two looks the source has taken the bytes that were there, so
 * this thread was not the late one.
 */
static void look_at(struct dlf_sched *s, struct run *run, uint64_t now, uint64_t patience,
                    uint64_t *wait_until)
{
    uint64_t since = silent_since_us(s, run);
    patience = since ? patience_with_us(run, patience) : patience_to_connect_us(s, patience);
    since = since ? since : run->begun_us;
    uint64_t when = (since + patience + 999) / 1000;
    if (now < since + patience) {
        if (when < *wait_until)
            *wait_until = when;
    } else if (may_hedge(s, run)) {
        if (run->overdue)
            hedge_run(s, run, now - since);
        run->overdue = true;
        *wait_until = 0;
    }
}

void dlf_sched_hedges(struct dlf_sched *s, uint64_t *wait_until)
{
    bool hedging = atomic_load_explicit(&s->hedging, memory_order_relaxed);
    uint64_t patience = patience_us(s);
    uint64_t now = dlf_now_us();
    for (unsigned i = 0; i < DLF_SCHED_RUNS_MAX; i++) {
        struct run *run = &s->runs[i];
        if (!run->busy)
            continue;
        if (run->unwanted && !dlf_run_wants_more(run)) {
            if (dlf_source_cancel(s->source, &run->get, run->silent))
                *wait_until = 0;              /* its place is free */
        } else if (hedging && !run->stream) { /* streams are overtaken: scheduler_pace.c */
            look_at(s, run, now, patience, wait_until);
        }
    }
}
