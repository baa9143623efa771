/*
 * Whole reads and writes on file descriptors: these functions handle short counts and EINTR.
 *
 * 0 or a negative errno. May block. No messages: callers know the file's name.
 */
#ifndef DLFUSE_CHUNKER_IO_H
#define DLFUSE_CHUNKER_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads exactly size bytes at offset; -EBADMSG when the file ends before. */
int io_pread(int fd, void *data, size_t size, uint64_t offset);

/* Reads up to size bytes from the file's position; fewer only at its end. Bytes or -errno. */
ssize_t io_read(int fd, void *data, size_t size);

int io_write(int fd, const void *data, size_t size);
int io_pwrite(int fd, const void *data, size_t size, uint64_t offset);

#endif
