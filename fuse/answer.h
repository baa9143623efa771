/*
 * An HTTP answer's head: what its header lines say, and whether it answers the question.
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

/* It comes in chunks, and nobody knows how many. */
#define DLF_SIZE_UNKNOWN UINT64_MAX

/* What an answer says of its object, for one that has no digest to hold it against. */
struct dlf_plain_file {
    uint64_t size;       /* of the whole object, or DLF_SIZE_UNKNOWN */
    char validator[128]; /* a strong ETag, else Last-Modified; "": it has neither */
};

/* What was asked for. */
struct dlf_question {
    uint64_t offset;
    uint64_t length; /* 0: the whole object */
};

/* Takes one line, its end included. A status line forgets what came before: that was another
 * answer. */
void dlf_answer_line(struct dlf_answer *answer, const char *line, size_t size);

/*
 * Milliseconds that Retry-After asks for; 0: it does not. A date counts from the answer's own Date,
 * for this machine may not know what time it is.
 */
uint64_t dlf_answer_retry_after_ms(const struct dlf_answer *answer);

/* Redirect to somewhere else? */
bool dlf_status_redirects(long status);

/*
 * Is this the answer to the question? 0: *position is the offset in the object of the body's first
 * byte, *whole that all of the object comes though a range was asked for. -ENOENT: no such object,
 * or it is not for us (403): stores that do not let everybody list them say the same of both.
 * -EBADMSG: it does not fit the question. -EIO: any other status.
 */
int dlf_answer_check(const struct dlf_answer *answer, long status,
                     const struct dlf_question *question, uint64_t *position, bool *whole,
                     struct dlf_err *err);

/*
 * The same for a plain file from offset to its end. A 206 must be for just that; a 200 brings the
 * file from its start, because it is another one than If-Range named or the server does no ranges.
 * The answer must say how long the file is, or come in chunks: else -EBADMSG, for nobody could tell
 * when it is complete. name, of the file as it was asked for, perhaps with a query: a server may
 * call gzip's output Content-Encoded, but then it must be called NAME.gz, so that it is as it lies
 * there. *file and *position are untouched on failure.
 */
int dlf_answer_check_plain(const struct dlf_answer *answer, long status, const char *name,
                           uint64_t offset, uint64_t *position, struct dlf_plain_file *file,
                           struct dlf_err *err);

#endif
