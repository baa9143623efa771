/*
 * Every cmocka test of chunker/ includes this: the headers in the order that cmocka requires,
 * reproducible random bytes, and a temporary directory.
 */
#ifndef DLFUSE_TESTS_CHUNKER_CHECK_H
#define DLFUSE_TESTS_CHUNKER_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/err.h"

/* The call worked; otherwise shows its message. */
#define assert_works(rc, err)                                                                      \
    do {                                                                                           \
        int rc_ = (int)(rc);                                                                       \
        if (rc_ < 0)                                                                               \
            fail_msg("%d: %s", rc_, (err).msg);                                                    \
    } while (0)

/* Fills with bytes that depend only on seed. Not compressible. */
static inline void fill_random(uint8_t *data, size_t size, uint64_t seed)
{
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (uint8_t)(x >> 32);
    }
}

/* A new directory below TMPDIR; the caller frees the path with remove_directory. */
static inline char *make_directory(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    assert_true(asprintf(&path, "%s/dlfuse-unit.XXXXXX", base ? base : "/tmp") > 0);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void remove_directory(char *path)
{
    char command[512];
    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0); // NOLINT(*-env33-c)
    free(path);
}

#endif
