/*
 * The buffer is a ring of bytes with positions that only grow. Beside it lies a ring of stamps: up
 * to which position bytes may leave, and when. Stamps pass in order, because the delay is one
 * number and the clock does not go back. When nothing is under way the positions begin at 0 again,
 * so that a connection that carries little touches little memory.
 */
#include "delay-flow.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* The most that one system call moves: it stays in the processor's second cache. */
#define TURN_BYTES (256u << 10)

/* Bytes may leave early by this part of their delay, 50 us at most. */
#define GRAIN_PART 64
#define GRAIN_MAX_NS 50000u

int flow_open(struct flow *flow, size_t ring_bytes, uint64_t delay_ns, uint64_t not_before_ns)
{
    void *ring = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ring == MAP_FAILED)
        return -ENOMEM;
    memset(flow, 0, sizeof(*flow));
    flow->ring = ring;
    flow->ring_bytes = ring_bytes;
    flow->delay_ns = delay_ns;
    flow->grain_ns = delay_ns / GRAIN_PART < GRAIN_MAX_NS ? delay_ns / GRAIN_PART : GRAIN_MAX_NS;
    flow->not_before_ns = not_before_ns;
    return 0;
}

void flow_close(struct flow *flow)
{
    if (flow->ring)
        munmap(flow->ring, flow->ring_bytes);
    flow->ring = NULL;
}

uint64_t flow_due_ns(const struct flow *flow)
{
    return flow->count ? flow->stamps[flow->first].due_ns : UINT64_MAX;
}

static bool has_room(const struct flow *flow)
{
    return flow->count < FLOW_STAMPS && flow->in - flow->out < flow->ring_bytes;
}

static void add_stamp(struct flow *flow, uint64_t now_ns)
{
    uint64_t from_ns = now_ns > flow->not_before_ns ? now_ns : flow->not_before_ns;
    uint64_t due_ns = from_ns + flow->delay_ns;
    struct stamp *last = &flow->stamps[(flow->first + flow->count - 1) % FLOW_STAMPS];

    if (flow->count == 0 || due_ns - last->due_ns > flow->grain_ns) {
        last = &flow->stamps[(flow->first + flow->count) % FLOW_STAMPS];
        last->due_ns = due_ns;
        flow->count++;
    }
    last->position = flow->in;
}

/* The length of the run that begins at a position and neither wraps nor exceeds the most of a turn.
 */
static size_t run_bytes(const struct flow *flow, uint64_t position, uint64_t end)
{
    size_t bytes = flow->ring_bytes - position % flow->ring_bytes;
    if (end - position < bytes)
        bytes = end - position;
    return bytes < TURN_BYTES ? bytes : TURN_BYTES;
}

enum flow_result flow_read(struct flow *flow, int fd, uint64_t now_ns, bool *readable)
{
    while (*readable && !flow->ended && has_room(flow)) {
        size_t bytes = run_bytes(flow, flow->in, flow->out + flow->ring_bytes);
        ssize_t got = recv(fd, flow->ring + flow->in % flow->ring_bytes, bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno != EAGAIN)
            return FLOW_BROKEN;
        if (got < 0) {
            *readable = false;
            break;
        }
        flow->in += (uint64_t)got;
        flow->ended = got == 0;
        add_stamp(flow, now_ns);
    }
    return FLOW_OK;
}

static void release(struct flow *flow, uint64_t now_ns)
{
    while (flow->count && flow->stamps[flow->first].due_ns <= now_ns) {
        flow->released = flow->stamps[flow->first].position;
        flow->first = (flow->first + 1) % FLOW_STAMPS;
        flow->count--;
    }
}

enum flow_result flow_write(struct flow *flow, int fd, uint64_t now_ns, bool *writable)
{
    release(flow, now_ns);
    while (*writable && flow->out < flow->released) {
        size_t bytes = run_bytes(flow, flow->out, flow->released);
        ssize_t put = send(fd, flow->ring + flow->out % flow->ring_bytes, bytes, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno != EAGAIN)
            return FLOW_BROKEN;
        if (put < 0)
            *writable = false;
        else
            flow->out += (uint64_t)put;
    }
    if (flow->count == 0 && flow->out == flow->in) {
        flow->in = flow->out = flow->released = 0;
        if (flow->ended && !flow->closed) {
            shutdown(fd, SHUT_WR);
            flow->closed = true;
        }
    }
    return FLOW_OK;
}
