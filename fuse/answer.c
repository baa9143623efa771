/* Reads header lines and compares them with what was asked. */
#include "fuse/answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* "bytes FROM-TO/TOTAL"; anything else leaves has_range false, which the check refuses. */
static void read_content_range(struct dlf_answer *a, const char *value)
{
    uint64_t from = 0;
    uint64_t to = 0;
    int used = 0;
    a->has_range = sscanf(value, " bytes %" SCNu64 "-%" SCNu64 "/%n", &from, &to, &used) == 2 &&
                   used > 0 && from <= to;
    a->range_from = from;
    a->range_to = to;
}

/* The one form of dates that servers may send (RFC 9110). False: it is none. */
static bool read_date(const char *value, int64_t *seconds)
{
    struct tm tm = {0};
    value += strspn(value, " \t");
    if (!strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return false;
    *seconds = timegm(&tm);
    return true;
}

static void read_retry_after(struct dlf_answer *a, const char *value)
{
    char *end;
    value += strspn(value, " \t");
    if (*value >= '0' && *value <= '9') {
        unsigned long long n = strtoull(value, &end, 10);
        a->retry_s = n < 86400 ? (int64_t)n : 86400;
        a->retry_seconds_given = true;
    } else {
        a->retry_date_given = read_date(value, &a->retry_s);
    }
}

static bool header_is(const char *line, const char *name, const char **value)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return false;
    *value = line + length + 1;
    return true;
}

void dlf_answer_line(struct dlf_answer *a, const char *data, size_t size)
{
    char line[256];
    const char *value;
    size_t n = size < sizeof(line) - 1 ? size : sizeof(line) - 1;
    memcpy(line, data, n);
    line[n] = 0;
    if (strncmp(line, "HTTP/", 5) == 0)
        *a = (struct dlf_answer){0};
    else if (header_is(line, "Content-Range", &value))
        read_content_range(a, value);
    else if (header_is(line, "Content-Encoding", &value))
        a->encoded = strstr(value, "identity") == NULL;
    else if (header_is(line, "Date", &value))
        a->has_date = read_date(value, &a->date_s);
    else if (header_is(line, "Retry-After", &value))
        read_retry_after(a, value);
}

uint64_t dlf_answer_retry_after_ms(const struct dlf_answer *a)
{
    int64_t seconds = 0;
    if (a->retry_seconds_given)
        seconds = a->retry_s;
    else if (a->retry_date_given && a->has_date)
        seconds = a->retry_s - a->date_s;
    else if (a->retry_date_given)
        seconds = a->retry_s - (int64_t)time(NULL);
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

bool dlf_status_redirects(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int check_status(const struct dlf_answer *a, long status, struct dlf_err *err)
{
    uint64_t retry = dlf_answer_retry_after_ms(a) / 1000;
    if (status == 200 || status == 206)
        return 0;
    if (status == 404 || status == 410)
        return dlf_fail(err, ENOENT, "HTTP status %ld: no such file", status);
    if (status == 416)
        return dlf_fail(err, EBADMSG, "HTTP status 416: the object is too short");
    if (status == 401 || status == 407)
        return dlf_fail(err, EIO, "HTTP status %ld: credentials are missing or wrong", status);
    if ((status == 429 || status == 503) && retry)
        return dlf_fail(err, EIO, "HTTP status %ld: try again in %" PRIu64 " s", status, retry);
    return dlf_fail(err, EIO, "HTTP status %ld", status);
}

int dlf_answer_check(const struct dlf_answer *a, long status, const struct dlf_question *q,
                     uint64_t *position, bool *whole, struct dlf_err *err)
{
    int rc = check_status(a, status, err);
    if (rc < 0)
        return rc;
    if (a->encoded)
        return dlf_fail(err, EBADMSG, "the answer is Content-Encoded, though not asked for");
    if (status == 200) {
        /* Also for a range: a server that does not do ranges sends all of the object. */
        *position = 0;
        *whole = q->length != 0;
        return 0;
    }
    if (!q->length)
        return dlf_fail(err, EBADMSG, "HTTP status 206, but no range was asked for");
    if (!a->has_range || a->range_from != q->offset || a->range_to != q->offset + q->length - 1)
        return dlf_fail(err, EBADMSG, "wrong or no Content-Range for bytes %" PRIu64 "-%" PRIu64,
                        q->offset, q->offset + q->length - 1);
    *position = q->offset;
    *whole = false;
    return 0;
}
