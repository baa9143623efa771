/*
 * The measure of a network: how long a round trip takes, how many bytes a second come.
 *
 * One thread measures, any may ask.
 */
#ifndef DLFUSE_FUSE_METER_H
#define DLFUSE_FUSE_METER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: nothing is known. */
struct dlf_meter {
    atomic_uint_fast64_t rtt_us;      /* the least seen, forgotten slowly */
    atomic_uint_fast64_t answer_us;   /* the same, smoothed: inflated where the network is full */
    atomic_uint_fast64_t bytes_per_s; /* the most seen, forgotten slowly */
    uint64_t begin_us;                /* of the stretch in which bytes keep coming */
    uint64_t last_us;                 /* when bytes came last */
    uint64_t bytes;                   /* since begin_us, without the first ones */
};

/* A request's first byte came so long after it was sent. */
void dlf_meter_round_trip(struct dlf_meter *meter, uint64_t us);

/* Bytes came now. Only stretches in which they keep coming say something about bandwidth. */
void dlf_meter_bytes(struct dlf_meter *meter, size_t size);

#endif
