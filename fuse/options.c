/* Command-line arguments of mount, download and fetch. Pure but for asking how much RAM there is.
 */
#include "fuse/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/text.h"
#include "fuse/url.h"

/* Percent of RAM that the cache may take when nothing is said. */
#define CACHE_PERCENT 50

/* Seconds after ready within which nodes begin to fill: a fleet that boots together is spread out.
 */
#define FILL_DELAY_S 10

/* Seconds: a server that restarts is back in less. */
#define ENDING_S 30

/* Bytes: below this a few large reads would push each other out before they are answered. */
#define CACHE_MIN ((uint64_t)4 << 20)

static uint64_t ram_percent(uint64_t percent)
{
    uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 100 * percent;
}

static bool read_number(const char *text, uint64_t *number, const char **end)
{
    char *stop;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &stop, 10);
    *end = stop;
    return errno == 0;
}

bool dlf_parse_size(const char *text, uint64_t *bytes)
{
    static const char suffixes[] = "KMGT";
    uint64_t n;
    const char *end;
    if (!read_number(text, &n, &end))
        return false;
    if (strcmp(end, "%") == 0) {
        if (n < 1 || n > 100)
            return false;
        *bytes = ram_percent(n);
        return true;
    }
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;
    unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    if (*end && (!suffix || end[1]))
        return false;
    if (n > UINT64_MAX >> shift)
        return false;
    *bytes = n << shift;
    return true;
}

static int add_url(struct dlf_options *o, const char *url, struct dlf_err *err)
{
    if (o->url_count == DLF_OPTION_URLS_MAX)
        return dlf_fail(err, EINVAL, "%s: at most %d URLs", url, DLF_OPTION_URLS_MAX);
    o->urls[o->url_count++] = url;
    return 0;
}

static bool read_switch(const char *value, bool *out)
{
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return false;
    *out = *value == '1';
    return true;
}

static bool read_log(const char *value, enum dlf_log_target *out)
{
    if (strcmp(value, "stderr") == 0)
        *out = DLF_LOG_STDERR;
    else if (strcmp(value, "syslog") == 0)
        *out = DLF_LOG_SYSLOG;
    else if (strcmp(value, "kmsg") == 0)
        *out = DLF_LOG_KMSG;
    else
        return false;
    return true;
}

static bool read_seconds(const char *value, uint64_t *ms)
{
    const char *end;
    uint64_t seconds;
    if (!read_number(value, &seconds, &end) || *end || seconds > 86400)
        return false;
    *ms = seconds * 1000;
    return true;
}

static bool read_delay(const char *value, uint32_t *ms)
{
    uint64_t wide;
    if (!read_seconds(value, &wide))
        return false;
    *ms = (uint32_t)wide; /* a day of milliseconds */
    return true;
}

static bool read_serial(const char *value, uint64_t *serial)
{
    const char *end;
    return dlf_text_number(value, UINT64_MAX, serial, &end) && !*end && *serial > 0;
}

/* Upper case is as good as lower: not every program writes digests like sha256sum. */
static bool read_digest(const char *value, struct dlf_sha256 *digest)
{
    char lower[DLF_SHA256_HEX + 1];
    if (strlen(value) != DLF_SHA256_HEX)
        return false;
    for (size_t i = 0; i < sizeof lower; i++)
        lower[i] = value[i] >= 'A' && value[i] <= 'F' ? (char)(value[i] - 'A' + 'a') : value[i];
    return dlf_sha256_parse(digest, lower);
}

/* Options about trust in a manifest; false when name is none of these. */
static bool set_trust(struct dlf_trust *trust, const char *name, const char *value, bool *ok)
{
    if (strcmp(name, "keys") == 0) {
        trust->keys_from = value;
        *ok = *value != 0;
    } else if (strcmp(name, "serial") == 0) {
        *ok = read_serial(value, &trust->serial_min);
    } else if (strcmp(name, "digest") == 0) {
        *ok = trust->digest_given = read_digest(value, &trust->digest);
    } else {
        return false;
    }
    return true;
}

/* Options about requests; -ENOENT when name is none of these. */
static int set_http(struct dlf_http *http, const char *name, const char *value, struct dlf_err *err)
{
    struct dlf_url parts;
    char shown[DLF_URL_MAX];
    if (strcmp(name, "proxy") == 0) {
        dlf_url_shown(shown, sizeof(shown), value);
        if (!dlf_url_split(&parts, value))
            return dlf_fail(err, EINVAL,
                            "-o proxy=%.300s: not http://HOST:PORT or https://HOST:PORT", shown);
        http->proxy = value;
    } else if (strcmp(name, "ca") == 0) {
        http->ca_from = value;
    } else if (strcmp(name, "headers") == 0) {
        http->headers_from = value;
    } else {
        return -ENOENT;
    }
    return *value ? 0 : dlf_fail(err, EINVAL, "-o %s=: a file is missing", name);
}

