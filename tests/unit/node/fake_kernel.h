/*
 * System calls that a test makes fail, and a machine that it makes up. The program is linked with
 * --wrap for pwrite64, fallocate64, sysconf and clock_gettime; what is not asked for here goes to
 * the real one. Any thread.
 */
#ifndef DLFUSE_TESTS_FAKE_KERNEL_H
#define DLFUSE_TESTS_FAKE_KERNEL_H

#include <stdatomic.h>
#include <stdint.h>

struct fake_kernel {
    atomic_long page_bytes; /* 0: the machine's own */
    atomic_long processors; /* 0: the machine's own */
    atomic_uint later_ms;   /* the clock is ahead by so much */

    /* So many of the next pwrite fail with write_errno, after write_part bytes; errno 0: with a
     * return of 0. */
    atomic_uint write_failures;
    atomic_int write_errno;
    atomic_uint write_part;
    atomic_uint write_short; /* most bytes of one pwrite; 0: all */

    atomic_uint punch_failures;
    atomic_int punch_errno;
    atomic_uint odd_punches; /* whose ends were no pages' */
    atomic_uint failed;      /* calls that were made to fail */
};

extern struct fake_kernel fake_kernel;

/* All as the machine has it. */
void fake_kernel_reset(void);

#endif
