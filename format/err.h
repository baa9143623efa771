/*
 * An error, reported once: a negative errno for the program, one line for the user.
 *
 * Library functions fill it where the context is known and return the code; programs print it. The
 * line names the thing, the cause and, where there is a choice, the next step; it has no newline.
 */
#ifndef DLFUSE_FORMAT_ERR_H
#define DLFUSE_FORMAT_ERR_H

#include <errno.h>

struct dlf_err {
    char msg[640];
};

/*
 * int dlf_fail(struct dlf_err *err, int code, const char *fmt, ...)
 *
 * Writes the message (cut, never overflowed) and returns -code. code is a positive errno value:
 * EBADMSG for invalid bytes, ENOTSUP for versions and codecs that this build lacks, EFBIG for sizes
 * over a limit. err may be NULL; arguments may point into it. A failure never returns success: a
 * code that is not positive, such as an errno that no call has set, becomes EIO. It is a macro so
 * that compilers and analyzers see that the result is negative.
 */
#define dlf_fail(err, code, ...)                                                                   \
    __extension__({                                                                                \
        int dlf_code_ = dlf_negative(code);                                                        \
        dlf_say((err), __VA_ARGS__);                                                               \
        dlf_code_;                                                                                 \
    })

/* The parts of dlf_fail. */
static inline int dlf_negative(int code)
{
    return code > 0 ? -code : -EIO;
}

void dlf_say(struct dlf_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
