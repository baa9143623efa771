/* The wrapped calls: see fake_kernel.h. */
#include "fake_kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct fake_kernel fake_kernel;

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
ssize_t __real_pwrite64(int fd, const void *data, size_t size, off_t offset);
int __real_fallocate64(int fd, int mode, off_t offset, off_t size);
long __real_sysconf(int name);
int __real_clock_gettime(clockid_t clock, struct timespec *ts);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t offset);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size);
long __wrap_sysconf(int name);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

void fake_kernel_reset(void)
{
    struct fake_kernel *k = &fake_kernel;
    k->page_bytes = k->processors = 0;
    k->later_ms = k->write_failures = k->write_part = k->write_short = 0;
    k->punch_failures = k->odd_punches = k->failed = 0;
    k->write_errno = ENOMEM;
    k->punch_errno = ENOMEM;
}

/* Decrements *left, unless it is 0. */
static bool take_one(atomic_uint *left)
{
    unsigned n = *left;
    while (n && !atomic_compare_exchange_weak(left, &n, n - 1))
        ;
    fake_kernel.failed += n != 0;
    return n != 0;
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    struct fake_kernel *k = &fake_kernel;
    if (k->write_short && size > k->write_short)
        size = k->write_short;
    if (!k->write_failures || !take_one(&k->write_failures))
        return __real_pwrite64(fd, data, size, offset);
    if (k->write_part && k->write_part < size) {
        __real_pwrite64(fd, data, k->write_part, offset);
        k->write_failures++; /* the next call, for the rest, fails */
        unsigned part = k->write_part;
        k->write_part = 0;
        return part;
    }
    errno = k->write_errno;
    return errno ? -1 : 0;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t size)
{
    struct fake_kernel *k = &fake_kernel;
    long page = sysconf(_SC_PAGESIZE);
    if (offset % page || size % page)
        k->odd_punches++;
    if (!k->punch_failures || !take_one(&k->punch_failures))
        return __real_fallocate64(fd, mode, offset, size);
    errno = k->punch_errno;
    return -1;
}

long __wrap_sysconf(int name)
{
    if (name == _SC_PAGESIZE && fake_kernel.page_bytes)
        return fake_kernel.page_bytes;
    if (name == _SC_NPROCESSORS_ONLN && fake_kernel.processors)
        return fake_kernel.processors;
    return __real_sysconf(name);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
    int rc = __real_clock_gettime(clock, ts);
    ts->tv_sec += fake_kernel.later_ms / 1000;
    ts->tv_nsec += (long)(fake_kernel.later_ms % 1000) * 1000000;
    if (ts->tv_nsec >= 1000000000) {
        ts->tv_nsec -= 1000000000;
        ts->tv_sec++;
    }
    return rc;
}
/* NOLINTEND(bugprone-reserved-identifier) */
