/*
 * Implements fuse/source.h in memory. Requests are answered in dlf_source_poll, in order, each at
 * once; with a drip, a little of each in turn.
 */
#include "fake_source.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/util.h"

#define RUNNING_MAX 16
#define ANSWERS_MAX 16

struct dlf_source {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
    bool held;
    unsigned mirrors;
    struct fake_request requests[FAKE_REQUESTS_MAX];
    unsigned request_count;
    enum fake_answer answers[DLF_MIRRORS_MAX][ANSWERS_MAX];
    unsigned answer_count[DLF_MIRRORS_MAX];
    unsigned answered[DLF_MIRRORS_MAX];
    struct dlf_pace pace;
    uint64_t connect_us; /* before each question goes out */
    uint64_t drip;       /* bytes of a request that are sent at a time; 0: all */
    unsigned drops;      /* then it is held; 0: never */
    bool sends_whole[DLF_MIRRORS_MAX];
    bool silent[FAKE_REQUESTS_MAX];
    unsigned cancelled;

    /* Owned by the polling thread. */
    struct running {
        struct dlf_get *get;
        unsigned number; /* of the request */
        uint64_t begun_us;
        uint64_t sent; /* bytes, with a drip */
        bool whole;    /* sent: from the object's first byte */
    } running[RUNNING_MAX];
    unsigned running_count;
};

uint8_t fake_byte(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

struct dlf_source *fake_source_new(unsigned mirrors)
{
    struct dlf_source *s = calloc(1, sizeof(*s));
    if (!s)
        abort();
    pthread_mutex_init(&s->lock, NULL);
    dlf_cond_init(&s->changed);
    s->mirrors = mirrors;
    return s;
}

void fake_hold(struct dlf_source *s, bool held)
{
    pthread_mutex_lock(&s->lock);
    s->held = held;
    pthread_mutex_unlock(&s->lock);
    dlf_source_wake(s);
}

void fake_script(struct dlf_source *s, unsigned mirror, const enum fake_answer *answers,
                 unsigned count)
{
    pthread_mutex_lock(&s->lock);
    memcpy(s->answers[mirror], answers, count * sizeof(*answers));
    s->answer_count[mirror] = count;
    s->answered[mirror] = 0;
    pthread_mutex_unlock(&s->lock);
}

void fake_silent(struct dlf_source *s, unsigned first, unsigned last)
{
    pthread_mutex_lock(&s->lock);
    for (unsigned i = first; i <= last; i++)
        s->silent[i] = true;
    pthread_mutex_unlock(&s->lock);
}

void fake_speak(struct dlf_source *s, unsigned number)
{
    pthread_mutex_lock(&s->lock);
    s->silent[number] = false;
    pthread_mutex_unlock(&s->lock);
    dlf_source_wake(s);
}

unsigned fake_cancelled(struct dlf_source *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->cancelled;
    pthread_mutex_unlock(&s->lock);
    return n;
}

unsigned fake_requests(struct dlf_source *s, struct fake_request *out)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->request_count;
    memcpy(out, s->requests, n * sizeof(*out));
    pthread_mutex_unlock(&s->lock);
    return n;
}

void dlf_source_free(struct dlf_source *s)
{
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s);
}

void dlf_source_close(struct dlf_source *s)
{
    s->running_count = 0;
}

uint32_t dlf_source_all(const struct dlf_source *s)
{
    return ((uint32_t)1 << s->mirrors) - 1;
}

int dlf_source_choose(struct dlf_source *s, uint32_t avoid, uint64_t *when_ms)
{
    (void)when_ms; /* no mirror is ever down */
    for (unsigned i = 0; i < s->mirrors; i++)
        if (!(avoid >> i & 1))
            return (int)i;
    abort(); /* the scheduler asks only when a mirror is left */
}

bool dlf_source_sends_whole(const struct dlf_source *s, unsigned mirror)
{
    return s->sends_whole[mirror];
}

bool dlf_source_free_slot(const struct dlf_source *s)
{
    return s->running_count < RUNNING_MAX;
}

int dlf_source_start(struct dlf_source *s, struct dlf_get *get, unsigned mirror)
{
    pthread_mutex_lock(&s->lock);
    if (s->request_count == FAKE_REQUESTS_MAX)
        abort();
    unsigned number = s->request_count++;
    s->requests[number] =
        (struct fake_request){.offset = get->offset, .length = get->length, .mirror = mirror};
    pthread_mutex_unlock(&s->lock);
    get->mirror = mirror;
    s->running[s->running_count++] =
        (struct running){.get = get, .number = number, .begun_us = dlf_now_us()};
    return 0;
}