static int set_value(struct dlf_options *o, const char *name, const char *value,
                     struct dlf_err *err)
{
    bool ok = true;
    int rc = set_http(&o->http, name, value, err);
    if (rc != -ENOENT)
        return rc;
    if (strcmp(name, "cache") == 0)
        ok = dlf_parse_size(value, &o->cache_bytes) && o->cache_bytes >= CACHE_MIN;
    else if (strcmp(name, "fill") == 0)
        ok = read_switch(value, &o->fill);
    else if (strcmp(name, "prefetch") == 0)
        ok = read_switch(value, &o->prefetch);
    else if (strcmp(name, "hedge") == 0)
        ok = read_switch(value, &o->hedge);
    else if (strcmp(name, "boot") == 0)
        ok = read_switch(value, &o->boot);
    else if (strcmp(name, "fillrate") == 0)
        ok = !strchr(value, '%') && dlf_parse_size(value, &o->fill_rate);
    else if (strcmp(name, "filldelay") == 0)
        ok = read_delay(value, &o->fill_delay_ms);
    else if (strcmp(name, "timeout") == 0)
        ok = read_seconds(value, &o->timeout_ms);
    else if (strcmp(name, "ending") == 0)
        ok = read_seconds(value, &o->ending_ms);
    else if (strcmp(name, "log") == 0)
        ok = o->log_given = read_log(value, &o->log);
    else if (strcmp(name, "chroot") == 0)
        o->chroot = value;
    else if (strcmp(name, "trouble") == 0)
        o->trouble = value;
    else if (strcmp(name, "report") == 0)
        o->report = value;
    else if (strcmp(name, "room") == 0)
        ok = dlf_parse_size(value, &o->room_bytes);
    else if (strcmp(name, "mirror") == 0)
        return add_url(o, value, err);
    else if (!set_trust(&o->trust, name, value, &ok))
        return dlf_fail(err, EINVAL, "-o %s=: unknown option", name);
    return ok ? 0 : dlf_fail(err, EINVAL, "-o %s=%s: not a valid value", name, value);
}

/* Options that mount(8) and fstab give every file system; the mount is read-only anyway. */
static bool is_generic(const char *name)
{
    static const char *const generic[] = {
        "ro",      "rw",       "dev",    "nodev",   "suid",     "nosuid", "exec",
        "noexec",  "auto",     "noauto", "user",    "nouser",   "users",  "nofail",
        "_netdev", "defaults", "atime",  "noatime", "relatime", "async",  "sync",
    };
    for (size_t i = 0; i < sizeof(generic) / sizeof(generic[0]); i++)
        if (strcmp(name, generic[i]) == 0)
            return true;
    return strncmp(name, "x-", 2) == 0 || strncmp(name, "comment=", 8) == 0;
}

static int set_option(struct dlf_options *o, char *option, struct dlf_err *err)
{
    char *value = strchr(option, '=');
    if (is_generic(option))
        return 0;
    if (value) {
        *value = 0;
        return set_value(o, option, value + 1, err);
    }
    if (strcmp(option, "rootfs") == 0)
        o->rootfs = true;
    else if (strcmp(option, "allow_other") == 0)
        o->allow_other = true;
    else if (strcmp(option, "debug") == 0)
        o->debug = true;
    else
        return dlf_fail(err, EINVAL, "-o %s: unknown option", option);
    return 0;
}

/* Cuts the next option off, in place: a comma ends it, "\," is a comma. */
static char *next_option(char **rest)
{
    char *option = *rest;
    char *out = option;
    char *p = option;
    while (*p && *p != ',') {
        if (*p == '\\' && p[1])
            p++;
        *out++ = *p++;
    }
    *rest = *p ? p + 1 : p;
    *out = 0;
    return option;
}

static int set_options(struct dlf_options *o, char *list, struct dlf_err *err)
{
    int rc = 0;
    while (rc == 0 && *list) {
        char *option = next_option(&list);
        if (*option)
            rc = set_option(o, option, err);
    }
    return rc;
}

int dlf_options_parse(struct dlf_options *options, int argc, char **argv, struct dlf_err *err)
{
    struct dlf_options o = {
        .cache_bytes = ram_percent(CACHE_PERCENT),
        .fill = true,
        .prefetch = true,
        .hedge = true,
        .boot = true,
        .fill_delay_ms = FILL_DELAY_S * 1000,
        .ending_ms = ENDING_S * 1000,
    };
    const char *url = NULL;
    int rc = 0;
    o.url_count = 1; /* the place of the URL itself, which may come behind mirrors */
    for (int i = 0; rc == 0 && i < argc; i++) {
        char *arg = argv[i];
        if (strcmp(arg, "-f") == 0)
            o.foreground = true;
        else if (strcmp(arg, "-q") == 0 || strcmp(arg, "--quiet") == 0)
            o.quiet = true;
        else if (strcmp(arg, "-o") == 0 && i + 1 < argc)
            rc = set_options(&o, argv[++i], err);
        else if (strncmp(arg, "-o", 2) == 0 && arg[2])
            rc = set_options(&o, arg + 2, err);
        else if (strcmp(arg, "--keys") == 0 && i + 1 < argc)
            rc = set_value(&o, "keys", argv[++i], err);
        else if (arg[0] == '-' && arg[1])
            rc = dlf_fail(err, EINVAL, "%s: unknown option", arg);
        else if (!url)
            url = arg;
        else if (!o.target)
            o.target = arg;
        else
            rc = dlf_fail(err, EINVAL, "%s: one argument too many", arg);
    }
    if (rc < 0)
        return rc;
    if (!url || !o.target)
        return dlf_fail(err, EINVAL, "%s is missing", url ? "the target" : "the URL");
    o.urls[0] = url;
    *options = o;
    return 0;
}
