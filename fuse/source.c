/*
 * HTTP by libcurl's multi interface. One thread, no locks; the mirrors' counters are atomic because
 * status reads them. Does not retry, verify or know what a chunk is.
 */
#include "fuse/source.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuse/log.h"
#include "fuse/meter.h"
#include "fuse/sockets.h"
#include "fuse/util.h"

/* Milliseconds between two lines about one mirror's failures: it may fail and work in turns. */
#define SAY_AGAIN_MS 10000

/* Milliseconds until a connection must stand: TCP's SYN retries at 1 s and 3 s are seen through. */
#define CONNECT_TIMEOUT_MS 8000L

/* Bytes that curl hands over at a time: most stored chunks arrive in one or two pieces. */
#define RECEIVE_BUFFER (128L << 10)

#define REDIRECTS_MAX 5L

struct mirror {
    char *base;
    unsigned failures_in_a_row;
    uint64_t down_since_ms;
    uint64_t not_before_ms; /* 0: healthy */
    uint64_t said_ms;       /* when the log spoke of failures last; 0: never */
    bool said_down;         /* and has not said yet that it answers again */
    atomic_uint_fast64_t requests;
    atomic_uint_fast64_t failures;
    atomic_uint_fast64_t bytes;
};

/* A running attempt, or an idle handle kept for the next one (get is NULL). */
struct transfer {
    struct dlf_source *source;
    struct dlf_get *get;
    CURL *easy;
    uint64_t position;             /* offset in the object of the next body byte */
    uint64_t range_from, range_to; /* from Content-Range, when has_range */
    bool has_range;
    bool encoded;   /* Content-Encoding that is not identity */
    bool timed;     /* its round trip was counted */
    bool checked;   /* status and headers are right */
    bool whole;     /* all of the object is coming, though a range was asked for */
    bool satisfied; /* the range that was asked for has passed */
    int rc;         /* why the write callback ended the transfer; 0 if it did not */
    struct dlf_err err;
    char curl_error[CURL_ERROR_SIZE];
};

struct dlf_source {
    pthread_mutex_t wake_lock; /* guards multi against going away under dlf_source_wake */
    CURLM *multi;              /* NULL when closed */
    struct mirror mirrors[DLF_MIRRORS_MAX];
    unsigned mirror_count;
    unsigned most;
    unsigned running;
    unsigned stall_ms;
    atomic_bool announces;
    struct transfer *transfers; /* most of them */
    struct dlf_sockets sockets;
    struct dlf_meter meter;
};

int dlf_source_global_init(struct dlf_err *err)
{
    struct addrinfo *found = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return dlf_fail(err, EIO, "libcurl does not start");
    /* Loads what glibc loads for names at the first look-up: later the root may be another. */
    if (getaddrinfo("localhost", NULL, NULL, &found) == 0)
        freeaddrinfo(found);
    return 0;
}

struct dlf_source *dlf_source_new(const char *const *bases, unsigned count, unsigned most,
                                  unsigned stall_ms)
{
    struct dlf_source *source = calloc(1, sizeof(*source));
    if (!source)
        return NULL;
    pthread_mutex_init(&source->wake_lock, NULL);
    source->multi = curl_multi_init();
    source->transfers = calloc(most, sizeof(*source->transfers));
    source->most = most;
    source->stall_ms = stall_ms;
    source->mirror_count = count < DLF_MIRRORS_MAX ? count : DLF_MIRRORS_MAX;
    bool ok = source->multi && source->transfers;
    for (unsigned i = 0; ok && i < source->mirror_count; i++) {
        source->mirrors[i].base = strdup(bases[i]);
        ok = source->mirrors[i].base != NULL;
    }
    if (!ok) {
        dlf_source_free(source);
        return NULL;
    }
    return source;
}

