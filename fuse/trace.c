/* The log of events in memory and its text. lock guards everything but `seen`, which is atomic. */
#include "fuse/trace.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuse/util.h"

/* 3 MiB when full: twice as many chunks as a boot pack can name. */
#define EVENTS_MAX ((size_t)1 << 17)

/* The events that were recorded of a chunk. */
#define SEEN_TOUCH 1
#define SEEN_FETCH 2

/* Bytes of content between two lines about the fill. */
#define FILL_STEP ((uint64_t)1 << 20)

struct event {
    uint64_t us;
    uint32_t chunk;    /* an index has fewer than 2^32 records (format/limits.h) */
    uint32_t asked_us; /* FETCH: how long before us; FILL: bytes */
    uint8_t kind;      /* enum dlf_trace_kind */
    uint8_t class;     /* enum dlf_trace_class */
};

struct dlf_trace {
    uint64_t start_us;
    _Atomic uint8_t *seen; /* one for each chunk */

    pthread_mutex_t lock;
    struct event *events;
    size_t count;
    size_t room;
    uint64_t filled; /* bytes since the last line about the fill */
    bool marked[DLF_TRACE_END + 1];
};

struct dlf_trace *dlf_trace_new(uint64_t chunks, uint64_t start_us)
{
    struct dlf_trace *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->start_us = start_us;
    t->seen = calloc((size_t)chunks + 1, sizeof(*t->seen));
    pthread_mutex_init(&t->lock, NULL);
    if (!t->seen) {
        dlf_trace_free(t);
        return NULL;
    }
    return t;
}

void dlf_trace_free(struct dlf_trace *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t->seen);
    free(t->events);
    free(t);
}

/* Appends an event of now, unless there is no room: a trace is not worth failing for. */
static void append_locked(struct dlf_trace *t, struct event event)
{
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 1024;
        struct event *more = room <= EVENTS_MAX ? realloc(t->events, room * sizeof(*more)) : NULL;
        if (!more)
            return;
        t->events = more;
        t->room = room;
    }
    event.us = dlf_now_us() - t->start_us;
    t->events[t->count++] = event;
}

/* True the first time. */
static bool first_time(struct dlf_trace *t, uint64_t chunk, uint8_t what)
{
    if (atomic_load_explicit(&t->seen[chunk], memory_order_relaxed) & what)
        return false;
    return !(atomic_fetch_or_explicit(&t->seen[chunk], what, memory_order_relaxed) & what);
}

void dlf_trace_touch(struct dlf_trace *t, uint64_t chunk)
{
    if (!first_time(t, chunk, SEEN_TOUCH))
        return;
    pthread_mutex_lock(&t->lock);
    append_locked(t, (struct event){.kind = DLF_TRACE_TOUCH, .chunk = (uint32_t)chunk});
    pthread_mutex_unlock(&t->lock);
}

void dlf_trace_fetch(struct dlf_trace *t, uint64_t chunk, enum dlf_trace_class class,
                     uint64_t asked_us)
{
    uint64_t ago = dlf_now_us() - asked_us;
    if (!first_time(t, chunk, SEEN_FETCH))
        return;
    pthread_mutex_lock(&t->lock);
    append_locked(t, (struct event){.kind = DLF_TRACE_FETCH,
                                    .chunk = (uint32_t)chunk,
                                    .class = (uint8_t) class,
                                    .asked_us = ago < UINT32_MAX ? (uint32_t)ago : UINT32_MAX});
    pthread_mutex_unlock(&t->lock);
}

static void flush_fill_locked(struct dlf_trace *t)
{
    if (!t->filled)
        return;
    append_locked(t, (struct event){.kind = DLF_TRACE_FILL, .asked_us = (uint32_t)t->filled});
    t->filled = 0;
}

void dlf_trace_fill(struct dlf_trace *t, uint32_t bytes)
{
    pthread_mutex_lock(&t->lock);
    t->filled += bytes;
    if (t->filled >= FILL_STEP)
        flush_fill_locked(t);
    pthread_mutex_unlock(&t->lock);
}

