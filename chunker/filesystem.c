/* Looks at superblock magics. The offsets are those of each filesystem's on-disk format. */
#include "chunker/filesystem.h"

#include <stdbool.h>
#include <string.h>

#include "format/bytes.h"

/* ext2/3/4: superblock at 1024, s_magic at 56 in it (16 bits). */
#define EXT_MAGIC_OFFSET (1024 + 56)
#define EXT_MAGIC 0xef53

/* erofs: superblock at 1024; magic first, feature_incompat at 80 in it. */
#define EROFS_MAGIC_OFFSET 1024
#define EROFS_MAGIC UINT32_C(0xe0f5e1e2)
#define EROFS_INCOMPAT_OFFSET (1024 + 80)

/*
 * Bits of feature_incompat that only images with compressed files have: zero padding of compressed
 * blocks 0x1 (mkfs clears it when compression is off), compression configurations 0x2, tails packed
 * into inodes 0x10, fragments or dedup of compressed extents 0x20. Images made with the legacy
 * layout of 2019 (-E legacy-compress) set none of these and are taken for plain: --cut bytes helps.
 */
#define EROFS_INCOMPAT_COMPRESSED UINT32_C(0x33)

static bool has32(const uint8_t *start, size_t size, size_t offset, uint32_t value)
{
    return size >= offset + 4 && dlf_get32(start + offset) == value;
}

enum filesystem filesystem_detect(const uint8_t *start, size_t size)
{
    if (size >= 4 && memcmp(start, "hsqs", 4) == 0)
        return FS_SQUASHFS;
    if (size >= 4 && memcmp(start, "XFSB", 4) == 0)
        return FS_XFS;
    if (has32(start, size, EROFS_MAGIC_OFFSET, EROFS_MAGIC) && size >= EROFS_INCOMPAT_OFFSET + 4)
        return dlf_get32(start + EROFS_INCOMPAT_OFFSET) & EROFS_INCOMPAT_COMPRESSED
                   ? FS_EROFS_COMPRESSED
                   : FS_EROFS;
    if (size >= EXT_MAGIC_OFFSET + 2 &&
        (start[EXT_MAGIC_OFFSET] | start[EXT_MAGIC_OFFSET + 1] << 8) == EXT_MAGIC)
        return FS_EXT;
    return FS_UNKNOWN;
}

const char *filesystem_name(enum filesystem filesystem)
{
    switch (filesystem) {
    case FS_EXT:
        return "ext4";
    case FS_XFS:
        return "xfs";
    case FS_SQUASHFS:
        return "squashfs";
    case FS_EROFS:
        return "erofs";
    case FS_EROFS_COMPRESSED:
        return "erofs-compressed";
    default:
        return "unknown";
    }
}

enum cut_kind filesystem_cut(enum filesystem filesystem)
{
    return filesystem == FS_SQUASHFS || filesystem == FS_EROFS_COMPRESSED ? CUT_BYTES : CUT_BLOCKS;
}
