/* The cache's file: reading, writing, mapping, punching holes. It knows nothing of chunks' states.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/cache_private.h"

_Static_assert(sizeof(off_t) == 8, "images are larger than 2 GiB: -D_FILE_OFFSET_BITS=64");

uint64_t dlf_cache_file_page(int fd)
{
    struct stat st;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    /* A memfd says so when the kernel gives it huge pages (shmem_enabled). */
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_blksize > page)
        page = (uint64_t)st.st_blksize;
    return page;
}

uint8_t *dlf_cache_file_map(int fd, uint64_t size)
{
    /* mmap would cut the upper bits of the size off, and map the rest. */
    if (size == 0 || size > SIZE_MAX)
        return NULL;
    void *memory = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int dlf_cache_file_read(int fd, uint8_t *out, uint64_t offset, size_t size)
{
    while (size) {
        ssize_t n = pread(fd, out, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        out += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int dlf_cache_file_write(int fd, const uint8_t *data, uint64_t offset, size_t size)
{
    while (size) {
        ssize_t n = pwrite(fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        data += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int dlf_cache_file_punch(int fd, uint64_t from, uint64_t to)
{
    int rc;
    do
        rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                       (off_t)(to - from));
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

bool dlf_cache_already_there(const struct dlf_cache *c, const struct dlf_record *r)
{
    off_t data = lseek(c->config.fd, (off_t)r->offset, SEEK_DATA);
    if (data < 0 || (uint64_t)data >= r->offset + r->length)
        return false;
    uint8_t *content = malloc(r->length);
    bool there = content && dlf_cache_file_read(c->config.fd, content, r->offset, r->length) == 0 &&
                 dlf_xxh3(content, r->length) == r->xxh3;
    free(content);
    return there;
}

int dlf_cache_clear(struct dlf_cache *c, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[64 << 10];
    if (!c->config.resume)
        return 0;
    int rc = dlf_cache_file_punch(c->config.fd, from, to);
    if (rc != -EOPNOTSUPP)
        return rc;
    rc = 0;
    for (uint64_t at = from; rc == 0 && at < to; at += sizeof(zeros))
        rc = dlf_cache_file_write(c->config.fd, zeros, at,
                                  to - at < sizeof(zeros) ? (size_t)(to - at) : sizeof(zeros));
    return rc;
}