void dlf_source_close(struct dlf_source *source)
{
    for (unsigned i = 0; source->transfers && i < source->most; i++) {
        struct transfer *t = &source->transfers[i];
        if (t->get)
            curl_multi_remove_handle(source->multi, t->easy);
        if (t->easy)
            curl_easy_cleanup(t->easy);
        t->get = NULL;
        t->easy = NULL;
    }
    pthread_mutex_lock(&source->wake_lock);
    if (source->multi)
        curl_multi_cleanup(source->multi);
    source->multi = NULL;
    pthread_mutex_unlock(&source->wake_lock);
}

void dlf_source_free(struct dlf_source *source)
{
    if (!source)
        return;
    dlf_source_close(source);
    for (unsigned i = 0; i < source->mirror_count; i++)
        free(source->mirrors[i].base);
    pthread_mutex_destroy(&source->wake_lock);
    free(source->transfers);
    free(source);
}

uint32_t dlf_source_all(const struct dlf_source *source)
{
    return ((uint32_t)1 << source->mirror_count) - 1;
}

int dlf_source_choose(struct dlf_source *source, uint32_t avoid, uint64_t *when_ms)
{
    uint64_t now = dlf_now_ms();
    uint64_t first = UINT64_MAX;
    for (unsigned i = 0; i < source->mirror_count; i++) {
        if (avoid & (uint32_t)1 << i)
            continue;
        if (source->mirrors[i].not_before_ms <= now)
            return (int)i;
        if (source->mirrors[i].not_before_ms < first)
            first = source->mirrors[i].not_before_ms;
    }
    *when_ms = first;
    return -1;
}

bool dlf_source_free_slot(const struct dlf_source *source)
{
    return source->running < source->most;
}

/* "bytes FROM-TO/TOTAL"; anything else leaves has_range false, which the check refuses. */
static void read_content_range(struct transfer *t, const char *value)
{
    uint64_t from;
    uint64_t to;
    int used = 0;
    t->has_range = sscanf(value, " bytes %" SCNu64 "-%" SCNu64 "/%n", &from, &to, &used) == 2 &&
                   used > 0 && from <= to;
    t->range_from = from;
    t->range_to = to;
}

static bool header_is(const char *line, size_t size, const char *name, const char **value)
{
    size_t length = strlen(name);
    if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':')
        return false;
    *value = line + length + 1;
    return true;
}

static size_t on_header(char *data, size_t one, size_t size, void *cookie)
{
    struct transfer *t = cookie;
    char line[256];
    const char *value;
    (void)one; /* always 1 (curl's documentation) */
    size_t n = size < sizeof(line) - 1 ? size : sizeof(line) - 1;
    memcpy(line, data, n);
    line[n] = 0;
    if (strncmp(line, "HTTP/", 5) == 0) {
        t->has_range = false; /* a new answer: a redirect came before */
        t->encoded = false;
    } else if (header_is(line, n, "Content-Range", &value)) {
        read_content_range(t, value);
    } else if (header_is(line, n, "Content-Encoding", &value)) {
        t->encoded = strstr(value, "identity") == NULL;
    }
    return size;
}

/* The first byte of an answer is here: how long after the question? */
static void note_round_trip(struct transfer *t)
{
    curl_off_t first = 0;
    curl_off_t sent = 0;
    t->timed = true;
    if (curl_easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &first) == CURLE_OK &&
        curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &sent) == CURLE_OK && first > sent)
        dlf_meter_round_trip(&t->source->meter, (uint64_t)(first - sent));
}

