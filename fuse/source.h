/*
 * The source: HTTP GETs of objects and ranges from one or several mirrors, by libcurl.
 *
 * It belongs to one thread at a time: once there is a scheduler, to the scheduler's. Every function
 * but dlf_source_wake and dlf_source_mirror_stats is called there, and all callbacks run there. A
 * transfer is one attempt at one mirror; the scheduler decides about retries, their mirrors and
 * times. Which mirror is healthy and which one to ask is decided here (mirrors.h).
 *
 * Nothing reaches a data callback before status, Content-Range and Content-Encoding were checked.
 */
#ifndef DLFUSE_FUSE_SOURCE_H
#define DLFUSE_FUSE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/err.h"
#include "fuse/answer.h"
#include "fuse/mirrors.h"
#include "fuse/url.h"

struct dlf_source;

/* Milliseconds without a byte after which a transfer is given up, unless a shorter time is set. */
#define DLF_STALL_MS 10000

struct dlf_mirror_stats {
    char base[DLF_URL_MAX]; /* ends in '/', without credentials */
    bool down;
    uint64_t down_ms;    /* for how long it is left alone from now on */
    uint64_t latency_us; /* round trip, smoothed; 0: not known */
    uint64_t requests;
    uint64_t failures;
    uint64_t failovers;  /* failures after which another mirror was up */
    uint64_t recoveries; /* times that it answered again */
    uint64_t told_waits; /* answers with Retry-After */
    uint64_t bytes;      /* of bodies received */
};

/* The measurements of the network so far; 0: not known yet. */
struct dlf_pace {
    uint64_t rtt_us;      /* from a request on a standing connection to its first byte */
    uint64_t answer_us;   /* the same as of late: more than rtt_us where requests wait in line */
    uint64_t bytes_per_s; /* of all transfers together, while bytes were coming */
};

/* Bytes a second that are assumed of a network that was never full: half of 1 Gbit/s. */
#define DLF_RATE_UNKNOWN ((uint64_t)62500000)

static inline uint64_t dlf_pace_rate(const struct dlf_pace *pace)
{
    return pace->bytes_per_s ? pace->bytes_per_s : DLF_RATE_UNKNOWN;
}

/* Bytes that are under way when the network is full, as far as is known or assumed. */
static inline uint64_t dlf_pace_under_way(const struct dlf_pace *pace)
{
    return dlf_pace_rate(pace) * pace->rtt_us / 1000000;
}

/* One attempt. The caller owns it and keeps it until done was called, exactly once. */
struct dlf_get {
    const char *path; /* below the mirror's base */
    uint64_t offset;
    uint64_t length; /* bytes of the range; 0: the whole object, of at most limit bytes */
    uint64_t limit;

    /*
     * Not NULL, and length 0: a plain file, from offset to its end. The answer must state the
     * file's size; *plain is written before data gets the first byte. if_range: the validator of
     * the bytes that were fetched before, NULL for none. When offset is not 0 and the file has
     * changed since, or the server does not support ranges, the bytes come from the file's start.
     */
    struct dlf_plain_file *plain;
    const char *if_range;

    /*
     * Body bytes and where in the object they lie. Returning false ends the transfer with
     * -ECANCELED. Where a range was asked for and the server sends the whole object, which it may
     * (RFC 9110, 14.2), whole is set, and data gets all of the object until it returns false.
     */
    bool (*data)(struct dlf_get *get, uint64_t offset, const uint8_t *bytes, size_t size);

    /*
     * 0: all that was asked for has passed through data. -ENOENT: the mirror says that there is no
     * such object. -EBADMSG: an answer that does not fit the question. -EIO: no or a broken answer.
     * -ECANCELED: data said so. err says more when rc is not 0. May start the next transfer.
     */
    void (*done)(struct dlf_get *get, int rc, const struct dlf_err *err);

    bool fresh;      /* on a new connection: the open ones may all be dead */
    bool whole;      /* set before data gets the first byte */
    bool slow;       /* set before done: it was ended for being too slow */
    unsigned mirror; /* set by dlf_source_start */
};

struct dlf_source_config {
    const char *const *bases; /* mirrors' URLs, each ending in '/', or that and a query, which
                                 all of its requests get */
    unsigned count;
    unsigned most;          /* transfers at a time */
    unsigned stall_ms;      /* a transfer with no byte for so long is ended */
    const char *probe_path; /* a small object that every mirror has; NULL: no probes */
    const char *proxy;      /* NULL: as the environment says */
    const char *ca;         /* PEM certificates that are trusted; NULL: the system's */
    size_t ca_size;
    /* Sent to the bases' own servers only, NULL-terminated. NULL: none. */
    const char *const *header_lines;
};

