/*
 * HTTP by libcurl's multi interface. One thread, no locks; the mirrors' counters are atomic because
 * status reads them. Does not retry, verify or know about chunks. Which mirror is healthy is
 * mirrors.c's business, the reading of an answer's head answer.c's.
 *
 * A transfer is one attempt, though it may take several requests: redirects are followed here, not
 * by libcurl, so that headers and passwords meant for a mirror go nowhere else; and where a name
 * cannot be resolved, the address that it had is tried.
 */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuse/source_private.h"
#include "fuse/util.h"

/* Milliseconds until a connection must stand: TCP's SYN retries at 1 s and 3 s are seen through.
 * Where another mirror is up, only the first of them. */
#define CONNECT_TIMEOUT_MS 8000L
#define CONNECT_TIMEOUT_STANDBY_MS 3000L

/* Bytes that curl hands over at a time: most stored chunks arrive in one or two pieces. */
#define RECEIVE_BUFFER (128L << 10)

#define REDIRECTS_MAX 5

/* Bytes of the URL that a redirect goes to: signed ones hold a policy and a token of some KiB. */
#define REDIRECT_URL_MAX ((size_t)16 << 10)

/* Bytes of a redirect's own body that are read past, so that its connection can be used again. */
#define REDIRECT_BODY_MAX ((uint64_t)64 << 10)

/* The longest that dlf_source_poll waits while something runs: then it looks for transfers that are
 * too slow. */
#define WATCH_MS 250u

/* A poll that failed is made again after so long. */
#define POLL_AGAIN_US 10000

int dlf_source_global_init(struct dlf_err *err)
{
    struct addrinfo *found = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return dlf_fail(err, EIO, "libcurl does not start");
    /* Loads the modules that glibc loads at the first look-up of a name: later the root may be
     * another. */
    if (getaddrinfo("localhost", NULL, NULL, &found) == 0)
        freeaddrinfo(found);
    return 0;
}

static bool open_headers(struct dlf_source *source, const char *const *lines)
{
    for (; lines && *lines; lines++) {
        struct curl_slist *more = curl_slist_append(source->headers, *lines);
        if (!more)
            return false;
        source->headers = more;
    }
    return true;
}

static bool copy_text(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
}

struct dlf_source *dlf_source_new(const struct dlf_source_config *config)
{
    struct dlf_source *source = calloc(1, sizeof(*source));
    if (!source)
        return NULL;
    pthread_mutex_init(&source->wake_lock, NULL);
    source->multi = curl_multi_init();
    source->most = config->most;
    source->transfer_count = config->most + DLF_MIRRORS_MAX;
    source->transfers = calloc(source->transfer_count, sizeof(*source->transfers));
    source->stall_ms = config->stall_ms;
    source->ca_size = config->ca_size;
    bool ok = source->multi && source->transfers && copy_text(&source->ca, config->ca) &&
              copy_text(&source->proxy, config->proxy) &&
              copy_text(&source->probe_path, config->probe_path) &&
              open_headers(source, config->header_lines);
    for (unsigned i = 0; ok && i < config->count; i++)
        ok = dlf_source_add_mirror(source, config->bases[i], true);
    if (!ok) {
        dlf_source_free(source);
        return NULL;
    }
    return source;
}

