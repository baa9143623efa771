/* Reads the files of certificates and header lines. */
#include "fuse/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "fuse/file.h"

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"

/* The file's bytes and a NUL behind them; malloc, NULL with err. */
static char *read_text(const char *option, const char *path, size_t max, size_t *size, mode_t *mode,
                       int *rc, struct dlf_err *err)
{
    char *text = malloc(max + 2);
    if (!text) {
        *rc = dlf_fail(err, ENOMEM, "out of memory");
        return NULL;
    }
    ssize_t n = dlf_file_read(AT_FDCWD, path, text, max + 1, mode);
    *rc = 0;
    if (n == -EINVAL)
        *rc = dlf_fail(err, EINVAL, "-o %s=%s: not a regular file", option, path);
    else if (n < 0)
        *rc = dlf_fail(err, (int)-n, "-o %s=%s: %s", option, path, strerror((int)-n));
    else if ((size_t)n > max)
        *rc = dlf_fail(err, EFBIG, "-o %s=%s: larger than %zu bytes", option, path, max);
    else if (memchr(text, 0, (size_t)n))
        *rc = dlf_fail(err, EBADMSG, "-o %s=%s: not a text file", option, path);
    if (*rc < 0) {
        free(text);
        return NULL;
    }
    text[n] = 0;
    *size = (size_t)n;
    return text;
}

static int open_ca(struct dlf_http *http, struct dlf_err *err)
{
    int rc;
    http->ca = read_text("ca", http->ca_from, DLF_HTTP_CA_MAX, &http->ca_size, NULL, &rc, err);
    if (rc == 0 && !strstr(http->ca, PEM_BEGIN))
        rc = dlf_fail(err, EBADMSG, "-o ca=%s: no PEM certificate (" PEM_BEGIN ") in it",
                      http->ca_from);
    return rc;
}

/* Bytes of a header's name (RFC 9110, token). */
static size_t name_length(const char *line)
{
    return strspn(line, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* Lines that are the source's own business: with these, answers would not fit the questions. */
static bool is_ours(const char *line, size_t length)
{
    static const char *const ours[] = {"range",      "if-range",       "accept-encoding",
                                       "connection", "content-length", "transfer-encoding"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strlen(ours[i]) == length && strncasecmp(line, ours[i], length) == 0)
            return true;
    return false;
}

/* The line's fault; NULL: none. */
static const char *line_fault(const char *line)
{
    size_t length = name_length(line);
    const char *value = line + length + 1;
    if (!length || line[length] != ':')
        return "is not \"Name: value\"";
    if (is_ours(line, length))
        return "is a header that dlfuse sets itself";
    value += strspn(value, " \t");
    if (!*value)
        return "has no value";
    for (const char *p = value; *p; p++)
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
            return "has a control character";
    return NULL;
}

static int add_lines(struct dlf_http *http, struct dlf_err *err)
{
    unsigned count = 0;
    unsigned number = 0;
    char *rest = http->headers;
    char *line;
    while ((line = strsep(&rest, "\n"))) {
        number++;
        if (!*line)
            continue;
        const char *fault = line_fault(line);
        if (fault)
            return dlf_fail(err, EBADMSG, "-o headers=%s: line %u %s", http->headers_from, number,
                            fault);
        if (count == DLF_HTTP_LINES_MAX)
            return dlf_fail(err, EFBIG, "-o headers=%s: more than %d header lines",
                            http->headers_from, DLF_HTTP_LINES_MAX);
        http->header_lines[count++] = line;
    }
    if (!count)
        return dlf_fail(err, EBADMSG, "-o headers=%s: no header line in it", http->headers_from);
    return 0;
}

static int open_headers(struct dlf_http *http, struct dlf_err *err)
{
    size_t size;
    mode_t mode = 0;
    int rc;
    http->headers =
        read_text("headers", http->headers_from, DLF_HTTP_HEADERS_MAX, &size, &mode, &rc, err);
    if (rc == 0 && mode & (S_IRWXG | S_IRWXO))
        rc = dlf_fail(err, EACCES,
                      "-o headers=%s: others than its owner may use it (mode %03o); chmod 600",
                      http->headers_from, (unsigned)(mode & 0777));
    return rc < 0 ? rc : add_lines(http, err);
}

int dlf_http_open(struct dlf_http *http, struct dlf_err *err)
{
    int rc = http->ca_from ? open_ca(http, err) : 0;
    if (rc == 0 && http->headers_from)
        rc = open_headers(http, err);
    if (rc < 0)
        dlf_http_close(http);
    return rc;
}

void dlf_http_close(struct dlf_http *http)
{
    if (http->headers)
        explicit_bzero(http->headers, DLF_HTTP_HEADERS_MAX);
    free(http->headers);
    free(http->ca);
    http->headers = NULL;
    http->ca = NULL;
    memset(http->header_lines, 0, sizeof(http->header_lines));
}
