/*
 * Every cmocka test of format/ includes this: the headers in the order that cmocka requires, and
 * checks that show the message on failure.
 */
#ifndef DLFUSE_TESTS_FORMAT_CHECK_H
#define DLFUSE_TESTS_FORMAT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "format/err.h"

/* The call failed with this code and message. Messages are part of the contract: users act on them.
 */
#define assert_refused(rc, code, err, text)                                                        \
    do {                                                                                           \
        assert_int_equal((rc), -(code));                                                           \
        assert_string_equal((err).msg, (text));                                                    \
    } while (0)

/* The call worked; otherwise shows its message. */
#define assert_works(rc, err)                                                                      \
    do {                                                                                           \
        int rc_ = (rc);                                                                            \
        if (rc_ != 0)                                                                              \
            fail_msg("%d: %s", rc_, (err).msg);                                                    \
    } while (0)

#endif
