/*
 * The cache's file on a machine with 32 bits, larger than its memory could be: narrow builds and
 * runs this for i386. Plain C: there is no cmocka for i386 beside the one for amd64.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/cache_private.h"

#define GIB ((uint64_t)1 << 30)

static int failed;

static void check(const char *what, bool ok)
{
    if (!ok)
        fprintf(stderr, "narrow: %s\n", what);
    failed |= !ok;
}

uint64_t dlf_xxh3(const void *data, size_t size)
{
    return size ? *(const uint8_t *)data : 0;
}

int main(void)
{
    uint8_t bytes[8192];
    int fd = memfd_create("narrow", MFD_CLOEXEC);
    struct stat st;
    check("size_t has 32 bits", sizeof(size_t) == 4);
    check("5 GiB of holes", fd >= 0 && ftruncate(fd, (off_t)(5 * GIB)) == 0);
    /* Cut to 32 bits these would be 0, 4 KiB and 1 GiB. */
    check("4 GiB are not mapped", !dlf_cache_file_map(fd, 4 * GIB));
    check("4 GiB and a page are not mapped", !dlf_cache_file_map(fd, 4 * GIB + 4096));
    check("5 GiB are not mapped", !dlf_cache_file_map(fd, 5 * GIB));
    check("1 MiB is mapped", dlf_cache_file_map(fd, 1 << 20) != NULL);

    memset(bytes, 7, sizeof(bytes));
    check("write", dlf_cache_file_write(fd, bytes, 4 * GIB + 4096, sizeof(bytes)) == 0);
    check("not at the beginning", pread(fd, bytes, 4096, 4096) == 4096 && bytes[0] == 0);
    memset(bytes, 0, sizeof(bytes));
    check("read", dlf_cache_file_read(fd, bytes, 4 * GIB + 4096, sizeof(bytes)) == 0 &&
                      bytes[0] == 7 && bytes[8191] == 7);
    struct dlf_cache cache = {.config.fd = fd};
    struct dlf_record r = {.offset = 4 * GIB + 4096, .length = 100, .xxh3 = 7};
    check("found again", dlf_cache_already_there(&cache, &r));
    check("punch", dlf_cache_file_punch(fd, 4 * GIB + 4096, 4 * GIB + 4096 + sizeof(bytes)) == 0 &&
                       fstat(fd, &st) == 0 && st.st_blocks == 0);
    return failed;
}
