/*
 * What a file or device holds, and what nodes will do with it.
 *
 * Nodes mount an image as it is, from its first byte on: a file system of one of five kinds. People
 * have disks with partitions, disks of virtual machines, volumes, archives and compressed files;
 * each of them is called by its name here, with the command that makes an image of it.
 *
 * Superblocks and partition tables are libblkid's; formats that no kernel mounts are in a table of
 * our own. Reads only. One thread.
 */
#ifndef DLFUSE_CHUNKER_CONTENTS_H
#define DLFUSE_CHUNKER_CONTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/err.h"

/* Bytes from the start that suffice, of what cannot be read at will: libblkid takes less for no
 * btrfs.
 */
#define CONTENTS_LOOK_BYTES ((size_t)1 << 20)

enum contents_kind {
    CONTENTS_UNKNOWN,    /* nothing that is recognised; may be meant */
    CONTENTS_FILESYSTEM, /* nodes mount it */
    CONTENTS_PARTITIONS, /* a partition table, no file system in front of it */
    CONTENTS_OTHER,      /* has a name, and nodes do not mount it */
};

struct contents {
    enum contents_kind kind;
    char name[32];    /* "ext4", "qcow2", "gpt"; "" when unknown */
    const char *hint; /* CONTENTS_OTHER: what to do; static */

    /* CONTENTS_FILESYSTEM */
    uint64_t filesystem_bytes; /* as its superblock says; 0: it does not */
    bool journal_dirty;        /* an ext4 whose journal is to be replayed */
};

/*
 * Looks at [start_bytes, start_bytes + size_bytes) of a descriptor that can seek. -errno when it
 * cannot be read; path is for the message.
 */
int contents_look(struct contents *contents, int fd, const char *path, uint64_t start_bytes,
                  uint64_t size_bytes, struct dlf_err *err);

/* The same for the start of something longer, of a size that is not known. */
int contents_look_at_start(struct contents *contents, const uint8_t *start, size_t size,
                           const char *path, struct dlf_err *err);

/*
 * Can nodes boot from it? -EMEDIUMTYPE, with the reason and what to do, when they cannot. Says
 * nothing of the size. CONTENTS_UNKNOWN is fine. partitions: partitions_text's, or "".
 */
int contents_check(const struct contents *contents, const char *path, const char *partitions,
                   struct dlf_err *err);

/* Is a file system all there, in an image of size_bytes? -EMEDIUMTYPE likewise. */
int contents_check_size(const struct contents *contents, const char *path, uint64_t size_bytes,
                        struct dlf_err *err);

#endif
