/*
 * The health of mirrors: which one to ask now, and when one that failed may be asked again.
 *
 * Decisions and counters only: no network, no clock (the caller passes the time), no log. One
 * thread decides; any may read dlf_mirror_stats.
 *
 * A mirror is up or down. Up: it may be asked. Down: its last attempts failed and it is left alone
 * until a time; after that, one attempt at a time finds out.
 *
 *   up    failed                down, for dlf_backoff_ms, doubling with each failure in a row, or
 *                               for as long as the mirror said (Retry-After)
 *   down  time over             an attempt may be made, one at a time ("trial")
 *   down  answered (trial)      up; failures in a row are kept until an attempt has succeeded
 *   down  failed (trial)        down, longer
 *   any   failed, begun before  no change but the counters: four transfers that break together are
 *         the mirror went down  one failure, also if the mirror is up again when the last one ends
 *
 * Order: the first mirror that was listed is asked, while it is up, and the next ones stand by. A
 * later one takes its place only when its round trip is clearly shorter, see prefer() in mirrors.c.
 */
#ifndef DLFUSE_FUSE_MIRRORS_H
#define DLFUSE_FUSE_MIRRORS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Mirrors are numbered by bits of a uint32_t; 16 is more than a kernel line ever lists. */
#define DLF_MIRRORS_MAX 16

/* The longest that Retry-After may keep us away, without the jitter on top of it. */
#define DLF_RETRY_AFTER_MAX_MS 60000

struct dlf_mirror {
    /* The deciding thread's own. */
    unsigned failures_in_a_row;
    unsigned trials;        /* attempts that run while it is down */
    uint64_t down_since_ms; /* the first failure in a row */
    uint64_t marked_ms;     /* when it last went down */
    uint64_t last_probe_ms; /* dlf_mirrors_probe; 0: never */
    uint64_t moved_ms;      /* when it came up or lost a place that it had for long; 0: never */
    bool probing;
    bool told; /* the mirror asked for this wait */

    atomic_bool down;
    atomic_uint_fast64_t not_before_ms; /* while down */
    atomic_uint_fast64_t latency_us;    /* smoothed; 0: not known */
    atomic_uint_fast64_t requests;
    atomic_uint_fast64_t failures;
    atomic_uint_fast64_t failovers;  /* failures after which another mirror was up */
    atomic_uint_fast64_t recoveries; /* from down to up */
    atomic_uint_fast64_t told_waits; /* answers with Retry-After */
    atomic_uint_fast64_t bytes;      /* of bodies received */
};

/* All zero but count: nothing is known, all are up. */
struct dlf_mirrors {
    unsigned count;
    unsigned preferred;
    uint64_t preferred_ms; /* since when; 0: from the start */
    struct dlf_mirror at[DLF_MIRRORS_MAX];
};

struct dlf_attempt_failure {
    uint64_t begun_ms; /* when the attempt began */
    uint64_t now_ms;
    uint64_t bytes;          /* of the body that came before it failed */
    uint64_t retry_after_ms; /* wait that the mirror asked for; 0: none */
    bool slow;               /* given up for taking too long: it cost a reader seconds */
    bool silent;             /* ended, because a second request was quicker: that cost little */
};

/*
 * The mirror to ask now, none of avoid's: it is up, or down and due for a trial. -1 when there is
 * none: then *when_ms is the time at which the first of them is due, or UINT64_MAX while a trial
 * runs, because its end decides.
 */
int dlf_mirrors_choose(struct dlf_mirrors *mirrors, uint32_t avoid, uint64_t now_ms,
                       uint64_t *when_ms);

/* Bits of the mirrors that are down. */
uint32_t dlf_mirrors_down(const struct dlf_mirrors *mirrors);

/* Is one up beside i? */
bool dlf_mirrors_other_up(const struct dlf_mirrors *mirrors, unsigned i);

/*
 * A mirror to probe now with a small request beside the real ones, while another mirror is up.
 * Either it is down and due: so no read has to find out. Or its round trip is unknown, or was
 * measured long ago, while the preferred mirror's is long. -1: none. The returned mirror is marked
 * as being probed until answered or failed.
 */
int dlf_mirrors_probe(struct dlf_mirrors *mirrors, uint64_t now_ms);

/* An attempt begins at mirror i. A probe is one as well. Returns whether it is a trial: the caller
 * hands that back to dlf_mirrors_ended. */
bool dlf_mirrors_began(struct dlf_mirrors *mirrors, unsigned i);

/* The attempt that began has ended, with any result. After answered, succeeded or failed. */
void dlf_mirrors_ended(struct dlf_mirrors *mirrors, unsigned i, bool trial);

/*
 * A right answer begins to come; rtt_us after its question, 0 if that is not known. True when the
 * mirror was down until now.
 */
bool dlf_mirrors_answered(struct dlf_mirrors *mirrors, unsigned i, uint64_t begun_ms,
                          uint64_t rtt_us);

/* All of it came. */
void dlf_mirrors_succeeded(struct dlf_mirrors *mirrors, unsigned i, uint64_t begun_ms);

/* A missing or bad answer. */
void dlf_mirrors_failed(struct dlf_mirrors *mirrors, unsigned i,
                        const struct dlf_attempt_failure *failure);

/* A failure that says nothing about the mirror's health: it lacks an object, or has it wrong. */
void dlf_mirrors_blame(struct dlf_mirrors *mirrors, unsigned i);

#endif