/* Is this the answer to what was asked? Sets position. */
static int check_answer(struct transfer *t)
{
    const struct dlf_get *get = t->get;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 404 || status == 410)
        return dlf_fail(&t->err, ENOENT, "HTTP status %ld: no such file", status);
    if (status == 416)
        return dlf_fail(&t->err, EBADMSG, "HTTP status 416: the object is too short");
    if (status != 200 && status != 206)
        return dlf_fail(&t->err, EIO, "HTTP status %ld", status);
    if (t->encoded)
        return dlf_fail(&t->err, EBADMSG, "the answer is Content-Encoded, though not asked for");
    if (status == 200) {
        /* Also for a range: a server that does not do ranges sends all of the object. */
        t->position = 0;
        t->whole = get->length != 0;
    } else if (!get->length) {
        return dlf_fail(&t->err, EBADMSG, "HTTP status 206, but no range was asked for");
    } else if (!t->has_range || t->range_from != get->offset ||
               t->range_to != get->offset + get->length - 1) {
        return dlf_fail(&t->err, EBADMSG,
                        "wrong or no Content-Range for bytes %" PRIu64 "-%" PRIu64, get->offset,
                        get->offset + get->length - 1);
    } else {
        t->position = get->offset;
    }
    t->checked = true;
    return 0;
}

static int take_bytes(struct transfer *t, const uint8_t *bytes, size_t size)
{
    struct dlf_get *get = t->get;
    uint64_t end = get->length ? get->offset + get->length : get->limit;
    size_t wanted = size;
    if (t->position + size > end) {
        if (!get->length)
            return dlf_fail(&t->err, EBADMSG, "more than the limit of %" PRIu64 " bytes",
                            get->limit);
        wanted = (size_t)(end - t->position);
    }
    if (!get->data(get, t->position, bytes, wanted))
        return dlf_fail(&t->err, ECANCELED, "ended by the receiver");
    t->position += wanted;
    t->satisfied = get->length && t->position == end;
    return 0;
}

static size_t on_body(char *data, size_t one, size_t size, void *cookie)
{
    struct transfer *t = cookie;
    (void)one; /* always 1 (curl's documentation) */
    atomic_fetch_add_explicit(&t->source->mirrors[t->get->mirror].bytes, size,
                              memory_order_relaxed);
    if (!t->timed)
        note_round_trip(t);
    dlf_meter_bytes(&t->source->meter, size);
    if (t->satisfied)
        return 0; /* more than was asked for: cut it */
    if (!t->checked)
        t->rc = check_answer(t);
    if (t->rc == 0)
        t->rc = take_bytes(t, (const uint8_t *)data, size);
    return t->rc < 0 || (t->whole && t->satisfied) ? 0 : size;
}

static struct transfer *idle_transfer(struct dlf_source *source)
{
    for (unsigned i = 0; i < source->most; i++)
        if (!source->transfers[i].get)
            return &source->transfers[i];
    return NULL;
}

static curl_socket_t on_open_socket(void *cookie, curlsocktype purpose, struct curl_sockaddr *at)
{
    struct dlf_source *source = cookie;
    int fd = socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);
    (void)purpose;
    if (fd >= 0)
        dlf_sockets_add(&source->sockets, fd);
    return fd;
}

static int on_close_socket(void *cookie, curl_socket_t fd)
{
    struct dlf_source *source = cookie;
    dlf_sockets_remove(&source->sockets, fd);
    return close(fd);
}

static CURL *new_handle(struct dlf_source *source, struct transfer *t)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "dlfuse/" DLFUSE_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    /* curl counts stalls in whole seconds. */
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(source->stall_ms + 999) / 1000);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, source);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, source);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->curl_error);
    return easy;
}

/* Where a redirect may lead: https never to http, for the manifest is only as true as its server.
 */