uint64_t dlf_source_sent_us(const struct dlf_source *s, const struct dlf_get *get)
{
    struct dlf_source *source = (struct dlf_source *)s; /* even a query takes the lock */
    uint64_t sent = 0;
    pthread_mutex_lock(&source->lock);
    for (unsigned i = 0; i < s->running_count; i++)
        if (s->running[i].get == get)
            sent = s->running[i].begun_us + s->connect_us;
    pthread_mutex_unlock(&source->lock);
    return sent <= dlf_now_us() ? sent : 0;
}

void fake_connect_time(struct dlf_source *s, uint64_t us)
{
    pthread_mutex_lock(&s->lock);
    s->connect_us = us;
    pthread_mutex_unlock(&s->lock);
}

bool dlf_source_cancel(struct dlf_source *s, const struct dlf_get *get, bool silent)
{
    static const struct dlf_err ended = {"not wanted any more"};
    unsigned i = 0;
    (void)silent; /* it keeps no count */
    while (i < s->running_count && s->running[i].get != get)
        i++;
    if (i == s->running_count)
        abort(); /* it does not run */
    struct dlf_get *theirs = s->running[i].get;
    s->running_count--;
    memmove(s->running + i, s->running + i + 1, (s->running_count - i) * sizeof(s->running[0]));
    pthread_mutex_lock(&s->lock);
    s->cancelled++;
    pthread_mutex_unlock(&s->lock);
    theirs->done(theirs, -ECANCELED, &ended);
    return true;
}

/* Moves the first request that is not silent to the front. False when there is none. */
static bool bring_to_front_locked(struct dlf_source *s)
{
    for (unsigned i = 0; i < s->running_count; i++) {
        struct running r = s->running[i];
        if (s->silent[r.number])
            continue;
        memmove(s->running + 1, s->running, i * sizeof(s->running[0]));
        s->running[0] = r;
        return true;
    }
    return false;
}

/* Sends bytes [from, to) of the object in odd portions. False when the receiver refuses more. */
static bool send(struct dlf_get *get, uint64_t from, uint64_t to, bool flip)
{
    uint8_t portion[1000];
    while (from < to) {
        size_t n = to - from < sizeof(portion) ? (size_t)(to - from) : sizeof(portion);
        for (size_t i = 0; i < n; i++)
            portion[i] = fake_byte(from + i);
        if (flip)
            portion[0] = (uint8_t)~fake_byte(from);
        flip = false;
        if (!get->data(get, from, portion, n))
            return false;
        from += n;
    }
    return true;
}

static uint64_t end_of(const struct dlf_get *get)
{
    return get->length ? get->offset + get->length : get->limit;
}

static void answer(struct dlf_get *get, enum fake_answer how)
{
    static const struct dlf_err broken = {"the connection broke"};
    static const struct dlf_err missing = {"no such object"};
    static const struct dlf_err ended = {"ended by the receiver"};
    uint64_t end = end_of(get);
    bool all;
    switch (how) {
    case FAKE_MISSING:
        get->done(get, -ENOENT, &missing);
        return;
    case FAKE_BROKEN:
        send(get, get->offset, get->offset + (end - get->offset) / 2, false);
        get->done(get, -EIO, &broken);
        return;
    default:
        get->whole = how == FAKE_WHOLE;
        all = get->whole ? send(get, 0, FAKE_OBJECT_SIZE, false)
                         : send(get, get->offset, end, how == FAKE_FLIPPED);
        get->done(get, all ? 0 : -ECANCELED, &ended);
        return;
    }
}

/* Starts a drip: by the script, the first answer to a range may be the whole object. */
static void begin_drip_locked(struct dlf_source *s)
{
    struct running *r = &s->running[0];
    unsigned mirror = r->get->mirror;
    unsigned n = s->answered[mirror];
    if (r->sent || r->whole || !r->get->length || n == s->answer_count[mirror])
        return;
    r->whole = s->answers[mirror][n] == FAKE_WHOLE;
    r->get->whole = r->whole;
    s->sends_whole[mirror] = r->whole;
    s->answered[mirror]++;
}