void dlf_source_close(struct dlf_source *source)
{
    for (unsigned i = 0; source->transfers && i < source->transfer_count; i++) {
        struct transfer *t = &source->transfers[i];
        if (t->get)
            curl_multi_remove_handle(source->multi, t->easy);
        if (t->easy)
            curl_easy_cleanup(t->easy);
        curl_slist_free_all(t->resolve);
        curl_slist_free_all(t->headers);
        *t = (struct transfer){0};
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
    for (unsigned i = 0; i < source->mirrors.count; i++) {
        free(source->places[i].base);
        free(source->places[i].query);
    }
    curl_slist_free_all(source->headers);
    pthread_mutex_destroy(&source->wake_lock);
    free(source->probe_path);
    free(source->proxy);
    free(source->ca);
    free(source->transfers);
    free(source);
}

bool dlf_source_free_slot(const struct dlf_source *source)
{
    return source->running < source->most;
}

static size_t on_header(char *data, size_t one, size_t size, void *cookie)
{
    struct transfer *t = cookie;
    (void)one; /* always 1 (curl's documentation) */
    dlf_answer_line(&t->answer, data, size);
    return size;
}

/* The first byte of an answer is here: how long after the question? 0: unknown. */
static uint64_t round_trip_us(const struct transfer *t)
{
    curl_off_t first = 0;
    curl_off_t sent = 0;
    if (curl_easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &first) == CURLE_OK &&
        curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &sent) == CURLE_OK && first > sent)
        return (uint64_t)(first - sent);
    return 0;
}

/* Where was it reached? For the time when its name cannot be resolved any more. */
static void remember_address(struct transfer *t)
{
    struct place *p = &t->source->places[t->get->mirror];
    const char *address = NULL;
    if (t->hops == 0 && curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK &&
        address && *address)
        snprintf(p->address, sizeof(p->address), "%s", address);
}

