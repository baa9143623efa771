/*
 * The partitions of a disk, or of an image of one: GPT, DOS with logical partitions, and the other
 * tables that libblkid knows. Reads only. One thread.
 */
#ifndef DLFUSE_CHUNKER_PARTITIONS_H
#define DLFUSE_CHUNKER_PARTITIONS_H

#include <stddef.h>
#include <stdint.h>

#include "format/err.h"

/* "1 (vfat, 100.0 MB), 2 (ext4 \"root\", 4000.0 MB)" into text, cut when it is full; "" without a
 * table. fd must be able to seek. */
void partitions_text(int fd, char *text, size_t size);

/*
 * The partition with this number; else the one with this name (GPT) or file system label. -ENOENT
 * when there is none, -EEXIST when several have the name, -EMEDIUMTYPE when it ends behind the
 * disk's size_bytes. path is for the message.
 */
int partitions_find(int fd, const char *path, uint64_t size_bytes, const char *wanted,
                    uint64_t *start_bytes, uint64_t *partition_bytes, struct dlf_err *err);

#endif
