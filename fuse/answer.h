/*
 * An HTTP answer's head: reads the header lines, and checks that the answer fits the question.
 *
 * Pure: no network, no clock. The lines come from outside and may hold anything.
 */
#ifndef DLFUSE_FUSE_ANSWER_H
#define DLFUSE_FUSE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/err.h"

/* All zero: no line was seen. */
struct dlf_answer {
    bool has_range; /* a Content-Range that can be used */
    uint64_t range_from;
    uint64_t range_to; /* the last byte */
    char coding[16];   /* Content-Encoding, in lower case; "": none, or identity */
    bool has_date;
    int64_t date_s; /* the server's clock, seconds since 1970 */
    bool retry_seconds_given;
    bool retry_date_given;
    int64_t retry_s; /* seconds to wait, or since 1970 */
    bool has_total;  /* Content-Range says how long the whole object is */
    uint64_t total;
    bool has_length; /* Content-Length, which is the body's unless a Transfer-Encoding is there */
    uint64_t length;
    bool transfer_coded; /* Transfer-Encoding, any: then Content-Length says nothing */
    bool chunked;        /* and just that one: the last chunk says that it is the last */
    char etag[128];      /* a strong one; "": none, or none that fits */
    char modified[128];  /* Last-Modified; the same */
};

/* The body comes in chunks, and its length is unknown. */
#define DLF_SIZE_UNKNOWN UINT64_MAX

/* An answer's description of its object, for an object without a digest to check it against. */
struct dlf_plain_file {
    uint64_t size;       /* of the whole object, or DLF_SIZE_UNKNOWN */
    char validator[128]; /* a strong ETag, else Last-Modified; "": it has neither */
};

/* The range that a request asks for. */
struct dlf_question {
    uint64_t offset;
    uint64_t length; /* 0: the whole object */
};

/* Takes one line, its end included. A status line clears the earlier lines: they belong to another
 * answer. */
void dlf_answer_line(struct dlf_answer *answer, const char *line, size_t size);

/*
 * Milliseconds that Retry-After asks for; 0: none. A date counts from the answer's own Date,
 * because this machine's clock may be wrong.
 */
uint64_t dlf_answer_retry_after_ms(const struct dlf_answer *answer);

/* Redirect to somewhere else? */
bool dlf_status_redirects(long status);

/*
 * Is this the answer to the question? 0: *position is the offset in the object of the body's first
 * byte, *whole: the whole object comes, though a range was asked for. -ENOENT: no such object, or
 * no access to it (403): a store that forbids listing answers both alike. -EBADMSG: it does not fit
 * the question. -EIO: any other status.
 */
int dlf_answer_check(const struct dlf_answer *answer, long status,
                     const struct dlf_question *question, uint64_t *position, bool *whole,
                     struct dlf_err *err);

/*
 * The same for a plain file from offset to its end. A 206 must be for just that range. A 200 brings
 * the file from its start: it is another file than If-Range named, or the server does not support
 * ranges. The answer must state the file's length, or come in chunks: else -EBADMSG, because its
 * end could not be recognised. name: the file's name in the request, perhaps with a query. A server
 * may call gzip's output Content-Encoded, but only for a NAME.gz: then the bytes are those of the
 * stored file. *file and *position are untouched on failure.
 */
int dlf_answer_check_plain(const struct dlf_answer *answer, long status, const char *name,
                           uint64_t offset, uint64_t *position, struct dlf_plain_file *file,
                           struct dlf_err *err);

#endif
