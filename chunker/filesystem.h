/* Which filesystem an image holds, as far as that decides how it is cut, and how long it is. Pure.
 */
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

/* How long it is by its superblock; 0 when size is below FILESYSTEM_LOOK_BYTES, or it cannot be. */
uint64_t filesystem_bytes(enum filesystem filesystem, const uint8_t *start, size_t size);

/* An ext4 whose journal is to be replayed, as after a power cut. */
bool filesystem_journal_dirty(enum filesystem filesystem, const uint8_t *start, size_t size);

/* "ext4", "squashfs", ...; "unknown". */
const char *filesystem_name(enum filesystem filesystem);

/* What --cut auto means for it. */
enum cut_kind filesystem_cut(enum filesystem filesystem);

#endif
