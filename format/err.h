/*
 * An error, said once: a negative errno for the program, one line for the person.
 *
 * Library functions fill it where the context is known and return the code; programs print it.
 * The line names the thing, the cause and, where there is a choice, what to do; it has no newline.
 */
#ifndef DLFUSE_FORMAT_ERR_H
#define DLFUSE_FORMAT_ERR_H

struct dlf_err {
    char msg[640];
};

/*
 * Writes the message (cut, never overflowed) and returns -code. code is a positive errno value:
 * EBADMSG for bytes that are not what they claim to be, ENOTSUP for versions and codecs that this
 * build does not have, EFBIG for sizes over a limit. err may be NULL.
 */
int dlf_fail(struct dlf_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
