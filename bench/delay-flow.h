/*
 * One direction of a delayed connection: bytes that were read from one socket and may be written to
 * the other when their time has come. Owns its buffer, not the sockets. One thread.
 */
#ifndef DLFUSE_BENCH_DELAY_FLOW_H
#define DLFUSE_BENCH_DELAY_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes up to a position of the stream that may leave from due_ns on (CLOCK_MONOTONIC). */
struct stamp {
    uint64_t position;
    uint64_t due_ns;
};

/*
 * As many groups of bytes are told apart on their way. What is read within a grain of the one
 * before goes with it; more are not read until one has left.
 */
#define FLOW_STAMPS 1024

struct flow {
    uint8_t *ring;
    size_t ring_bytes;
    uint64_t in, released, out; /* positions in the stream: out <= released <= in */
    struct stamp stamps[FLOW_STAMPS];
    unsigned first, count;
    uint64_t delay_ns;
    uint64_t grain_ns;      /* how much earlier than its time a byte may leave */
    uint64_t not_before_ns; /* what is read earlier counts as read then */
    bool ended;             /* the source has sent its last byte */
    bool closed;            /* and that was passed on */
};

enum flow_result {
    FLOW_OK,     /* went as far as possible: the socket would block, the ring is full or empty */
    FLOW_BROKEN, /* the socket failed: the connection is over */
};

/* The buffer takes address space at once and memory when it is used. 0 or -ENOMEM. */
int flow_open(struct flow *flow, size_t ring_bytes, uint64_t delay_ns, uint64_t not_before_ns);
void flow_close(struct flow *flow);

/*
 * Reads what the non-blocking socket has, as long as there is room. *readable becomes false when it
 * has no more.
 */
enum flow_result flow_read(struct flow *flow, int fd, uint64_t now_ns, bool *readable);

/*
 * Writes what is due to the non-blocking socket, the end of the stream too. *writable becomes false
 * when it takes no more.
 */
enum flow_result flow_write(struct flow *flow, int fd, uint64_t now_ns, bool *writable);

/* When the next bytes are due; UINT64_MAX when none are on their way. */
uint64_t flow_due_ns(const struct flow *flow);

#endif
