/*
 * A source without a network, for the scheduler's tests: it records the requests and answers each
 * as the test has scripted. Its object "pack/..." has byte i equal to fake_byte(i).
 */
#ifndef DLFUSE_TESTS_FAKE_SOURCE_H
#define DLFUSE_TESTS_FAKE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse/source.h"

enum fake_answer {
    FAKE_OK,      /* the range */
    FAKE_WHOLE,   /* the object from its first byte on, as a server without ranges */
    FAKE_BROKEN,  /* half of the range, then the connection breaks */
    FAKE_FLIPPED, /* the range with one wrong byte, its first */
    FAKE_MISSING,
};

struct fake_request {
    uint64_t offset;
    uint64_t length;
    unsigned mirror;
};

#define FAKE_REQUESTS_MAX 256

/* Bytes of each object that is sent whole. */
#define FAKE_OBJECT_SIZE ((uint64_t)64 * 4096)

/* held: no request is answered until it is false. */
struct dlf_source *fake_source_new(unsigned mirrors);
void fake_hold(struct dlf_source *source, bool held);

/* Requests number first to last, counted from 0, get no answer until fake_speak. fake_cancelled
 * counts the cancelled ones. */
void fake_silent(struct dlf_source *source, unsigned first, unsigned last);
void fake_speak(struct dlf_source *source, unsigned number);
unsigned fake_cancelled(struct dlf_source *source);

/* From now on each poll sends so many bytes of one request; after drops polls the source is held.
 */
void fake_drip(struct dlf_source *source, uint64_t bytes, unsigned drops);

/* Sets the source's measurements; at first they are unknown. */
void fake_pace(struct dlf_source *source, uint64_t rtt_us, uint64_t bytes_per_s);

/* Sets the time to connect: each request goes out that much later. */
void fake_connect_time(struct dlf_source *source, uint64_t us);

/* Sets the recent answer time; fake_pace sets it to the round trip. */
void fake_answer_time(struct dlf_source *source, uint64_t answer_us);

/* The answers of a mirror, in order; after the last of count, FAKE_OK. */
void fake_script(struct dlf_source *source, unsigned mirror, const enum fake_answer *answers,
                 unsigned count);

/* Copies the requests so far; returns their number. */
unsigned fake_requests(struct dlf_source *source, struct fake_request *out);

uint8_t fake_byte(uint64_t offset);

#endif
