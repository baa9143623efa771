/*
 * Names the contents of a file or device, and tells whether nodes can mount them.
 *
 * Nodes mount an image as it is, from its first byte on: a file system of one of five kinds. Users
 * also have disks with partitions, disks of virtual machines, volumes, archives and compressed
 * files. This module names each of them, with the command that makes an image of it.
 *
 * libblkid reads superblocks and partition tables; a table of our own has the formats that no
 * kernel mounts. Reads only. One thread.
 */
#ifndef DLFUSE_CHUNKER_CONTENTS_H
#define DLFUSE_CHUNKER_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/err.h"

/* Bytes from the start of a pipe that suffice: with fewer, libblkid recognises no btrfs. */
#define CONTENTS_LOOK_BYTES ((size_t)1 << 20)

enum contents_kind {
    CONTENTS_UNKNOWN,    /* not recognised; may be intended */
    CONTENTS_FILESYSTEM, /* nodes mount it */
    CONTENTS_PARTITIONS, /* a partition table, no file system in front of it */
    CONTENTS_OTHER,      /* has a name, and nodes do not mount it */
};

struct contents {
    enum contents_kind kind;
    char name[32];    /* "ext4", "qcow2", "gpt"; "" when unknown */
    const char *hint; /* CONTENTS_OTHER: the next step for the user; static */

    /* CONTENTS_FILESYSTEM */
    uint64_t filesystem_bytes; /* by its superblock; 0: not known */
    bool journal_dirty;        /* an ext4 with a journal to replay */
};

/*
 * Looks at [start_bytes, start_bytes + size_bytes) of a descriptor that can seek. -errno when that
 * range cannot be read; path is for the message.
 */
int contents_look(struct contents *contents, int fd, const char *path, uint64_t start_bytes,
                  uint64_t size_bytes, struct dlf_err *err);

/* The same for the start of a longer input of unknown size. */
int contents_look_at_start(struct contents *contents, const uint8_t *start, size_t size,
                           const char *path, struct dlf_err *err);

/*
 * 0 when nodes can boot from it, else -EMEDIUMTYPE with the reason and the next step. Does not
 * check the size. CONTENTS_UNKNOWN is fine. partitions: partitions_text's, or "".
 */
int contents_check(const struct contents *contents, const char *path, const char *partitions,
                   struct dlf_err *err);

/* 0 when an image of size_bytes holds all of the file system, else -EMEDIUMTYPE as above. */
int contents_check_size(const struct contents *contents, const char *path, uint64_t size_bytes,
                        struct dlf_err *err);

#endif