void dlf_trace_mark(struct dlf_trace *t, enum dlf_trace_kind kind)
{
    pthread_mutex_lock(&t->lock);
    flush_fill_locked(t);
    if (!t->marked[kind])
        append_locked(t, (struct event){.kind = (uint8_t)kind});
    t->marked[kind] = true;
    pthread_mutex_unlock(&t->lock);
}

/* ---- text ---- */

static int by_chunk(const void *a, const void *b)
{
    const struct event *x = a;
    const struct event *y = b;
    return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

/* The fetches alone, by chunk: how long a touched chunk was waited for. NULL: no memory. */
static struct event *fetches_of(const struct event *events, size_t count, size_t *fetches)
{
    struct event *found = malloc((count + 1) * sizeof(*found));
    *fetches = 0;
    for (size_t i = 0; found && i < count; i++)
        if (events[i].kind == DLF_TRACE_FETCH)
            found[(*fetches)++] = events[i];
    if (found)
        qsort(found, *fetches, sizeof(*found), by_chunk);
    return found;
}

/* A line's values; false for a chunk without its record at hand. */
static bool describe(const struct dlf_pages *pages, const struct event *e,
                     const struct event *fetches, size_t fetch_count, struct dlf_trace_event *line)
{
    struct dlf_record record;
    *line = (struct dlf_trace_event){.kind = (enum dlf_trace_kind)e->kind, .us = e->us};
    if (e->kind == DLF_TRACE_FILL)
        line->bytes = e->asked_us;
    if (e->kind != DLF_TRACE_TOUCH && e->kind != DLF_TRACE_FETCH)
        return true;
    if (!dlf_pages_record(pages, e->chunk, &record))
        return false;
    line->offset = record.offset;
    line->length = record.length;
    line->xxh3 = record.xxh3;
    line->stored_length = record.stored_length;
    line->class = (enum dlf_trace_class)e->class;
    if (e->kind == DLF_TRACE_FETCH) {
        line->asked_us = e->us > e->asked_us ? e->us - e->asked_us : 0;
    } else {
        const struct event *came = bsearch(e, fetches, fetch_count, sizeof(*fetches), by_chunk);
        line->wait_us = came && came->us > e->us ? came->us - e->us : 0;
    }
    return true;
}

/* A copy to work on without the lock. NULL: no memory. */
static struct event *copy_events(struct dlf_trace *t, size_t *count)
{
    pthread_mutex_lock(&t->lock);
    flush_fill_locked(t);
    struct event *copy = malloc((t->count + 1) * sizeof(*copy));
    *count = copy ? t->count : 0;
    for (size_t i = 0; i < *count; i++)
        copy[i] = t->events[i];
    pthread_mutex_unlock(&t->lock);
    return copy;
}

static void put_lines(FILE *out, const struct dlf_pages *pages, const struct event *events,
                      size_t count, const struct event *fetches, size_t fetch_count)
{
    char text[DLF_TRACE_LINE_MAX];
    for (size_t i = 0; i < count; i++) {
        struct dlf_trace_event line;
        if (!describe(pages, &events[i], fetches, fetch_count, &line))
            continue;
        dlf_trace_format_event(&line, text);
        fputs(text, out);
    }
}

char *dlf_trace_text(struct dlf_trace *t, const struct dlf_manifest *manifest,
                     const struct dlf_pages *pages)
{
    struct dlf_trace_head head = {.serial = manifest->serial, .index = manifest->index};
    struct dlf_trace_event end = {.kind = DLF_TRACE_END};
    char text[2 * DLF_TRACE_LINE_MAX];
    char *all = NULL;
    size_t size = 0;
    size_t count = 0;
    size_t fetch_count = 0;
    struct event *events = copy_events(t, &count);
    struct event *fetches = events ? fetches_of(events, count, &fetch_count) : NULL;
    FILE *out = fetches ? open_memstream(&all, &size) : NULL;
    if (out) {
        snprintf(head.name, sizeof(head.name), "%s", manifest->name);
        dlf_trace_format_head(&head, text);
        fputs(text, out);
        put_lines(out, pages, events, count, fetches, fetch_count);
        end.us = dlf_now_us() - t->start_us;
        dlf_trace_format_event(&end, text);
        fputs(text, out);
        if (fclose(out) != 0) {
            free(all);
            all = NULL;
        }
    }
    free(events);
    free(fetches);
    return all;
}
