/* Reports by GET: the query says it all, so that a server's ordinary log is the data base. */
#include "fuse/report.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuse/log.h"
#include "fuse/util.h"

/* Bytes of an answer's body that are read before the transfer is cut. */
#define ANSWER_MAX 65536

int dlf_report_open(struct dlf_report *report, const char *url, const char *proxy, const char *ca,
                    size_t ca_size, struct dlf_err *err)
{
    struct dlf_url parts;
    char shown[DLF_URL_MAX];
    dlf_url_shown(shown, sizeof(shown), url);
    size_t before_query = strcspn(url, "?#");
    const char *slash = memrchr(url, '/', before_query);
    if (strlen(url) >= DLF_URL_MAX || !dlf_url_split(&parts, url) || !slash ||
        slash - url < (ptrdiff_t)sizeof("http://") - 1)
        return dlf_fail(err, EINVAL, "-o report=%.300s: not http:// or https://HOST/PATH", shown);
    char *base = strndup(url, (size_t)(slash - url) + 1);
    struct dlf_source_config web = {
        .bases = (const char *const *)&base,
        .count = 1,
        .most = 1,
        .stall_ms = DLF_REPORT_MS,
        .proxy = proxy,
        .ca = ca,
        .ca_size = ca_size,
    };
    report->path = strndup(slash + 1, strcspn(slash + 1, "#"));
    report->source = base && report->path ? dlf_source_new(&web) : NULL;
    free(base);
    if (report->source)
        return 0;
    dlf_report_close(report);
    return dlf_fail(err, ENOMEM, "out of memory");
}

void dlf_report_close(struct dlf_report *report)
{
    if (report->source)
        dlf_source_free(report->source);
    free(report->path);
    *report = (struct dlf_report){.source = NULL};
}

void dlf_report_path(char out[DLF_REPORT_PATH_MAX], const char *path, const char *host,
                     const struct dlf_manifest *manifest, const char *state, uint64_t uptime_s)
{
    char name[65]; /* as long as Linux has them */
    size_t n = 0;
    for (; host[n] && n < sizeof(name) - 1; n++)
        name[n] = isalnum((unsigned char)host[n]) || strchr(".-", host[n]) ? host[n] : '_';
    name[n] = 0;
    snprintf(out, DLF_REPORT_PATH_MAX,
             "%s%cdlfuse=1&host=%s&image=%s&serial=%" PRIu64 "&state=%s&uptime=%" PRIu64, path,
             strchr(path, '?') ? '&' : '?', n ? name : "_", manifest->name, manifest->serial, state,
             uptime_s);
}

void dlf_report_send(struct dlf_report *report, const struct dlf_manifest *manifest,
                     const char *state)
{
    char path[DLF_REPORT_PATH_MAX];
    char host[256] = "";
    struct timespec up;
    struct dlf_err err;
    uint32_t tried = 0;
    unsigned mirror;
    gethostname(host, sizeof(host) - 1);
    clock_gettime(CLOCK_BOOTTIME, &up);
    dlf_report_path(path, report->path, host, manifest, state, (uint64_t)up.tv_sec);
    uint8_t *answer = malloc(ANSWER_MAX);
    if (!answer)
        return;
    int64_t n =
        dlf_source_get_whole(report->source, path, &tried, &mirror, answer, ANSWER_MAX, &err);
    free(answer);
    /* -ENOENT, -EBADMSG, and whatever has a status: the server has its line in the log. */
    if (n == -EIO && !strstr(err.msg, "HTTP status "))
        dlf_warn("the report that this node is %s: %s", state, err.msg);
    else if (n == -EAGAIN)
        dlf_warn("no report that this node is %s: the server has asked to be left alone", state);
}