static void limit_redirects(CURL *easy, const char *url)
{
    bool secure = strncasecmp(url, "https:", 6) == 0;
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS,
                     (long)(secure ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

int dlf_source_start(struct dlf_source *source, struct dlf_get *get, unsigned mirror)
{
    struct transfer *t = idle_transfer(source);
    char url[DLF_URL_MAX + 128];
    char range[48];

    if (!t->easy)
        t->easy = new_handle(source, t);
    if (!t->easy)
        return -ENOMEM;
    CURL *easy = t->easy;
    *t = (struct transfer){.source = source, .easy = easy};
    snprintf(url, sizeof(url), "%s%s", source->mirrors[mirror].base, get->path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    limit_redirects(easy, url);
    if (get->length) {
        snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, get->offset,
                 get->offset + get->length - 1);
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    } else {
        curl_easy_setopt(easy, CURLOPT_RANGE, NULL);
    }
    get->mirror = mirror;
    if (curl_multi_add_handle(source->multi, easy) != CURLM_OK)
        return -EIO;
    t->get = get;
    source->running++;
    atomic_fetch_add_explicit(&source->mirrors[mirror].requests, 1, memory_order_relaxed);
    return 0;
}

/* What the transfer came to, from curl's result and what the callbacks saw. */
static int outcome(struct transfer *t, CURLcode code)
{
    const struct dlf_get *get = t->get;
    if (t->rc < 0)
        return t->rc;
    if (t->satisfied)
        return 0;
    if (code != CURLE_OK)
        return dlf_fail(&t->err, EIO, "%s",
                        t->curl_error[0] ? t->curl_error : curl_easy_strerror(code));
    if (!t->checked) {
        int rc = check_answer(t); /* an answer without a body */
        if (rc < 0)
            return rc;
    }
    if (get->length)
        return dlf_fail(&t->err, EBADMSG,
                        "the object ends at byte %" PRIu64 ", %" PRIu64 " were expected",
                        t->position, get->offset + get->length);
    return 0;
}

static void say_failure(struct dlf_source *source, struct mirror *m, const char *path,
                        const struct dlf_err *err)
{
    uint64_t now = dlf_now_ms();
    if (!atomic_load(&source->announces) || (m->said_ms && now - m->said_ms < SAY_AGAIN_MS))
        return;
    m->said_ms = now;
    m->said_down = true;
    dlf_warn("%s%s: %s; trying again", m->base, path, err->msg);
}

static void mark_mirror(struct dlf_source *source, const struct dlf_get *get, int rc,
                        const struct dlf_err *err)
{
    struct mirror *m = &source->mirrors[get->mirror];
    if (rc == 0 || rc == -ECANCELED) {
        if (m->said_down)
            dlf_info("%s answers again after %" PRIu64 " ms and %u failed attempts", m->base,
                     dlf_now_ms() - m->down_since_ms, m->failures_in_a_row);
        m->failures_in_a_row = 0;
        m->not_before_ms = 0;
        m->said_down = false;
        return;
    }
    atomic_fetch_add_explicit(&m->failures, 1, memory_order_relaxed);
    if (rc == -ENOENT)
        return; /* about the object, not about the mirror */
    if (m->failures_in_a_row == 0)
        m->down_since_ms = dlf_now_ms();
    /* Not only at the first failure: that may have come too soon after the last line. */
    if (!m->said_down)
        say_failure(source, m, get->path, err);
    m->not_before_ms = dlf_now_ms() + dlf_backoff_ms(m->failures_in_a_row);
    m->failures_in_a_row++;
}

static void finish(struct dlf_source *source, CURLMsg *msg)
{
    struct transfer *t = NULL;
    CURLcode code = msg->data.result;
    CURL *easy = msg->easy_handle;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
    int rc = outcome(t, code);
    struct dlf_get *get = t->get;
    struct dlf_err err = t->err;
    curl_multi_remove_handle(source->multi, easy);
    t->get = NULL;
    source->running--;
    mark_mirror(source, get, rc, &err);
    get->done(get, rc, &err);
}

void dlf_source_poll(struct dlf_source *source, unsigned timeout_ms)
{
    int running;
    int left;
    CURLMsg *msg;
    curl_multi_poll(source->multi, NULL, 0, (int)timeout_ms, NULL);
    curl_multi_perform(source->multi, &running);
    dlf_sockets_acknowledge(&source->sockets);
    while ((msg = curl_multi_info_read(source->multi, &left)))
        if (msg->msg == CURLMSG_DONE)
            finish(source, msg);
}

/* A dlf_get that collects the object in memory. */
struct whole_get {
    struct dlf_get get; /* first: callbacks get its address */
    uint8_t *out;
    size_t size;
    int rc;
    bool finished;
    struct dlf_err *err;
};

static bool whole_data(struct dlf_get *get, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct whole_get *w = (struct whole_get *)get;
    memcpy(w->out + offset, bytes, size); /* the source keeps to get->limit */
    w->size = (size_t)offset + size;
    return true;
}

static void whole_done(struct dlf_get *get, int rc, const struct dlf_err *err)
{
    struct whole_get *w = (struct whole_get *)get;
    w->rc = rc;
    w->finished = true;
    if (rc < 0)
        dlf_fail(w->err, -rc, "%s%s: %s", w->err->msg, get->path, err->msg);
}

static int64_t get_whole_from(struct dlf_source *source, unsigned mirror, const char *path,
                              uint8_t *out, size_t room, struct dlf_err *err)
{
    struct dlf_err at = {{0}};
    struct whole_get w = {
        .get = {.path = path, .limit = room, .data = whole_data, .done = whole_done},
        .out = out,
        .err = &at,
    };
    dlf_fail(&at, EIO, "%s", source->mirrors[mirror].base);
    int rc = dlf_source_start(source, &w.get, mirror);
    if (rc < 0)
        dlf_fail(&at, EIO, "%s%s: libcurl does not start a transfer", source->mirrors[mirror].base,
                 path);
    while (rc == 0 && !w.finished)
        dlf_source_poll(source, 1000);
    rc = rc < 0 ? rc : w.rc;
    if (rc == 0)
        return (int64_t)w.size;
    *err = at;
    return rc;
}

int64_t dlf_source_get_whole(struct dlf_source *source, const char *path, uint32_t *tried,
                             unsigned *mirror, uint8_t *out, size_t room, struct dlf_err *err)
{
    int64_t n = -EAGAIN;
    for (unsigned i = 0; n < 0 && i < source->mirror_count; i++) {
        if (*tried >> i & 1)
            continue;
        *tried |= (uint32_t)1 << i;
        *mirror = i;
        n = get_whole_from(source, i, path, out, room, err);
    }
    return n;
}

const char *dlf_source_mirror_base(const struct dlf_source *source, unsigned index)
{
    return source->mirrors[index].base;
}

void dlf_source_blame(struct dlf_source *source, unsigned mirror)
{
    atomic_fetch_add_explicit(&source->mirrors[mirror].failures, 1, memory_order_relaxed);
}

void dlf_source_announce(struct dlf_source *source)
{
    atomic_store(&source->announces, true);
}

void dlf_source_wake(struct dlf_source *source)
{
    pthread_mutex_lock(&source->wake_lock);
    if (source->multi)
        curl_multi_wakeup(source->multi);
    pthread_mutex_unlock(&source->wake_lock);
}

void dlf_source_pace(const struct dlf_source *source, struct dlf_pace *pace)
{
    pace->rtt_us = atomic_load_explicit(&source->meter.rtt_us, memory_order_relaxed);
    pace->answer_us = atomic_load_explicit(&source->meter.answer_us, memory_order_relaxed);
    pace->bytes_per_s = atomic_load_explicit(&source->meter.bytes_per_s, memory_order_relaxed);
}

void dlf_source_mirror_stats(const struct dlf_source *source, unsigned index,
                             struct dlf_mirror_stats *stats)
{
    const struct mirror *m = &source->mirrors[index];
    snprintf(stats->base, sizeof(stats->base), "%s", m->base);
    stats->requests = atomic_load_explicit(&m->requests, memory_order_relaxed);
    stats->failures = atomic_load_explicit(&m->failures, memory_order_relaxed);
    stats->bytes = atomic_load_explicit(&m->bytes, memory_order_relaxed);
}
