/* Detects an image's filesystem, to choose the cut kind and to know its length. Pure. */
#ifndef DLFUSE_CHUNKER_FILESYSTEM_H
#define DLFUSE_CHUNKER_FILESYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/cutter.h"

enum filesystem { FS_UNKNOWN, FS_EXT, FS_XFS, FS_SQUASHFS, FS_EROFS, FS_EROFS_COMPRESSED };

/* Bytes from the image's start that are looked at; fewer are fine. */
#define FILESYSTEM_LOOK_BYTES 2048

enum filesystem filesystem_detect(const uint8_t *start, size_t size);

/* Its length by its superblock; 0 when size is below FILESYSTEM_LOOK_BYTES, or the length is
 * impossible. */
uint64_t filesystem_bytes(enum filesystem filesystem, const uint8_t *start, size_t size);

/* True for an ext4 with a journal to replay, as after a power cut. */
bool filesystem_journal_dirty(enum filesystem filesystem, const uint8_t *start, size_t size);

/* "ext4", "squashfs", ...; "unknown". */
const char *filesystem_name(enum filesystem filesystem);

/* The kind that --cut auto chooses for it. */
enum cut_kind filesystem_cut(enum filesystem filesystem);

#endif
