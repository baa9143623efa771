/*
 * dlfuse fetch: one plain file of a web server, complete or not at all. It is for images that are
 * not in a store, where no digest tells whether bytes are right. So the server must state the
 * file's length. An answer that ends early is resumed where it ended, and only from the same file:
 * its ETag, or its Last-Modified and length, must show that.
 *
 * With trusted keys there is a digest: of URL.sums, a list of checksums that one of them has signed
 * and that is fetched before any byte of the file. A list says nothing about serials, and a
 * manifest's digest nothing about a file: an option that requires one of these gets no file.
 *
 * One thread. Written bytes cannot be taken back: standard output gets the file's first bytes even
 * when this fails later, also because of its digest, so the exit status counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/sums.h"
#include "fuse/commands.h"
#include "fuse/log.h"
#include "fuse/options.h"
#include "fuse/source.h"
#include "fuse/util.h"

#define SUMS_SUFFIX ".sums"

struct fetch {
    struct dlf_get get; /* first: callbacks get its address */
    struct dlf_options options;
    struct dlf_source *source;
    char shown[DLF_URL_MAX];      /* the URL without credentials */
    char base[DLF_URL_MAX];       /* up to the file's name */
    char name[DLF_URL_MAX];       /* the rest, without a fragment */
    struct dlf_plain_file answer; /* to the running attempt */
    struct dlf_plain_file first;  /* to the attempt that brought the first byte */
    struct dlf_sha256 wanted;     /* with keys: the digest in the sums */
    struct dlf_sha256_ctx *hash;  /* the same: of the written bytes; else NULL */
    char part[PATH_MAX];          /* the file to write; "" for standard output */
    int fd;
    bool compared;     /* the running attempt's answer with the first one */
    uint64_t have;     /* bytes written */
    uint64_t moved_ms; /* when the last of them was */
    unsigned failures; /* since then */
    bool finished;     /* the running attempt is over, with rc */
    bool hopeless;     /* and another one would not help */
    int rc;
    struct dlf_err err;
};

static int refuse(struct fetch *f, int rc)
{
    f->hopeless = true;
    return rc;
}

/* The first answer is here, with the file's size: is there room? */
static int begin_file(struct fetch *f)
{
    f->first = f->answer;
    bool known = f->first.size != DLF_SIZE_UNKNOWN;
    if (known && f->options.room_bytes && f->first.size > f->options.room_bytes)
        return refuse(f, dlf_fail(&f->err, ENOSPC,
                                  "the file has %" PRIu64 " bytes, there is room for %" PRIu64,
                                  f->first.size, f->options.room_bytes));
    if (!f->options.quiet && known)
        dlf_info("%s: %" PRIu64 " bytes", f->shown, f->first.size);
    else if (!f->options.quiet)
        dlf_info("%s: the server does not say how many bytes", f->shown);
    return 0;
}

static int compare_answers(struct fetch *f)
{
    f->compared = true;
    if (!f->have)
        return begin_file(f);
    if (f->first.size == DLF_SIZE_UNKNOWN)
        f->first.size = f->answer.size;
    if ((f->answer.size != f->first.size && f->answer.size != DLF_SIZE_UNKNOWN) ||
        strcmp(f->answer.validator, f->first.validator) != 0)
        return refuse(f, dlf_fail(&f->err, ESTALE, "the file changed after %" PRIu64 " bytes of it",
                                  f->have));
    return 0;
}

