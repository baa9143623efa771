/* Reads small files. */
#include "fuse/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Until the end of the file or of the room. */
static ssize_t read_open(int fd, char *text, size_t room)
{
    size_t size = 0;
    ssize_t n = 1;
    while (n > 0 && size < room) {
        n = read(fd, text + size, room - size);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            size += (size_t)n;
    }
    return n < 0 ? -errno : (ssize_t)size;
}

ssize_t dlf_file_read(int dir_fd, const char *name, char *text, size_t room, mode_t *mode)
{
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    ssize_t n = -EINVAL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        n = read_open(fd, text, room);
    if (n >= 0 && mode)
        *mode = st.st_mode;
    close(fd);
    return n;
}