/* Sends a little of the first request, which then goes to the end of the queue or is done. */
static void answer_a_little(struct dlf_source *s, uint64_t drip)
{
    static const struct dlf_err ended = {"ended by the receiver"};
    struct running r = s->running[0];
    uint64_t end = r.whole ? FAKE_OBJECT_SIZE : end_of(r.get);
    uint64_t from = r.whole ? r.sent : r.get->offset + r.sent;
    uint64_t to = from + drip < end ? from + drip : end;
    memmove(s->running, s->running + 1, --s->running_count * sizeof(s->running[0]));
    bool more = send(r.get, from, to, false);
    if (more && to < end) {
        r.sent += to - from;
        s->running[s->running_count++] = r;
    } else {
        r.get->done(r.get, more ? 0 : -ECANCELED, &ended);
    }
}

void dlf_source_poll(struct dlf_source *s, unsigned timeout_ms)
{
    uint64_t until_ms = dlf_now_ms() + timeout_ms;
    pthread_mutex_lock(&s->lock);
    while (!s->woken && (s->held || !bring_to_front_locked(s)))
        if (!dlf_cond_wait(&s->changed, &s->lock, until_ms))
            break;
    s->woken = false;
    enum fake_answer how = FAKE_OK;
    bool go = !s->held && bring_to_front_locked(s);
    unsigned mirror = go ? s->running[0].get->mirror : 0;
    uint64_t drip = s->drip;
    if (go && drip)
        begin_drip_locked(s);
    if (go && drip && s->drops && --s->drops == 0)
        s->held = true;
    if (go && !drip && s->answered[mirror] < s->answer_count[mirror])
        how = s->answers[mirror][s->answered[mirror]++];
    pthread_mutex_unlock(&s->lock);
    if (!go)
        return;
    if (drip) {
        answer_a_little(s, drip);
        return;
    }
    if (s->running[0].whole) { /* it has begun by a drip */
        answer_a_little(s, FAKE_OBJECT_SIZE);
        return;
    }
    struct dlf_get *get = s->running[0].get;
    if (get->length)
        s->sends_whole[mirror] = how == FAKE_WHOLE;
    s->running_count--;
    memmove(s->running, s->running + 1, s->running_count * sizeof(s->running[0]));
    answer(get, how);
}

void dlf_source_wake(struct dlf_source *s)
{
    pthread_mutex_lock(&s->lock);
    s->woken = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void dlf_source_mirror_stats(const struct dlf_source *s, unsigned index,
                             struct dlf_mirror_stats *stats)
{
    (void)s;
    memset(stats, 0, sizeof(*stats));
    snprintf(stats->base, sizeof(stats->base), "http://mirror%u/", index);
}

void dlf_source_pace(const struct dlf_source *s, struct dlf_pace *pace)
{
    struct dlf_source *source = (struct dlf_source *)s; /* even a query takes the lock */
    pthread_mutex_lock(&source->lock);
    *pace = source->pace;
    pthread_mutex_unlock(&source->lock);
}

void fake_pace(struct dlf_source *s, uint64_t rtt_us, uint64_t bytes_per_s)
{
    pthread_mutex_lock(&s->lock);
    s->pace = (struct dlf_pace){.rtt_us = rtt_us, .answer_us = rtt_us, .bytes_per_s = bytes_per_s};
    pthread_mutex_unlock(&s->lock);
}

void fake_answer_time(struct dlf_source *s, uint64_t answer_us)
{
    pthread_mutex_lock(&s->lock);
    s->pace.answer_us = answer_us;
    pthread_mutex_unlock(&s->lock);
}

void fake_drip(struct dlf_source *s, uint64_t bytes, unsigned drops)
{
    pthread_mutex_lock(&s->lock);
    s->drip = bytes;
    s->drops = drops;
    pthread_mutex_unlock(&s->lock);
}

uint32_t dlf_source_down(const struct dlf_source *s)
{
    (void)s; /* no mirror is ever down */
    return 0;
}

const char *dlf_source_mirror_base(const struct dlf_source *s, unsigned index)
{
    (void)s;
    (void)index;
    return "http://mirror/";
}

void dlf_source_announce(struct dlf_source *s)
{
    (void)s; /* it has no log */
}

void dlf_source_blame(struct dlf_source *s, unsigned mirror)
{
    (void)s; /* it keeps no count */
    (void)mirror;
}
