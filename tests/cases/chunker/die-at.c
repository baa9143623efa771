/*
 * Preloaded into the chunker: kills it with SIGKILL just before the Nth call that changes the store
 * (DIE_AT=N, from 1). Without DIE_AT, DIE_COUNT=FILE gets the number of these calls when it exits.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_ulong calls;
static unsigned long last;

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("DIE_AT");
    last = at ? strtoul(at, NULL, 10) : 0;
}

__attribute__((destructor)) static void finish(void)
{
    const char *path = getenv("DIE_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) {
        fprintf(f, "%lu\n", atomic_load(&calls));
        fclose(f);
    }
}

static void step(void)
{
    if (atomic_fetch_add(&calls, 1) + 1 == last)
        kill(getpid(), SIGKILL);
}

/* Under the names that _FILE_OFFSET_BITS=64 gives them. The real function of that name. */
#define REAL(type, name)                                                                           \
    static type real;                                                                              \
    if (!real)                                                                                     \
    real = (type)dlsym(RTLD_NEXT, name)

typedef int (*openat_call)(int, const char *, int, ...);
int openat64(int dir, const char *path, int flags, ...)
{
    REAL(openat_call, "openat64");
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    if (flags & O_CREAT)
        step();
    return real(dir, path, flags, mode);
}

typedef ssize_t (*write_call)(int, const void *, size_t);
ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write_call, "write");
    step();
    return real(fd, data, size);
}

typedef ssize_t (*pwrite_call)(int, const void *, size_t, off_t);
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    REAL(pwrite_call, "pwrite64");
    step();
    return real(fd, data, size, at);
}

typedef int (*fsync_call)(int);
int fsync(int fd)
{
    REAL(fsync_call, "fsync");
    step();
    return real(fd);
}

typedef int (*renameat_call)(int, const char *, int, const char *);
int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    REAL(renameat_call, "renameat");
    step();
    return real(from_dir, from, to_dir, to);
}

typedef int (*unlinkat_call)(int, const char *, int);
int unlinkat(int dir, const char *path, int flags)
{
    REAL(unlinkat_call, "unlinkat");
    step();
    return real(dir, path, flags);
}
