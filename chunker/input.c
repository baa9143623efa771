/* Opens and reads the image. Owns its descriptor. The reader thread enters, and at the start and
 * the end the main thread, when no other runs. */
#include "chunker/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/cutter.h"
#include "chunker/io.h"
#include "format/limits.h"

/* True when SEEK_DATA works. A filesystem without holes reports that all is data. */
static bool tries_seek_data(int fd)
{
    return lseek(fd, 0, SEEK_DATA) >= 0 || errno == ENXIO;
}

static int look_at(struct input *in, struct dlf_err *err)
{
    if (fstat(in->fd, &in->before) < 0)
        return dlf_fail(err, errno, "%s: %s", in->path, strerror(errno));
    if (S_ISDIR(in->before.st_mode))
        return dlf_fail(err, EISDIR, "%s is a directory; an image file or block device is needed",
                        in->path);
    if (!S_ISREG(in->before.st_mode) && !S_ISBLK(in->before.st_mode))
        return 0;
    off_t size = lseek(in->fd, 0, SEEK_END);
    if (size < 0)
        return dlf_fail(err, errno, "%s: cannot find its size: %s", in->path, strerror(errno));
    if ((uint64_t)size > DLF_IMAGE_MAX)
        return dlf_fail(err, EFBIG, "%s has %" PRIu64 " bytes, an image has at most %" PRIu64,
                        in->path, (uint64_t)size, DLF_IMAGE_MAX);
    in->size_known = true;
    in->seeks = true;
    in->size_bytes = (uint64_t)size;
    in->finds_holes = tries_seek_data(in->fd);
    return 0;
}

int input_open(struct input *in, const char *path, struct dlf_err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    memset(in, 0, sizeof(*in));
    in->path = is_stdin ? "standard input" : path;
    in->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd < 0)
        return dlf_fail(err, errno, "cannot open %s: %s", path, strerror(errno));
    int rc = look_at(in, err);
    if (rc < 0)
        input_close(in);
    else if (in->seeks)
        (void)posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return rc;
}

void input_close(struct input *in)
{
    if (in->fd > STDIN_FILENO)
        close(in->fd);
    in->fd = -1;
    free(in->peeked);
    in->peeked = NULL;
}

void input_select(struct input *in, uint64_t start_bytes, uint64_t size_bytes)
{
    in->start_bytes = start_bytes;
    in->size_bytes = size_bytes;
}

int input_extent(struct input *in, uint64_t from, uint64_t *start, uint64_t *end,
                 struct dlf_err *err)
{
    off_t data = (off_t)from;
    off_t hole = (off_t)in->size_bytes;

    if (in->size_known && from >= in->size_bytes)
        return 0;
    if (in->finds_holes) {
        data = lseek(in->fd, (off_t)(in->start_bytes + from), SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0;
        if (data >= 0)
            hole = lseek(in->fd, data, SEEK_HOLE);
        if (data < 0 || hole < 0)
            return dlf_fail(err, errno, "%s: cannot find data from byte %" PRIu64 " on: %s",
                            in->path, in->start_bytes + from, strerror(errno));
        data -= (off_t)in->start_bytes;
        hole -= (off_t)in->start_bytes;
        if ((uint64_t)data >= in->size_bytes)
            return 0;
    }
    *start = (uint64_t)data / CUT_BLOCK * CUT_BLOCK;
    *end = in->size_known ? ((uint64_t)hole + CUT_BLOCK - 1) / CUT_BLOCK * CUT_BLOCK : UINT64_MAX;
    if (in->size_known && *end > in->size_bytes)
        *end = in->size_bytes;
    return *start < *end;
}

ssize_t input_peek(struct input *in, const uint8_t **data, size_t size, struct dlf_err *err)
{
    in->peeked = malloc(size);
    ssize_t n = in->peeked ? io_read(in->fd, in->peeked, size) : -ENOMEM;
    if (n < 0)
        return dlf_fail(err, (int)-n, "%s: cannot read its start: %s", in->path, strerror((int)-n));
    in->peeked_bytes = (size_t)n;
    *data = in->peeked;
    return n;
}

/* Returns peeked bytes first, then reads on. */
static ssize_t read_on(struct input *in, uint8_t *data, size_t size)
{
    size_t part = in->peeked_bytes - in->peeked_used;
    if (part > size)
        part = size;
    if (part)
        memcpy(data, in->peeked + in->peeked_used, part);
    in->peeked_used += part;
    ssize_t n = part < size ? io_read(in->fd, data + part, size - part) : 0;
    return n < 0 ? n : (ssize_t)part + n;
}

static ssize_t read_pipe(struct input *in, void *data, size_t size, struct dlf_err *err)
{
    ssize_t n = read_on(in, data, size);
    if (n < 0)
        return dlf_fail(err, (int)-n, "%s: read error after byte %" PRIu64 ": %s", in->path,
                        in->read_bytes, strerror((int)-n));
    in->read_bytes += (uint64_t)n;
    if (in->read_bytes > DLF_IMAGE_MAX)
        return dlf_fail(err, EFBIG, "%s has more than %" PRIu64 " bytes, the most of an image",
                        in->path, DLF_IMAGE_MAX);
    if ((size_t)n < size) {
        in->size_known = true;
        in->size_bytes = in->read_bytes;
    }
    return n;
}

ssize_t input_read(struct input *in, void *data, size_t size, uint64_t offset, struct dlf_err *err)
{
    if (!in->seeks)
        return read_pipe(in, data, size, err);
    int rc = io_pread(in->fd, data, size, in->start_bytes + offset);
    if (rc == -EBADMSG)
        return dlf_fail(err, EBUSY, "%s became shorter while it was read; run again", in->path);
    if (rc < 0)
        return dlf_fail(err, -rc, "%s: cannot read %zu bytes at byte %" PRIu64 ": %s", in->path,
                        size, in->start_bytes + offset, strerror(-rc));
    return (ssize_t)size;
}

int input_unchanged(const struct input *in, struct dlf_err *err)
{
    struct stat now;
    if (!S_ISREG(in->before.st_mode))
        return 0;
    if (fstat(in->fd, &now) < 0)
        return dlf_fail(err, errno, "%s: %s", in->path, strerror(errno));
    if (now.st_size != in->before.st_size || now.st_mtim.tv_sec != in->before.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != in->before.st_mtim.tv_nsec)
        return dlf_fail(err, EBUSY,
                        "%s was changed while it was read; nothing was published, run again",
                        in->path);
    return 0;
}