static long status_of(const struct transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Does the answer fit the question? Sets position. */
static int check_answer(struct transfer *t)
{
    const struct dlf_get *get = t->get;
    struct dlf_question question = {.offset = get->offset, .length = get->length};
    int rc = get->plain ? dlf_answer_check_plain(&t->answer, status_of(t), get->path, get->offset,
                                                 &t->position, get->plain, &t->err)
                        : dlf_answer_check(&t->answer, status_of(t), &question, &t->position,
                                           &t->whole, &t->err);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    remember_address(t);
    dlf_transfer_answered(t, round_trip_us(t));
    t->checked = rc == 0;
    if (t->checked && get->length)
        t->source->places[get->mirror].sends_whole = t->whole;
    t->get->whole = t->checked && t->whole;
    return rc;
}

static uint64_t end_of_range(const struct dlf_get *get)
{
    return get->offset + get->length;
}

/* Where the bytes end that data may get. */
static uint64_t end_of_data(const struct transfer *t)
{
    if (t->whole)
        return UINT64_MAX; /* the receiver ends it */
    return t->get->length ? end_of_range(t->get) : t->get->limit;
}

static int take_bytes(struct transfer *t, const uint8_t *bytes, size_t size)
{
    struct dlf_get *get = t->get;
    uint64_t end = end_of_data(t);
    size_t wanted = size;
    if (size > end - t->position) {
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
    atomic_fetch_add_explicit(&t->source->mirrors.at[t->get->mirror].bytes, size,
                              memory_order_relaxed);
    t->bytes += size;
    t->window_bytes += size;
    t->last_ms = dlf_now_ms();
    if (dlf_status_redirects(status_of(t)))
        return t->bytes <= REDIRECT_BODY_MAX ? size : 0;
    dlf_meter_bytes(&t->source->meter, size);
    if (t->satisfied)
        return 0; /* more than was asked for: cut it */
    if (!t->checked)
        t->rc = check_answer(t);
    if (t->rc == 0)
        t->rc = take_bytes(t, (const uint8_t *)data, size);
    return t->rc < 0 ? 0 : size;
}

static struct transfer *idle_transfer(struct dlf_source *source)
{
    for (unsigned i = 0; i < source->transfer_count; i++)
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

/* An option that is not taken, for want of memory mostly, leaves the one before: another URL, or
 * another server's password. Then there is no transfer. */
#define SET(ok, easy, option, value)                                                               \
    ((ok) = curl_easy_setopt(easy, option, value) == CURLE_OK && (ok))

#if LIBCURL_VERSION_NUM >= 0x074d00
bool dlf_source_takes_ca(void)
{
    return true;
}

/* These and none of the system's, for proxies too. As bytes: their file may be out of reach now. */
static bool set_ca(CURL *easy, char *ca, size_t size)
{
    struct curl_blob blob = {.data = ca, .len = size, .flags = CURL_BLOB_NOCOPY};
    bool ok = true;
    SET(ok, easy, CURLOPT_CAINFO_BLOB, &blob);
    SET(ok, easy, CURLOPT_PROXY_CAINFO_BLOB, &blob);
    SET(ok, easy, CURLOPT_CAPATH, NULL);
    SET(ok, easy, CURLOPT_PROXY_CAPATH, NULL);
    return ok;
}
#else
bool dlf_source_takes_ca(void)
{
    return false;
}

static bool set_ca(CURL *easy, char *ca, size_t size)
{
    (void)easy; /* none is ever given */
    (void)ca;
    (void)size;
    return false;
}
#endif

/*
 * Where a transfer ends while its server's name, or its proxy's, is looked up, libcurl would wait
 * for its resolver's thread: seconds, in which no other transfer goes on. Let go, the thread ends
 * by itself when the look-up does. False where libcurl is too old to do that.
 */
static bool let_go_of_look_ups(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075700
    return curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
#else
    (void)easy;
    return false;
#endif
}

static CURL *new_handle(struct dlf_source *source, struct transfer *t)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return NULL;
    bool ok = true;
    source->waits_for_look_ups = !let_go_of_look_ups(easy);
    SET(ok, easy, CURLOPT_NOSIGNAL, 1L);
    SET(ok, easy, CURLOPT_NOPROGRESS, 1L);
    SET(ok, easy, CURLOPT_USERAGENT, "dlfuse/" DLFUSE_VERSION);
    SET(ok, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(ok, easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(ok, easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    if (source->proxy)
        SET(ok, easy, CURLOPT_PROXY, source->proxy);
    SET(ok, easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    if (source->ca)
        ok = set_ca(easy, source->ca, source->ca_size) && ok;
    SET(ok, easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    SET(ok, easy, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(ok, easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    SET(ok, easy, CURLOPT_OPENSOCKETDATA, source);
    SET(ok, easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(ok, easy, CURLOPT_CLOSESOCKETDATA, source);
    SET(ok, easy, CURLOPT_HEADERFUNCTION, on_header);
    SET(ok, easy, CURLOPT_HEADERDATA, t);
    SET(ok, easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(ok, easy, CURLOPT_WRITEDATA, t);
    SET(ok, easy, CURLOPT_PRIVATE, t);
    SET(ok, easy, CURLOPT_ERRORBUFFER, t->curl_error);
    if (!ok) {
        curl_easy_cleanup(easy);
        return NULL;
    }
    return easy;
}

/* Tells libcurl about the mirror's name: to forget its address, or which address to use. */
static bool set_resolve(struct transfer *t)
{
    bool ok = true;
    struct place *p = &t->source->places[t->get->mirror];
    char entry[DLF_URL_MAX];
    curl_slist_free_all(t->resolve);
    t->resolve = NULL;
    if (t->pinned)
        snprintf(entry, sizeof(entry), "%s:%s:%s", p->url.host, p->url.port, p->address);
    else if (p->resolve_again)
        snprintf(entry, sizeof(entry), "-%s:%s", p->url.host, p->url.port);
    if ((t->pinned || p->resolve_again) && p->url.host[0] != '[') {
        t->resolve = curl_slist_append(NULL, entry);
        ok = t->resolve != NULL;
    }
    p->resolve_again = false;
    SET(ok, t->easy, CURLOPT_RESOLVE, t->resolve);
    return ok;
}

/* Header lines: the mirror's own, if this goes to its server, and If-Range, wherever it goes. */
static bool set_headers(struct transfer *t, bool own)
{
    bool ok = true;
    const struct dlf_get *get = t->get;
    const struct curl_slist *private = own ? t->source->headers : NULL;
    char line[sizeof(get->plain->validator) + 16];
    SET(ok, t->easy, CURLOPT_HTTPHEADER, private);
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    if (!ok || !get->if_range)
        return ok;
    snprintf(line, sizeof(line), "If-Range: %s", get->if_range);
    struct curl_slist *list = curl_slist_append(NULL, line);
    while (list && private) {
        struct curl_slist *longer = curl_slist_append(list, private->data);
        if (!longer)
            curl_slist_free_all(list);
        list = longer;
        private = private->next;
    }
    t->headers = list;
    SET(ok, t->easy, CURLOPT_HTTPHEADER, list);
    return list && ok;
}

/* Sooner than the transfer is given up: so it fails for a name that is not found, say, and may go
 * on with the address that is known (finish). */
static long connect_timeout_ms(const struct dlf_source *source, unsigned mirror)
{
    long most = dlf_mirrors_other_up(&source->mirrors, mirror) ? CONNECT_TIMEOUT_STANDBY_MS
                                                               : CONNECT_TIMEOUT_MS;
    long stall = (long)source->stall_ms / 4 * 3;
    return stall < most ? stall : most;
}

/* The bytes that are asked for; NULL: all. */
static bool set_range(CURL *easy, const struct dlf_get *get)
{
    bool ok = true;
    char range[48];
    if (get->length)
        snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, get->offset,
                 get->offset + get->length - 1);
    else
        snprintf(range, sizeof(range), "%" PRIu64 "-", get->offset);
    SET(ok, easy, CURLOPT_RANGE, get->length || get->offset ? range : NULL);
    return ok;
}

/* One request of a transfer. */
static int begin_request(struct transfer *t, const char *url)
{
    struct dlf_source *source = t->source;
    const struct dlf_get *get = t->get;
    const struct place *p = &source->places[get->mirror];
    CURL *easy = t->easy;
    bool own = dlf_url_same_server(&p->url, url);
    bool ok = true;
    t->answer = (struct dlf_answer){0};
    t->curl_error[0] = 0;
    t->request_us = dlf_now_us();
    dlf_transfer_watch(t);
    SET(ok, easy, CURLOPT_URL, url);
    SET(ok, easy, CURLOPT_USERNAME, own && p->url.user[0] ? p->url.user : NULL);
    SET(ok, easy, CURLOPT_PASSWORD, own && p->url.user[0] ? p->url.password : NULL);
    SET(ok, easy, CURLOPT_CONNECTTIMEOUT_MS, connect_timeout_ms(source, get->mirror));
    SET(ok, easy, CURLOPT_FRESH_CONNECT, get->fresh ? 1L : 0L);
    ok = ok && set_resolve(t) && set_range(easy, get) && set_headers(t, own && p->private);
    if (!ok)
        return -ENOMEM;
    return curl_multi_add_handle(source->multi, easy) == CURLM_OK ? 0 : -EIO;
}

/* The request at the mirror itself. */
static int ask_mirror(struct transfer *t)
{
    char url[DLF_URL_MAX + 128];
    const struct place *p = &t->source->places[t->get->mirror];
    int n = snprintf(url, sizeof(url), "%s%s%s", p->base, t->get->path, p->query);
    return n < (int)sizeof(url) ? begin_request(t, url) : -EIO;
}

int dlf_transfer_start(struct dlf_source *source, struct dlf_get *get, unsigned mirror, bool probe)
{
    struct transfer *t = idle_transfer(source);
    if (!t->easy)
        t->easy = new_handle(source, t);
    if (!t->easy)
        return -ENOMEM;
    *t = (struct transfer){.source = source,
                           .get = get,
                           .easy = t->easy,
                           .resolve = t->resolve,
                           .headers = t->headers,
                           .probe = probe};
    t->begun_ms = dlf_now_ms();
    get->mirror = mirror;
    int rc = ask_mirror(t);
    if (rc < 0) {
        t->get = NULL;
        return rc;
    }
    source->running += !probe;
    t->trial = dlf_mirrors_began(&source->mirrors, mirror);
    return 0;
}

int dlf_source_start(struct dlf_source *source, struct dlf_get *get, unsigned mirror)
{
    return dlf_transfer_start(source, get, mirror, false);
}

/* Begins the request that a redirect asks for. */
static int go_to(struct transfer *t, const char *to)
{
    char *url = strdup(to); /* it is the handle's, which is used again */
    t->pinned = false;
    int rc = url ? begin_request(t, url) : -ENOMEM;
    free(url);
    return rc;
}

/* Goes to where the answer sends us. 0: on its way; else the transfer has failed. */
static int follow(struct transfer *t)
{
    const struct place *p = &t->source->places[t->get->mirror];
    const char *to = NULL;
    char shown[DLF_URL_MAX];
    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &to);
    if (!to)
        return dlf_fail(&t->err, EIO, "HTTP status %ld without a Location", status_of(t));
    dlf_url_shown(shown, sizeof(shown), to);
    if (strlen(to) >= REDIRECT_URL_MAX)
        return dlf_fail(&t->err, EIO, "redirects to a URL that is too long: %.80s...", shown);
    if (strncasecmp(to, "https://", 8) != 0 && strncasecmp(to, "http://", 7) != 0)
        return dlf_fail(&t->err, EIO, "redirects to %.300s, which is not HTTP", shown);
    /* The manifest is only as true as its server. */
    if (strcasecmp(p->url.scheme, "https") == 0 && strncasecmp(to, "https://", 8) != 0)
        return dlf_fail(&t->err, EIO, "redirects from https to %.300s, which is refused", shown);
    if (t->hops++ == REDIRECTS_MAX)
        return dlf_fail(&t->err, EIO, "more than %d redirects, the last one to %.300s",
                        REDIRECTS_MAX, shown);
    if (go_to(t, to) < 0)
        return dlf_fail(&t->err, EIO, "libcurl does not follow to %.300s", shown);
    return 0;
}

/* Is its server's name resolved, or known from before? */
static bool looked_up(const struct transfer *t)
{
    curl_off_t us = 0;
    return curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME_T, &us) == CURLE_OK && us > 0;
}

/* Did it fail because no server answers questions about names? */
static bool name_failed(const struct transfer *t, CURLcode code)
{
    return code == CURLE_COULDNT_RESOLVE_HOST ||
           (code == CURLE_OPERATION_TIMEDOUT && !looked_up(t));
}

/* OpenSSL's words and those of GnuTLS. */
static bool is_about_dates(const char *why)
{
    return strstr(why, "not yet valid") || strstr(why, "not activated") || strstr(why, "expired") ||
           strstr(why, "expiration date");
}

/* A machine without a battery takes good certificates for those of the future: the date that it
 * goes by is half of the reason. */
static int fail_by_curl(struct transfer *t, CURLcode code)
{
    const char *why = t->curl_error[0] ? t->curl_error : curl_easy_strerror(code);
    time_t now = time(NULL);
    struct tm utc;
    char date[sizeof "+2147483647-12-31 23:59"];
    if (code != CURLE_PEER_FAILED_VERIFICATION || !is_about_dates(why) || !gmtime_r(&now, &utc) ||
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &utc) == 0)
        return dlf_fail(&t->err, EIO, "%s", why);
    return dlf_fail(&t->err, EIO, "%s; this machine's clock says %s UTC", why, date);
}

/* The transfer's result, from curl's and the callbacks'. */
static int outcome(struct transfer *t, CURLcode code)
{
    const struct dlf_get *get = t->get;
    if (t->rc < 0)
        return t->rc;
    if (t->satisfied)
        return 0;
    if (code != CURLE_OK)
        return fail_by_curl(t, code);
    if (!t->checked) {
        int rc = check_answer(t); /* an answer without a body */
        if (rc < 0)
            return rc;
    }
    if (get->plain && get->plain->size != DLF_SIZE_UNKNOWN && t->position != get->plain->size)
        return dlf_fail(&t->err, EIO, "the answer ends at byte %" PRIu64 " of %" PRIu64,
                        t->position, get->plain->size);
    if (get->length && !(t->whole && t->position >= end_of_range(get)))
        return dlf_fail(&t->err, EBADMSG,
                        "the object ends at byte %" PRIu64 ", %" PRIu64 " were expected",
                        t->position, end_of_range(get));
    return 0;
}

/* The transfer is over: tells the mirrors' health and the caller. */
static void conclude(struct transfer *t, int rc)
{
    struct dlf_source *source = t->source;
    struct dlf_get *get = t->get;
    struct dlf_err err = t->err;
    dlf_transfer_mark(t, rc);
    t->get = NULL;
    source->running -= !t->probe;
    get->done(get, rc, &err);
}

void dlf_transfer_end(struct transfer *t, int rc)
{
    curl_multi_remove_handle(t->source->multi, t->easy);
    conclude(t, rc);
}

static struct transfer *transfer_of(const struct dlf_source *source, const struct dlf_get *get)
{
    struct transfer *t = source->transfers;
    while (t->get != get)
        t++;
    return t;
}

uint64_t dlf_source_sent_us(const struct dlf_source *source, const struct dlf_get *get)
{
    const struct transfer *t = transfer_of(source, get);
    curl_off_t us = 0;
    if (curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &us) != CURLE_OK || us <= 0)
        return 0;
    return t->request_us + (uint64_t)us;
}

bool dlf_source_cancel(struct dlf_source *source, const struct dlf_get *get, bool silent)
{
    struct transfer *t = transfer_of(source, get);
    if (source->waits_for_look_ups && !looked_up(t))
        return false;
    t->beaten = true;
    t->silent = silent;
    dlf_fail(&t->err, ECANCELED, "silent until another request had answered");
    dlf_transfer_end(t, -ECANCELED);
    return true;
}

/* A request is over. */
static void finish(struct dlf_source *source, CURLMsg *msg)
{
    struct transfer *t = NULL;
    CURLcode code = msg->data.result;
    CURL *easy = msg->easy_handle;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
    struct place *p = &source->places[t->get->mirror];
    curl_multi_remove_handle(source->multi, easy);
    if (t->rc == 0 && code == CURLE_OK && dlf_status_redirects(status_of(t))) {
        t->rc = follow(t);
        if (t->rc == 0)
            return;
    }
    if (t->rc == 0 && code != CURLE_OK && !t->satisfied) {
        p->resolve_again = true;
        if (name_failed(t, code) && t->hops == 0 && p->address[0] && !t->pinned) {
            t->pinned = true;
            if (ask_mirror(t) == 0)
                return;
        }
    }
    conclude(t, outcome(t, code));
}

/* Not past the time at which a transfer may be too slow. */
static unsigned poll_timeout(const struct dlf_source *source, unsigned timeout_ms)
{
    for (unsigned i = 0; i < source->transfer_count; i++)
        if (source->transfers[i].get)
            return timeout_ms < WATCH_MS ? timeout_ms : WATCH_MS;
    return timeout_ms;
}

void dlf_source_poll(struct dlf_source *source, unsigned timeout_ms)
{
    int running;
    int left;
    CURLMsg *msg;
    dlf_source_probe(source);
    timeout_ms = poll_timeout(source, timeout_ms);
    if (curl_multi_poll(source->multi, NULL, 0, (int)timeout_ms, NULL) != CURLM_OK)
        usleep(POLL_AGAIN_US);                   /* no memory: without a pause this would spin */
    curl_multi_perform(source->multi, &running); /* transfers that it cannot move end as too slow */
    dlf_sockets_acknowledge(&source->sockets);
    while ((msg = curl_multi_info_read(source->multi, &left)))
        if (msg->msg == CURLMSG_DONE)
            finish(source, msg);
    dlf_source_watch(source);
}

void dlf_source_wake(struct dlf_source *source)
{
    pthread_mutex_lock(&source->wake_lock);
    if (source->multi)
        curl_multi_wakeup(source->multi);
    pthread_mutex_unlock(&source->wake_lock);
}
