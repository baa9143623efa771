/*
 * The health of mirrors and transfers: which are too slow, the log's lines about them, when a
 * mirror is probed beside the real requests. The source's thread, but for the pace.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fuse/log.h"
#include "fuse/source_private.h"
#include "fuse/util.h"

/* Milliseconds between two lines about one mirror's failures: it may fail and work in turns. */
#define SAY_AGAIN_MS 10000

/*
 * How slow a transfer may be. Bytes a second over a window as long as the stall limit: a link of 64
 * kbit/s that four transfers share gives each four times FLOOR. Where another mirror is up, the
 * least rate is higher and stalls are shorter. But each transfer that fails by that halves the
 * least rate of later ones, down to FLOOR: the network itself may be slow, and then no mirror is to
 * blame.
 */
#define FLOOR ((uint64_t)512)
#define FLOOR_STANDBY ((uint64_t)16384)
#define STALL_STANDBY_MS 4000
#define PATIENCE_MAX 5 /* FLOOR_STANDBY >> PATIENCE_MAX is FLOOR */

/* When dlf_source_poll was not called for longer than this, no transfer is to blame for it. */
#define LATE_MS 1000

static void say_recovery(const struct transfer *t)
{
    struct place *p = &t->source->places[t->get->mirror];
    const struct dlf_mirror *m = &t->source->mirrors.at[t->get->mirror];
    if (p->said_down)
        dlf_info("%s answers again after %" PRIu64 " ms and %u failed attempts", p->base,
                 dlf_now_ms() - m->down_since_ms, m->failures_in_a_row);
    p->said_down = false;
}

void dlf_transfer_answered(struct transfer *t, uint64_t rtt_us)
{
    struct dlf_source *source = t->source;
    source->places[t->get->mirror].silences = 0;
    if (rtt_us)
        dlf_meter_round_trip(&source->meter, rtt_us);
    if (dlf_mirrors_answered(&source->mirrors, t->get->mirror, t->begun_ms, rtt_us))
        say_recovery(t);
}

/* Not only at the first failure: that may have come too soon after the last line. */
static void say_failure(struct transfer *t)
{
    struct place *p = &t->source->places[t->get->mirror];
    uint64_t now = dlf_now_ms();
    if (p->said_down || !atomic_load(&t->source->announces) ||
        (p->said_ms && now - p->said_ms < SAY_AGAIN_MS))
        return;
    p->said_ms = now;
    p->said_down = true;
    dlf_warn("%s%.*s: %s; trying again", p->base, (int)strcspn(t->get->path, "?"), t->get->path,
             t->err.msg);
}

/* A fast transfer takes back the patience that a too slow one gave. */
static void note_speed(struct transfer *t)
{
    uint64_t ms = dlf_now_ms() - t->begun_ms + 1;
    if (t->source->patience && t->bytes * 1000 / ms > 2 * FLOOR_STANDBY)
        t->source->patience--;
}

/* As many in a row are no accident, where another mirror is up: each costs a reader time. */
#define SILENCES_MAX 2

/* Another request was quicker. That it was silent for long counts, but takes it down only when it
 * is on trial or does so again and again. */
static void mark_beaten(struct transfer *t, const struct dlf_attempt_failure *failure)
{
    struct dlf_mirrors *mirrors = &t->source->mirrors;
    unsigned i = t->get->mirror;
    struct place *p = &t->source->places[i];
    if (!t->silent)
        return;
    if (t->begun_ms >= p->silent_ms) {
        p->silences++;
        p->silent_ms = failure->now_ms;
    }
    /* One is enough where nothing came since it was down. */
    bool often = (p->silences >= SILENCES_MAX || mirrors->at[i].failures_in_a_row) &&
                 dlf_mirrors_other_up(mirrors, i);
    if (!often && !t->trial) {
        dlf_mirrors_blame(mirrors, i);
        return;
    }
    dlf_mirrors_failed(mirrors, i, failure);
    say_failure(t);
}

void dlf_transfer_mark(struct transfer *t, int rc)
{
    struct dlf_mirrors *mirrors = &t->source->mirrors;
    unsigned i = t->get->mirror;
    struct dlf_attempt_failure failure = {.begun_ms = t->begun_ms, .now_ms = dlf_now_ms()};
    failure.bytes = t->checked ? t->bytes : 0;
    failure.slow = t->slow;
    failure.silent = t->silent;
    if (t->beaten) {
        mark_beaten(t, &failure);
    } else if (rc == 0 || rc == -ECANCELED) {
        if (!t->probe)
            dlf_mirrors_succeeded(mirrors, i, t->begun_ms);
        note_speed(t);
    } else if (rc == -ENOENT) {
        dlf_mirrors_blame(mirrors, i); /* about the object, not about the mirror */
    } else {
        failure.retry_after_ms = dlf_answer_retry_after_ms(&t->answer);
        dlf_mirrors_failed(mirrors, i, &failure);
        say_failure(t);
    }
    dlf_mirrors_ended(mirrors, i, t->trial);
}

