/*
 * Included by the source's files only: source.c (libcurl), source_mirrors.c (the list of mirrors),
 * source_watch.c (the health of mirrors and transfers), source_whole.c (a whole object at once).
 * Only source.c includes libcurl's header: its handles are void here.
 *
 * All of it belongs to the source's thread, except atomic fields.
 */
#ifndef DLFUSE_FUSE_SOURCE_PRIVATE_H
#define DLFUSE_FUSE_SOURCE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "fuse/answer.h"
#include "fuse/meter.h"
#include "fuse/mirrors.h"
#include "fuse/sockets.h"
#include "fuse/source.h"
#include "fuse/url.h"

/* A mirror's address. */
struct place {
    char *base;  /* the URL without credentials, ends in '/' */
    char *query; /* behind each request's path: "", or '?' and a secret, perhaps */
    struct dlf_url url;
    char address[64];   /* where it was last reached */
    bool resolve_again; /* the address that libcurl remembers did not help */
    bool private;       /* gets the header lines */
    unsigned
        silences; /* in a row, since it answered last: of transfers that were ended for that, */
    uint64_t silent_ms; /* time of the last one; transfers begun before are a part of it */
    bool sends_whole;   /* its last answer to a range brought the whole object */
    uint64_t said_ms;   /* when the log spoke of failures last; 0: never */
    bool said_down;     /* and has not said yet that it answers again */
};

/* A running attempt, or an idle handle kept for the next one (get is NULL). */
struct transfer {
    struct dlf_source *source;
    struct dlf_get *get;
    void *easy;    /* CURL */
    void *resolve; /* struct curl_slist */
    void *headers; /* the same: of the request, where it has one of its own; else the source's */
    struct dlf_answer answer;
    uint64_t position; /* offset in the object of the next body byte */
    bool checked;      /* status and headers are right */
    bool whole;        /* all of the object is coming, though a range was asked for */
    bool satisfied;    /* the range that was asked for has passed */
    bool probe;
    bool slow;   /* ended for that */
    bool beaten; /* ended because another one was quicker */
    bool silent; /* and for long */
    bool trial;  /* see dlf_mirrors_began */
    bool pinned; /* to the mirror's last known address */
    unsigned hops;
    uint64_t begun_ms;
    uint64_t request_us;    /* when its present request was begun */
    uint64_t bytes;         /* of bodies */
    uint64_t last_ms;       /* when bytes came last */
    unsigned patience;      /* the source's when it began: the transfer is judged by that */
    uint64_t window_ms;     /* the speed is measured since then, */
    uint64_t window_bytes;  /* with so many bytes, */
    uint64_t earlier_ms;    /* and so long before it, */
    uint64_t earlier_bytes; /* with so many */
    int rc;                 /* why the write callback ended the transfer; 0 if it did not */
    struct dlf_err err;
    char curl_error[256]; /* CURL_ERROR_SIZE */
};

struct dlf_source {
    pthread_mutex_t wake_lock; /* guards multi against going away under dlf_source_wake */
    void *multi;               /* CURLM; NULL when closed */
    struct dlf_mirrors mirrors;
    struct place places[DLF_MIRRORS_MAX];
    struct dlf_get probes[DLF_MIRRORS_MAX];
    char *probe_path;
    char *proxy;
    char *ca; /* PEM */
    size_t ca_size;
    void *headers; /* struct curl_slist */
    unsigned most;
    unsigned running; /* without probes */
    unsigned stall_ms;
    unsigned patience; /* too slow transfers, less fast ones */
    uint64_t watched_ms;
    bool look_for_probes;
    bool waits_for_look_ups; /* the end of a transfer does: libcurl is older than 7.87 */
    atomic_bool announces;
    struct transfer *transfers; /* most of them, and one for each probe */
    unsigned transfer_count;
    struct dlf_sockets sockets;
    struct dlf_meter meter;
};

/* Begins an attempt. A probe needs no free slot. As dlf_source_start. */
int dlf_transfer_start(struct dlf_source *source, struct dlf_get *get, unsigned mirror, bool probe);

/* Ends a transfer that is running, with rc and t->err. */
void dlf_transfer_end(struct transfer *t, int rc);

/* An answer that fits begins to come. */
void dlf_transfer_answered(struct transfer *t, uint64_t rtt_us);

/* Counts the transfer's result towards the mirrors' health. */
void dlf_transfer_mark(struct transfer *t, int rc);

/* Begins to measure t's speed. */
void dlf_transfer_watch(struct transfer *t);

/* Ends transfers that are too slow. */
void dlf_source_watch(struct dlf_source *source);

/* Sends the probes that are due, so that no reader has to wait for the mirrors' answers. */
void dlf_source_probe(struct dlf_source *source);

#endif