/* Can certificates be given? An old libcurl takes none but from files. */
bool dlf_source_takes_ca(void);

/* Copies everything. NULL when out of memory, or a base is no URL of a server. */
struct dlf_source *dlf_source_new(const struct dlf_source_config *config);

/*
 * A further mirror, behind the others. private: it gets the header lines too. False when there are
 * DLF_MIRRORS_MAX already, or base is no URL of a server. Before any other part of the program
 * knows the source.
 */
bool dlf_source_add_mirror(struct dlf_source *source, const char *base, bool private);

/* Is base one of them? */
bool dlf_source_has_mirror(const struct dlf_source *source, const char *base);

/* DLF_MIRRORS_MAX mirrors are there. */
bool dlf_source_full(const struct dlf_source *source);

/* Ends all transfers without calling done. */
void dlf_source_free(struct dlf_source *source);

/* One bit for each mirror. */
uint32_t dlf_source_all(const struct dlf_source *source);

/* Bits of the mirrors that are left alone for the time being. Any thread. */
uint32_t dlf_source_down(const struct dlf_source *source);

/* As dlf_mirrors_choose. */
int dlf_source_choose(struct dlf_source *source, uint32_t avoid, uint64_t *when_ms);

/*
 * Did the mirror's last answer to a range bring the whole object? A server without ranges answers
 * each one so; a cache may do it only for objects that it lacks. So this tells whether a second
 * request may cost a whole object; it does not foretell the next answer.
 */
bool dlf_source_sends_whole(const struct dlf_source *source, unsigned mirror);

/* False when most transfers are running. */
bool dlf_source_free_slot(const struct dlf_source *source);

/* Begins get at mirror. Needs a free slot. -ENOMEM, or -EIO when curl refuses; then no callback. */
int dlf_source_start(struct dlf_source *source, struct dlf_get *get, unsigned mirror);

/*
 * When the question of get, which runs, went out (dlf_now_us): names are looked up, a connection
 * stands and has its TLS by then. 0: not yet.
 */
uint64_t dlf_source_sent_us(const struct dlf_source *source, const struct dlf_get *get);

/*
 * Ends get, which runs, because another one was quicker: done gets -ECANCELED. silent: it had
 * brought nothing for long, and its mirror is to blame for that. Not from within a callback. False,
 * and it goes on, while its mirror's name is looked up and libcurl (before 7.87) would wait for
 * that.
 */
bool dlf_source_cancel(struct dlf_source *source, const struct dlf_get *get, bool silent);

/* Moves bytes and calls callbacks; waits up to timeout_ms when there is nothing to do. */
void dlf_source_poll(struct dlf_source *source, unsigned timeout_ms);

/*
 * GETs a whole object without a digest to check it against (the manifest), into out, which has room
 * bytes. Blocks. Tries one mirror, none of *tried's, and adds it to *tried; so repeated calls ask
 * them all. Returns its length; -ENOENT, -EBADMSG or -EIO as done gets them; -EAGAIN when none was
 * left to try, *mirror and err untouched. Only while no other transfer runs.
 */
int64_t dlf_source_get_whole(struct dlf_source *source, const char *path, uint32_t *tried,
                             unsigned *mirror, uint8_t *out, size_t room, struct dlf_err *err);

/* Counts a failure that only the caller can see: the mirror's bytes have the wrong digest. */
void dlf_source_blame(struct dlf_source *source, unsigned mirror);

/*
 * From now on the log says when a mirror stops and starts answering. Before, failures only come
 * back as results: a program that is about to fail reports them itself. Any thread.
 */
void dlf_source_announce(struct dlf_source *source);

/* Makes a running or the next dlf_source_poll return. Any thread. */
void dlf_source_wake(struct dlf_source *source);

/* Closes all connections, for good: nothing may be started any more. No transfer may be running. */
void dlf_source_close(struct dlf_source *source);

/* Any thread. */
void dlf_source_pace(const struct dlf_source *source, struct dlf_pace *pace);

/* A mirror's URL without credentials; the source's own. Any thread. */
const char *dlf_source_mirror_base(const struct dlf_source *source, unsigned index);

/* Any thread. index: of a bit of dlf_source_all. */
void dlf_source_mirror_stats(const struct dlf_source *source, unsigned index,
                             struct dlf_mirror_stats *stats);

/* Process-wide set-up: TLS, and the resolver's libraries while they can still be opened. */
int dlf_source_global_init(struct dlf_err *err);

#endif
