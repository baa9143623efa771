/*
 * Time, random jitter and small arithmetic that every layer of the node uses. No state.
 */
#ifndef DLFUSE_FUSE_UTIL_H
#define DLFUSE_FUSE_UTIL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

/* The object of that type with its member at pointer: callbacks get the member's address. */
#define DLF_CONTAINER(type, member, pointer)                                                       \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Microseconds of CLOCK_MONOTONIC. */
static inline uint64_t dlf_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static inline uint64_t dlf_now_ms(void)
{
    return dlf_now_us() / 1000;
}

/*
 * A condition for dlf_cond_wait. Its time is that of dlf_now_ms: while a machine boots, its clock
 * is set, by hours maybe, and a wait by that clock is too long or none at all.
 */
static inline void dlf_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/* Waits for cond, lock being held, until dlf_now_ms is until_ms: then false. It may come back
 * sooner for nothing, as pthread_cond_wait does. */
static inline bool dlf_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until_ms)
{
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}

/* Random enough for jitter; 0 to below - 1. below is at least 1. */
static inline uint64_t dlf_random_below(uint64_t below)
{
    uint32_t dice = 0;
    if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) != (ssize_t)sizeof(dice))
        dice = (uint32_t)dlf_now_us() * 2654435761u; /* early boot: the clock will do */
    return dice % below;
}

/*
 * The wait before try number round (0 is the first retry): doubles from 250 ms to 5 s, then a
 * random half of it is taken away, so that a fleet does not come back in step. A machine may lose 5
 * s after its server is back.
 */
static inline uint64_t dlf_backoff_ms(unsigned round)
{
    uint64_t wait = round < 5 ? (uint64_t)250 << round : 5000;
    if (wait > 5000)
        wait = 5000;
    return wait / 2 + dlf_random_below(wait / 2 + 1);
}

#endif
