/* Reads header lines and compares them with the request. */
#include "fuse/answer.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Digits up to the line's end. */
static bool read_number(const char *value, uint64_t *number)
{
    char *end;
    if (*value < '0' || *value > '9')
        return false;
    errno = 0;
    *number = strtoull(value, &end, 10);
    return errno == 0 && end[strspn(end, " \t\r\n")] == 0;
}

/* "bytes FROM-TO/TOTAL"; anything else leaves has_range false, which the check refuses. */
static void read_content_range(struct dlf_answer *a, const char *value)
{
    uint64_t from = 0;
    uint64_t to = 0;
    int used = 0;
    a->has_range = sscanf(value, "bytes %" SCNu64 "-%" SCNu64 "/%n", &from, &to, &used) == 2 &&
                   used > 0 && from <= to;
    a->range_from = from;
    a->range_to = to;
    a->has_total = a->has_range && read_number(value + used, &a->total);
}

/* A header's value without the blanks around it; "" when it does not fit, or is no text. It is sent
 * back in If-Range. */
static void keep_value(char *out, size_t room, const char *value)
{
    size_t length = strcspn(value, "\r\n");
    while (length && (value[length - 1] == ' ' || value[length - 1] == '\t'))
        length--;
    bool good = length < room;
    for (size_t i = 0; good && i < length; i++)
        good = value[i] >= ' ' && value[i] <= '~';
    if (!good)
        length = 0;
    memcpy(out, value, length);
    out[length] = 0;
}

/* A value that does not fit is no known coding. */
static void read_coding(struct dlf_answer *a, const char *value)
{
    char text[sizeof(a->coding)];
    size_t n = 0;
    keep_value(text, sizeof(text), value);
    for (; text[n]; n++)
        a->coding[n] = (char)tolower((unsigned char)text[n]);
    a->coding[n] = 0;
    if (!n)
        strcpy(a->coding, "unreadable");
    if (strcmp(a->coding, "identity") == 0)
        a->coding[0] = 0;
}

static void read_transfer_encoding(struct dlf_answer *a, const char *value)
{
    a->transfer_coded = true;
    a->chunked = strncasecmp(value, "chunked", 7) == 0 && !value[7 + strspn(value + 7, " \t\r\n")];
}

/* If-Range takes strong tags only: W/ stands for content that is merely equivalent. */
static void read_etag(struct dlf_answer *a, const char *value)
{
    keep_value(a->etag, sizeof(a->etag), value);
    size_t length = strlen(a->etag);
    if (length < 2 || a->etag[0] != '"' || a->etag[length - 1] != '"')
        a->etag[0] = 0;
}

static void read_content_length(struct dlf_answer *a, const char *value)
{
    a->has_length = read_number(value, &a->length);
}

/* The one form of dates that servers may send (RFC 9110). False: it is none. */
static bool read_date(const char *value, int64_t *seconds)
{
    struct tm tm = {0};
    if (!strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return false;
    *seconds = timegm(&tm);
    return true;
}

static void read_retry_after(struct dlf_answer *a, const char *value)
{
    char *end;
    if (*value >= '0' && *value <= '9') {
        unsigned long long n = strtoull(value, &end, 10);
        a->retry_s = n < 86400 ? (int64_t)n : 86400;
        a->retry_seconds_given = true;
    } else {
        a->retry_date_given = read_date(value, &a->retry_s);
    }
}

/* Sets *value to the text behind the name, the colon and blanks. */
static bool header_is(const char *line, const char *name, const char **value)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return false;
    *value = line + length + 1;
    *value += strspn(*value, " \t");
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
        read_coding(a, value);
    else if (header_is(line, "Date", &value))
        a->has_date = read_date(value, &a->date_s);
    else if (header_is(line, "Retry-After", &value))
        read_retry_after(a, value);
    else if (header_is(line, "Content-Length", &value))
        read_content_length(a, value);
    else if (header_is(line, "Transfer-Encoding", &value))
        read_transfer_encoding(a, value);
    else if (header_is(line, "ETag", &value))
        read_etag(a, value);
    else if (header_is(line, "Last-Modified", &value))
        keep_value(a->modified, sizeof(a->modified), value);
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
    if (status == 403)
        return dlf_fail(err, ENOENT, "HTTP status 403: no such file, or this node may not read it");
    if (status == 416)
        return dlf_fail(err, EBADMSG, "HTTP status 416: the object is too short");
    if (status == 401 || status == 407)
        return dlf_fail(err, EIO, "HTTP status %ld: credentials are missing or wrong", status);
    if ((status == 429 || status == 503) && retry)
        return dlf_fail(err, EIO, "HTTP status %ld: try again in %" PRIu64 " s", status, retry);
    return dlf_fail(err, EIO, "HTTP status %ld", status);
}

static int refuse_coding(const struct dlf_answer *a, struct dlf_err *err)
{
    return dlf_fail(err, EBADMSG, "the answer is Content-Encoded (%s), though not asked for",
                    a->coding);
}

/* Is the coding that of the file itself, by its name? Apache's AddEncoding and the metadata of
 * object stores declare it so. */
static bool coding_is_the_files(const char *coding, const char *name)
{
    static const struct {
        const char *coding, *suffix;
    } known[] = {{"gzip", ".gz"},     {"x-gzip", ".gz"}, {"gzip", ".tgz"}, {"x-gzip", ".tgz"},
                 {"zstd", ".zst"},    {"br", ".br"},     {"xz", ".xz"},    {"x-xz", ".xz"},
                 {"x-bzip2", ".bz2"}, {"bzip2", ".bz2"}, {"lz4", ".lz4"},  {"x-lz4", ".lz4"}};
    size_t length = strcspn(name, "?#");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t n = strlen(known[i].suffix);
        if (strcmp(known[i].coding, coding) == 0 && length > n &&
            strncasecmp(name + length - n, known[i].suffix, n) == 0)
            return true;
    }
    return false;
}

int dlf_answer_check(const struct dlf_answer *a, long status, const struct dlf_question *q,
                     uint64_t *position, bool *whole, struct dlf_err *err)
{
    int rc = check_status(a, status, err);
    if (rc == 0 && a->coding[0])
        rc = refuse_coding(a, err);
    if (rc < 0)
        return rc;
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

int dlf_answer_check_plain(const struct dlf_answer *a, long status, const char *name,
                           uint64_t offset, uint64_t *position, struct dlf_plain_file *file,
                           struct dlf_err *err)
{
    int rc = check_status(a, status, err);
    if (rc == 0 && a->coding[0] && !coding_is_the_files(a->coding, name))
        rc = refuse_coding(a, err);
    if (rc < 0)
        return rc;
    if (status == 206 && !offset)
        return dlf_fail(err, EBADMSG, "HTTP status 206, but no range was asked for");
    if (status == 206 && (!a->has_total || a->range_from != offset || a->range_to >= a->total ||
                          a->range_to + 1 != a->total))
        return dlf_fail(err, EBADMSG, "wrong or no Content-Range for the bytes from %" PRIu64 " on",
                        offset);
    bool length_counts = a->has_length && !a->transfer_coded;
    if (status == 200 && !length_counts && !a->chunked)
        return dlf_fail(err, EBADMSG,
                        "the answer has no Content-Length, nor does it come in chunks: nobody "
                        "could tell when it is complete");
    uint64_t length = length_counts ? a->length : DLF_SIZE_UNKNOWN;
    file->size = status == 206 ? a->total : length;
    memcpy(file->validator, a->etag[0] ? a->etag : a->modified, sizeof(file->validator));
    *position = status == 206 ? offset : 0;
    return 0;
}