static int write_all(struct fetch *f, const uint8_t *bytes, size_t size)
{
    uint64_t room = f->options.room_bytes;
    if (room && f->have + size > room)
        return refuse(
            f, dlf_fail(&f->err, ENOSPC,
                        "the file has more than %" PRIu64 " bytes, there is no room for it", room));
    while (size) {
        ssize_t n = write(f->fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse(f, dlf_fail(&f->err, errno, "cannot write after %" PRIu64 " bytes: %s",
                                      f->have, strerror(errno)));
        if (f->hash)
            dlf_sha256_add(f->hash, bytes, (size_t)n);
        bytes += n;
        size -= (size_t)n;
        f->have += (uint64_t)n;
    }
    return 0;
}

static bool fetch_data(struct dlf_get *get, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct fetch *f = (struct fetch *)get;
    int rc = f->compared ? 0 : compare_answers(f);
    if (rc == 0 && offset + size > f->first.size)
        rc = refuse(f, dlf_fail(&f->err, EBADMSG, "more than the file's %" PRIu64 " bytes come",
                                f->first.size));
    if (rc == 0 && offset + size > f->have) {
        /* A server without ranges sends the bytes again that are here already. */
        size_t skip = f->have > offset ? (size_t)(f->have - offset) : 0;
        rc = write_all(f, bytes + skip, size - skip);
        f->moved_ms = dlf_now_ms();
        f->failures = 0;
    }
    f->rc = rc;
    return rc == 0;
}

static void fetch_done(struct dlf_get *get, int rc, const struct dlf_err *err)
{
    struct fetch *f = (struct fetch *)get;
    f->finished = true;
    if (f->rc < 0)
        return; /* the data callback's error */
    f->rc = rc;
    if (rc < 0)
        f->err = *err;
    if (rc == -ENOENT || rc == -EBADMSG)
        f->hopeless = true;
    if (rc == 0 && !f->have)
        f->rc = refuse(f, dlf_fail(&f->err, EBADMSG, "the file is empty"));
}

static int attempt(struct fetch *f)
{
    f->get = (struct dlf_get){
        .path = f->name,
        .offset = f->have,
        .limit = UINT64_MAX,
        .plain = &f->answer,
        .if_range = f->have ? f->first.validator : NULL,
        .data = fetch_data,
        .done = fetch_done,
    };
    f->compared = false;
    f->finished = false;
    f->rc = dlf_source_start(f->source, &f->get, 0);
    if (f->rc < 0)
        return dlf_fail(&f->err, -f->rc, "libcurl does not start a transfer");
    while (!f->finished)
        dlf_source_poll(f->source, 1000);
    return f->rc;
}

/* May another attempt follow a failed one? */
static bool try_again(struct fetch *f)
{
    uint64_t timeout_ms = f->options.timeout_ms;
    if (f->hopeless)
        return false;
    if (f->have && !f->first.validator[0]) {
        struct dlf_err why = f->err;
        dlf_fail(&f->err, EIO,
                 "%s; it cannot be resumed: the server gives neither ETag nor Last-Modified",
                 why.msg);
        return false;
    }
    return !timeout_ms || dlf_now_ms() - f->moved_ms < timeout_ms;
}

/* After a failed attempt: waits for the next one. False when there is none. */
static bool wait_for_next(struct fetch *f)
{
    if (!try_again(f))
        return false;
    uint64_t wait_ms = dlf_backoff_ms(f->failures++);
    if (!f->options.quiet)
        dlf_warn("%s: %s; %" PRIu64 " bytes are here, next try in %" PRIu64 " ms", f->shown,
                 f->err.msg, f->have, wait_ms);
    usleep((useconds_t)(wait_ms * 1000));
    return true;
}

static void begin_attempts(struct fetch *f)
{
    f->moved_ms = dlf_now_ms();
    f->failures = 0;
}

/* Are these the bytes that the signed sums are about? */
static int check_digest(struct fetch *f)
{
    char wanted[DLF_SHA256_HEX + 1];
    char found[DLF_SHA256_HEX + 1];
    struct dlf_sha256 digest = dlf_sha256_end(f->hash);
    f->hash = NULL;
    if (dlf_sha256_fits(&digest, &f->wanted))
        return 0;
    dlf_sha256_hex(&f->wanted, wanted);
    dlf_sha256_hex(&digest, found);
    return dlf_fail(&f->err, EKEYREJECTED,
                    "refused: its SHA-256 is %s, and the signed sums want %s: it was changed, or "
                    "the sums are of another version",
                    found, wanted);
}

static int get_file(struct fetch *f)
{
    begin_attempts(f);
    while (attempt(f) < 0)
        if (!wait_for_next(f))
            return f->rc;
    return f->hash ? check_digest(f) : 0;
}

/* The text of URL.sums into text; its length. */
static int64_t get_sums(struct fetch *f, const char *path, char *text, size_t room)
{
    begin_attempts(f);
    for (;;) {
        uint32_t tried = 0;
        unsigned mirror;
        int64_t n =
            dlf_source_get_whole(f->source, path, &tried, &mirror, (uint8_t *)text, room, &f->err);
        if (n >= 0)
            return n;
        if (n == -EAGAIN)
            dlf_fail(&f->err, EAGAIN, "the server has asked to be left alone for a while");
        f->hopeless = n == -ENOENT || n == -EBADMSG;
        if (wait_for_next(f))
            continue;
        struct dlf_err why = f->err;
        return dlf_fail(&f->err, (int)-n, "its signed sums cannot be had: %s", why.msg);
    }
}

/* Sets wanted, from a text that a trusted key has signed. */
static int read_sums(struct fetch *f, const char *path, const char *text, size_t size)
{
    char signed_by[DLF_KEY_ID_HEX + 1];
    char name[DLF_URL_MAX];
    struct dlf_err why;
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(f->name, "?"), f->name);
    int64_t body = dlf_trust_text(&f->options.trust, DLF_SIGNS_SUMS, text, size, signed_by, &why);
    if (body < 0)
        return dlf_fail(&f->err, (int)-body, "%s%.*s: %s", dlf_source_mirror_base(f->source, 0),
                        (int)strcspn(path, "?"), path, why.msg);
    int rc = dlf_sums_find(text, (size_t)body, name, &f->wanted, &why);
    if (rc < 0)
        return dlf_fail(&f->err, -rc, "%s%.*s: refused: %s", dlf_source_mirror_base(f->source, 0),
                        (int)strcspn(path, "?"), path, why.msg);
    if (!f->options.quiet)
        dlf_info("%s: its sums are signed by key %s", f->shown, signed_by);
    return 0;
}

