/*
 * The policy is pure; the thread asks for the numbers, and tells the image. lock guards closing.
 * MemAvailable and not the pressure stall files (PSI): these say that something waits for memory,
 * and a kernel may come without them.
 */
#include "fuse/pressure.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/log.h"
#include "fuse/util.h"

#define MIB ((uint64_t)1 << 20)

/* The memory that should stay available: a part of all, between bounds. */
#define SPARE_PART 32
#define SPARE_LEAST (32 * MIB)
#define SPARE_MOST (256 * MIB)

/* With less the node would fetch the same again all the time. */
#define LIMIT_LEAST (16 * MIB)

/* A limit is not raised for less. */
#define RAISE_LEAST (8 * MIB)

#define LOOK_EVERY_MS 200

struct dlf_pressure {
    int meminfo_fd;
    struct dlf_image *image;
    uint64_t most_bytes;
    uint64_t data_bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closing;
};

/* "KEY:   123 kB" somewhere in the text. */
static bool find_kib(const char *text, const char *key, uint64_t *bytes)
{
    const char *line = strstr(text, key);
    uint64_t kib;
    if (!line || sscanf(line + strlen(key), "%" SCNu64, &kib) != 1 || kib > UINT64_MAX >> 10)
        return false;
    *bytes = kib << 10;
    return true;
}

bool dlf_memory_parse(struct dlf_memory *memory, const char *text)
{
    return find_kib(text, "MemTotal:", &memory->total_bytes) &&
           find_kib(text, "MemAvailable:", &memory->available_bytes);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t spare_of(const struct dlf_memory *m)
{
    uint64_t part = least(m->total_bytes / SPARE_PART, SPARE_MOST);
    return part > SPARE_LEAST ? part : SPARE_LEAST;
}

static uint64_t lowered(const struct dlf_holding *h, uint64_t missing)
{
    uint64_t floor = least(LIMIT_LEAST, h->most_bytes);
    uint64_t to =
        h->held_bytes > floor && h->held_bytes - floor > missing ? h->held_bytes - missing : floor;
    return least(to, h->limit_bytes);
}

static uint64_t raised(const struct dlf_holding *h, uint64_t room)
{
    uint64_t to = h->held_bytes + room;
    if (to >= least(h->most_bytes, h->data_bytes))
        return h->most_bytes;
    return to >= h->limit_bytes + RAISE_LEAST ? to : h->limit_bytes;
}

uint64_t dlf_pressure_limit(const struct dlf_memory *m, const struct dlf_holding *h)
{
    uint64_t spare = spare_of(m);
    if (m->available_bytes < spare)
        return lowered(h, spare - m->available_bytes);
    if (m->available_bytes > 2 * spare && h->limit_bytes < h->most_bytes)
        return raised(h, m->available_bytes - 2 * spare);
    return h->limit_bytes;
}

static bool ask_memory(const struct dlf_pressure *p, struct dlf_memory *memory)
{
    char text[512]; /* both are among the first lines */
    ssize_t n = pread(p->meminfo_fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return false;
    text[n] = 0;
    return dlf_memory_parse(memory, text);
}

/* Once when it begins to give back, and once when it has all again. */
static void say(const struct dlf_pressure *p, const struct dlf_memory *m, uint64_t before,
                uint64_t now)
{
    if (before == p->most_bytes)
        dlf_warn("only %" PRIu64 " MiB of memory are available: the image holds %" PRIu64
                 " MiB at most and stays lazy until there is more",
                 m->available_bytes / MIB, now / MIB);
    else if (now == p->most_bytes)
        dlf_info("%" PRIu64 " MiB of memory are available again: the image may take what it needs",
                 m->available_bytes / MIB);
}

/* One look. False when it was the last. */
static bool look(struct dlf_pressure *p)
{
    struct dlf_image_stats stats;
    struct dlf_memory memory;
    dlf_image_stats(p->image, &stats);
    if (stats.complete)
        return false;
    if (!ask_memory(p, &memory))
        return true;
    struct dlf_holding holding = {
        .held_bytes = stats.cache.held_bytes,
        .limit_bytes = stats.cache.limit_bytes,
        .most_bytes = p->most_bytes,
        .data_bytes = p->data_bytes,
    };
    uint64_t limit = dlf_pressure_limit(&memory, &holding);
    if (limit == holding.limit_bytes)
        return true;
    if (!dlf_image_set_limit(p->image, limit))
        return false;
    say(p, &memory, holding.limit_bytes, limit);
    return true;
}

static void *watch_thread(void *cookie)
{
    struct dlf_pressure *p = cookie;
    pthread_mutex_lock(&p->lock);
    while (!p->closing) {
        pthread_mutex_unlock(&p->lock);
        bool more = look(p);
        uint64_t until_ms = dlf_now_ms() + LOOK_EVERY_MS;
        pthread_mutex_lock(&p->lock);
        if (!more)
            break;
        if (!p->closing)
            dlf_cond_wait(&p->changed, &p->lock, until_ms);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void free_all(struct dlf_pressure *p)
{
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    if (p->meminfo_fd >= 0)
        close(p->meminfo_fd);
    free(p);
}

struct dlf_pressure *dlf_pressure_new(int meminfo_fd, struct dlf_image *image, uint64_t most_bytes,
                                      uint64_t data_bytes)
{
    struct dlf_memory memory;
    struct dlf_pressure *p = calloc(1, sizeof(*p));
    if (!p) {
        if (meminfo_fd >= 0)
            close(meminfo_fd);
        return NULL;
    }
    p->meminfo_fd = meminfo_fd;
    p->image = image;
    p->most_bytes = most_bytes;
    p->data_bytes = data_bytes;
    pthread_mutex_init(&p->lock, NULL);
    dlf_cond_init(&p->changed);
    if (!ask_memory(p, &memory) || pthread_create(&p->thread, NULL, watch_thread, p) != 0) {
        dlf_warn("how much memory is available is not known here: it is not watched");
        free_all(p);
        return NULL;
    }
    return p;
}

void dlf_pressure_free(struct dlf_pressure *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    free_all(p);
}
