/*
 * Preloaded into dlfuse: SIGKILL at a step of the hand-over. DIE_AT is, in the daemon,
 *
 *   arm, armed           before and after it opens the loop device
 *   change, changed      before and after LOOP_CHANGE_FD
 *   waiting              in LOOP_CHANGE_FD, which waits for reads that are never answered
 *   unmount, unmounted   before and after umount2
 *   leaving              when it exits
 *
 * and in the command that arms it a number: just before its Nth call of open, ioctl and close, from
 * that on root.img on. By raise, which the daemon's filter of system calls allows.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *at = "";
static unsigned long point; /* at as a number */
static atomic_ulong calls;
static atomic_bool counts;
static atomic_bool unanswered;

__attribute__((constructor)) static void start(void)
{
    const char *value = getenv("DIE_AT");
    at = value ? value : "";
    point = strtoul(at, NULL, 10);
}

static void step(const char *name)
{
    if (strcmp(at, name) == 0)
        raise(SIGKILL);
}

__attribute__((destructor)) static void leave(void)
{
    step("leaving");
}

static void count(void)
{
    if (point && atomic_load(&counts) && atomic_fetch_add(&calls, 1) + 1 == point)
        raise(SIGKILL);
}

/* The real function of that name. */
#define REAL(type, name)                                                                           \
    static type real;                                                                              \
    if (!real)                                                                                     \
    real = (type)dlsym(RTLD_NEXT, name)

typedef int (*open_call)(const char *, int, ...);
/* Under the name that _FILE_OFFSET_BITS=64 gives it. */
int open64(const char *path, int flags, ...)
{
    REAL(open_call, "open64");
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    const char *name = strrchr(path, '/');
    if (name && strcmp(name, "/root.img") == 0)
        atomic_store(&counts, true);
    count();
    bool device = strncmp(path, "/dev/loop", 9) == 0;
    if (device)
        step("arm");
    int fd = real(path, flags, mode);
    if (device)
        step("armed");
    return fd;
}

typedef int (*close_call)(int);
int close(int fd)
{
    REAL(close_call, "close");
    count();
    return real(fd);
}

static void *kill_soon(void *cookie)
{
    (void)cookie;
    usleep(500 * 1000);
    raise(SIGKILL);
    return NULL;
}

/* Until the readers wait for answers that do not come. */
static void wait_for_readers(void)
{
    pthread_t killer;
    atomic_store(&unanswered, true);
    usleep(300 * 1000);
    pthread_create(&killer, NULL, kill_soon, NULL);
}

typedef int (*ioctl_call)(int, unsigned long, ...);
int ioctl(int fd, unsigned long request, ...)
{
    REAL(ioctl_call, "ioctl");
    va_list ap;
    va_start(ap, request);
    void *argument = va_arg(ap, void *);
    va_end(ap);
    count();
    if (request != LOOP_CHANGE_FD)
        return real(fd, request, argument);
    step("change");
    if (strcmp(at, "waiting") == 0)
        wait_for_readers();
    int rc = real(fd, request, argument);
    step("changed");
    return rc;
}

/* What libfuse answers the kernel with. */
typedef ssize_t (*writev_call)(int, const struct iovec *, int);
ssize_t writev(int fd, const struct iovec *pieces, int number)
{
    REAL(writev_call, "writev");
    while (atomic_load(&unanswered))
        usleep(100 * 1000);
    return real(fd, pieces, number);
}

typedef int (*umount2_call)(const char *, int);
int umount2(const char *path, int flags)
{
    REAL(umount2_call, "umount2");
    step("unmount");
    int rc = real(path, flags);
    step("unmounted");
    return rc;
}