/* Where keys were given: gets the digest that the file must have. */
static int ask_for_sums(struct fetch *f)
{
    const size_t room = DLF_SUMS_MAX + DLF_SIGNATURES_TEXT_MAX;
    const char *query = f->name + strcspn(f->name, "?");
    char path[DLF_URL_MAX + sizeof(SUMS_SUFFIX)];
    if (!f->options.trust.keys_from)
        return 0;
    snprintf(path, sizeof(path), "%.*s" SUMS_SUFFIX "%s", (int)(query - f->name), f->name, query);
    char *text = malloc(room);
    f->hash = dlf_sha256_begin();
    int64_t n = text && f->hash ? get_sums(f, path, text, room)
                                : dlf_fail(&f->err, ENOMEM, "out of memory");
    int rc = n < 0 ? (int)n : read_sums(f, path, text, (size_t)n);
    free(text);
    return rc;
}

static int open_target(struct fetch *f)
{
    const char *target = f->options.target;
    if (strcmp(target, "-") == 0) {
        f->fd = STDOUT_FILENO;
        return 0;
    }
    if (snprintf(f->part, sizeof(f->part), "%s.part", target) >= (int)sizeof(f->part))
        return dlf_fail(&f->err, ENAMETOOLONG, "%s: the name is too long", target);
    f->fd = open(f->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return f->fd < 0 ? dlf_fail(&f->err, errno, "%s: %s", f->part, strerror(errno)) : 0;
}

/* Gives a complete file its name, and removes an incomplete one. */
static int close_target(struct fetch *f, int rc)
{
    if (!f->part[0] || f->fd < 0)
        return rc;
    if (rc == 0 && fsync(f->fd) < 0)
        rc = dlf_fail(&f->err, errno, "%s: %s", f->part, strerror(errno));
    close(f->fd);
    if (rc == 0 && rename(f->part, f->options.target) < 0)
        rc = dlf_fail(&f->err, errno, "%s: cannot be renamed to %s: %s", f->part, f->options.target,
                      strerror(errno));
    if (rc < 0)
        unlink(f->part);
    return rc;
}

/* Sets shown, base and name. */
static int split_url(struct fetch *f)
{
    const char *url = f->options.urls[0];
    struct dlf_url parts;
    size_t length = strcspn(url, "#");
    size_t slash = strcspn(url, "?#");
    dlf_url_shown(f->shown, sizeof(f->shown), url);
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return dlf_fail(&f->err, EINVAL, "%s: not an http:// or https:// URL", f->shown);
    if (strlen(url) >= DLF_URL_MAX)
        return dlf_fail(&f->err, EINVAL, "%.80s...: the URL is too long", f->shown);
    if (!dlf_url_split(&parts, url))
        return dlf_fail(&f->err, EINVAL, "%s: not the URL of a server", f->shown);
    while (url[slash - 1] != '/')
        slash--;
    if (slash <= strlen("https://") || strchr("?#", url[slash]))
        return dlf_fail(&f->err, EINVAL, "%s: the URL does not end in a file's name", f->shown);
    snprintf(f->base, sizeof(f->base), "%.*s", (int)slash, url);
    snprintf(f->name, sizeof(f->name), "%.*s", (int)(length - slash), url + slash);
    return 0;
}

static int check_arguments(struct fetch *f)
{
    const struct dlf_trust *trust = &f->options.trust;
    if (f->options.url_count > 1)
        return dlf_fail(&f->err, EINVAL, "-o mirror=: fetch takes one URL");
    if (trust->serial_min || trust->digest_given)
        return dlf_fail(&f->err, EINVAL,
                        "-o %s=: refused: it is about a manifest, and nothing shows which version "
                        "a plain file is",
                        trust->serial_min ? "serial" : "digest");
    return split_url(f);
}

static struct dlf_source *open_source(const struct fetch *f)
{
    const char *bases[] = {f->base};
    const struct dlf_http *http = &f->options.http;
    struct dlf_source_config config = {
        .bases = bases,
        .count = 1,
        .most = 1,
        .stall_ms = DLF_STALL_MS,
        .proxy = http->proxy,
        .ca = http->ca,
        .ca_size = http->ca_size,
        .header_lines = http->header_lines,
    };
    return dlf_source_new(&config);
}

static int transfer(struct fetch *f)
{
    if (f->options.http.ca && !dlf_source_takes_ca())
        return dlf_fail(&f->err, ENOTSUP, "-o ca=%s: needs libcurl 7.77 or newer",
                        f->options.http.ca_from);
    f->source = open_source(f);
    if (!f->source)
        return dlf_fail(&f->err, ENOMEM, "out of memory");
    int rc = ask_for_sums(f);
    if (rc == 0)
        rc = get_file(f);
    if (f->hash)
        dlf_sha256_end(f->hash);
    dlf_source_free(f->source);
    return rc;
}

int dlf_cmd_fetch(int argc, char **argv)
{
    struct fetch f = {.fd = -1};
    int rc = dlf_options_parse(&f.options, argc, argv, &f.err);
    if (rc == 0)
        rc = check_arguments(&f);
    if (rc < 0) {
        fprintf(stderr, "dlfuse fetch: %s; see dlfuse --help\n", f.err.msg);
        return DLF_EXIT_USAGE;
    }
    dlf_log_open(f.options.log, f.options.debug);
    signal(SIGPIPE, SIG_IGN); /* a reader that has ended is an error like others */
    rc = dlf_source_global_init(&f.err);
    if (rc == 0)
        rc = dlf_trust_open(&f.options.trust, &f.err);
    if (rc == 0)
        rc = dlf_http_open(&f.options.http, &f.err);
    if (rc == 0)
        rc = open_target(&f);
    if (rc == 0) {
        rc = transfer(&f);
        rc = close_target(&f, rc);
    }
    dlf_http_close(&f.options.http);
    if (rc < 0)
        dlf_error("%s: %s", f.shown, f.err.msg);
    return rc < 0 ? DLF_EXIT_FAILED : DLF_EXIT_OK;
}
