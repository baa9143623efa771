/*
 * Loaded before the daemon (LD_PRELOAD): while the file that REFUSE names is there, the kernel has
 * no memory for what is written to the cache.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    const char *file = getenv("REFUSE");
    if (file && access(file, F_OK) == 0) {
        errno = ENOMEM;
        return -1;
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, data, size, offset);
}
