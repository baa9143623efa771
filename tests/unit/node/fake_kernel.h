/*
 * System calls that fail at a test's command, and a machine that the test makes up. The program is
 * linked with --wrap for pwrite64, fallocate64, sysconf and clock_gettime; all other calls go to
 * the real function. Any thread.
 */
#ifndef DLFUSE_TESTS_FAKE_KERNEL_H
#define DLFUSE_TESTS_FAKE_KERNEL_H

#include <stdatomic.h>
#include <stdint.h>

struct fake_kernel {
    atomic_long page_bytes; /* 0: the machine's own */
    atomic_long processors; /* 0: the machine's own */
    atomic_uint later_ms;   /* the clock is ahead by this time */

    /* This many of the next pwrite fail with write_errno, after write_part bytes; errno 0: with a
     * return of 0. */
    atomic_uint write_failures;
    atomic_int write_errno;
    atomic_uint write_part;
    atomic_uint write_short; /* most bytes of one pwrite; 0: all */

    atomic_uint punch_failures;
    atomic_int punch_errno;
    atomic_uint odd_punches; /* punches that do not end at pages */
    atomic_uint failed;      /* calls that were made to fail */
};

extern struct fake_kernel fake_kernel;

/* Resets all to the machine's own. */
void fake_kernel_reset(void);

#endif
