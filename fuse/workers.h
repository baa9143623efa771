/*
 * A few threads that take work off another thread's hands. They know nothing about the work.
 *
 * The line of waiting work is short: a giver that finds it full does the work itself, so nothing
 * piles up, and a machine with one processor, which has no such threads, works the same.
 */
#ifndef DLFUSE_FUSE_WORKERS_H
#define DLFUSE_FUSE_WORKERS_H

#include <stdbool.h>

struct dlf_workers;

/* Embedded in the object of the work; the giver's until run is called, then run's. */
struct dlf_work {
    /* place: 1 to the number of threads; two calls at a time never have the same. */
    void (*run)(struct dlf_work *work, unsigned place);
    struct dlf_work *next; /* the line's own */
};

/* Threads that pay on this machine: one processor is left to the giver. 0 with one processor. */
unsigned dlf_workers_count(void);

/*
 * Starts count threads; 0 is allowed. NULL when out of memory; threads that cannot be started are
 * done without.
 */
struct dlf_workers *dlf_workers_new(unsigned count);

/* False: dlf_workers_give would refuse, so the caller need not prepare for it. */
bool dlf_workers_have_room(struct dlf_workers *workers);

/* False when there is no thread or the line is full: then the work is still the caller's. */
bool dlf_workers_give(struct dlf_workers *workers, struct dlf_work *work);

/*
 * Finishes the work that was given and ends the threads. Nothing may be given during or after it.
 */
void dlf_workers_free(struct dlf_workers *workers);

#endif
