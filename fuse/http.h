/*
 * The settings of requests beside a URL: a proxy, certificates to trust, header lines that grant
 * access.
 *
 * Files are read by one thread at start-up, before chroot and before system calls are filtered.
 * Header lines are secrets: no message, log or status has them.
 */
#ifndef DLFUSE_FUSE_HTTP_H
#define DLFUSE_FUSE_HTTP_H

#include <stddef.h>

#include "format/err.h"

#define DLF_HTTP_LINES_MAX 16
#define DLF_HTTP_HEADERS_MAX ((size_t)16 << 10) /* bytes of the file of header lines */
#define DLF_HTTP_CA_MAX ((size_t)4 << 20)       /* bytes of the file of certificates */

struct dlf_http {
    const char *proxy;        /* URL, borrowed; NULL: as the environment says */
    const char *ca_from;      /* file, borrowed; NULL: the system's certificates */
    const char *headers_from; /* file, borrowed; NULL: none */

    /* Read by dlf_http_open. */
    char *ca; /* PEM; NULL: none */
    size_t ca_size;
    char *headers;                                    /* where header_lines point to */
    const char *header_lines[DLF_HTTP_LINES_MAX + 1]; /* "Name: value", NULL-terminated */
};

/*
 * Reads ca_from, which has one PEM certificate at least, and headers_from, one line a header. Only
 * its owner may have permission to read the latter, else -EACCES. -EBADMSG when the files contain
 * something else, -EFBIG; or the errno of reading them. err names file and line, never the content.
 */
int dlf_http_open(struct dlf_http *http, struct dlf_err *err);

/* Wipes the header lines, and frees all that was read. */
void dlf_http_close(struct dlf_http *http);

#endif