void dlf_transfer_watch(struct transfer *t)
{
    t->last_ms = dlf_now_ms();
    t->window_ms = t->last_ms;
    t->window_bytes = 0;
    t->patience = t->source->patience;
    t->earlier_ms = 0;
    t->earlier_bytes = 0;
}

/* Forgets in halves: a good beginning hides a slow time after it for half a window longer. */
static void move_window(struct transfer *t, uint64_t now)
{
    t->earlier_ms = now - t->window_ms;
    t->earlier_bytes = t->window_bytes;
    t->window_ms = now;
    t->window_bytes = 0;
}

/* No byte for too long, or too few of them? Sets t->rc and t->err. */
static bool too_slow(struct transfer *t, uint64_t now)
{
    const struct dlf_source *source = t->source;
    bool standby = dlf_mirrors_other_up(&source->mirrors, t->get->mirror);
    uint64_t floor = standby ? FLOOR_STANDBY >> t->patience : FLOOR;
    uint64_t stall = source->stall_ms;
    if (standby && !t->patience && stall > STALL_STANDBY_MS)
        stall = STALL_STANDBY_MS;
    uint64_t window = now - t->window_ms + t->earlier_ms;
    uint64_t bytes = t->window_bytes + t->earlier_bytes;
    if (now - t->last_ms >= stall)
        t->rc = dlf_fail(&t->err, EIO, "no byte came for %" PRIu64 " ms", now - t->last_ms);
    else if (window >= stall && bytes * 1000 < floor * window)
        t->rc =
            dlf_fail(&t->err, EIO, "too slow: %" PRIu64 " bytes in %" PRIu64 " ms", bytes, window);
    else if (now - t->window_ms >= stall / 2)
        move_window(t, now);
    return t->rc < 0;
}

/* Several that were judged by the same rate and end together are one reason to ask for less. */
static void be_patient(const struct transfer *t)
{
    struct dlf_source *source = t->source;
    if (!t->probe && t->patience == source->patience && source->patience < PATIENCE_MAX)
        source->patience++;
}

void dlf_source_watch(struct dlf_source *source)
{
    uint64_t now = dlf_now_ms();
    bool late = now - source->watched_ms > LATE_MS;
    source->watched_ms = now;
    for (unsigned i = 0; i < source->transfer_count; i++) {
        struct transfer *t = &source->transfers[i];
        if (!t->get)
            continue;
        if (late) {
            dlf_transfer_watch(t);
        } else if (too_slow(t, now)) {
            be_patient(t);
            t->slow = true;
            t->get->slow = true;
            dlf_transfer_end(t, t->rc);
        }
    }
}

static bool probe_data(struct dlf_get *get, uint64_t offset, const uint8_t *bytes, size_t size)
{
    (void)offset;
    (void)bytes;
    (void)size;
    return !get->whole; /* the answer's head has said it all */
}

static void probe_done(struct dlf_get *get, int rc, const struct dlf_err *err)
{
    if (rc < 0)
        dlf_debug("probe of mirror %u: %s", get->mirror, err->msg);
}

void dlf_source_probe(struct dlf_source *source)
{
    int i;
    if (!source->look_for_probes || !source->probe_path)
        return;
    source->look_for_probes = false;
    while ((i = dlf_mirrors_probe(&source->mirrors, dlf_now_ms())) >= 0) {
        struct dlf_get *get = &source->probes[i];
        *get = (struct dlf_get){
            .path = source->probe_path, .length = 1, .data = probe_data, .done = probe_done};
        if (dlf_transfer_start(source, get, (unsigned)i, true) < 0) {
            dlf_mirrors_blame(&source->mirrors, (unsigned)i);
            return;
        }
    }
}

void dlf_source_announce(struct dlf_source *source)
{
    atomic_store(&source->announces, true);
}

void dlf_source_pace(const struct dlf_source *source, struct dlf_pace *pace)
{
    pace->rtt_us = atomic_load_explicit(&source->meter.rtt_us, memory_order_relaxed);
    pace->answer_us = atomic_load_explicit(&source->meter.answer_us, memory_order_relaxed);
    pace->bytes_per_s = atomic_load_explicit(&source->meter.bytes_per_s, memory_order_relaxed);
}
