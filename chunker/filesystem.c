/* Looks at superblock magics. The offsets are those of each filesystem's on-disk format. */
#include "chunker/filesystem.h"

#include <stdbool.h>
#include <string.h>

#include "format/bytes.h"

/* ext2/3/4: superblock at 1024, s_magic at 56 in it (16 bits). */
#define EXT_MAGIC_OFFSET (1024 + 56)
#define EXT_MAGIC 0xef53

#define EXT_SUPERBLOCK 1024
#define EXT_INCOMPAT_RECOVER UINT32_C(0x4)
#define EXT_INCOMPAT_64BIT UINT32_C(0x80)

/* erofs: superblock at 1024; magic first, feature_incompat at 80 in it. */
#define EROFS_MAGIC_OFFSET 1024
#define EROFS_MAGIC UINT32_C(0xe0f5e1e2)
#define EROFS_INCOMPAT_OFFSET (1024 + 80)

/*
 * Bits of feature_incompat that only images with compressed files have: zero padding of compressed
 * blocks 0x1 (mkfs clears it when compression is off), compression configurations 0x2, tails packed
 * into inodes 0x10, fragments or dedup of compressed extents 0x20. Images with the legacy layout of
 * 2019 (-E legacy-compress) set none of these and count as plain: --cut bytes helps.
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

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Bytes of count blocks of 1 << bits; 0 when these numbers are impossible. */
static uint64_t in_blocks(uint64_t count, uint32_t bits)
{
    return bits < 32 && count <= UINT64_MAX >> 1 >> bits ? count << bits : 0;
}

/* Fields: s_blocks_count_lo 4, s_log_block_size 24, s_feature_incompat 96, s_blocks_count_hi 336.
 */
static uint64_t ext_bytes(const uint8_t *superblock)
{
    uint64_t count = dlf_get32(superblock + 4);
    if (dlf_get32(superblock + 96) & EXT_INCOMPAT_64BIT)
        count |= (uint64_t)dlf_get32(superblock + 336) << 32;
    uint32_t bits = dlf_get32(superblock + 24);
    return bits < 22 ? in_blocks(count, bits + 10) : 0;
}

/* Big-endian: sb_blocksize 4, sb_dblocks 8, sb_blocklog 120. */
static uint64_t xfs_bytes(const uint8_t *superblock)
{
    return in_blocks((uint64_t)big32(superblock + 8) << 32 | big32(superblock + 12),
                     superblock[120]);
}

uint64_t filesystem_bytes(enum filesystem filesystem, const uint8_t *start, size_t size)
{
    if (size < FILESYSTEM_LOOK_BYTES)
        return 0;
    switch (filesystem) {
    case FS_EXT:
        return ext_bytes(start + EXT_SUPERBLOCK);
    case FS_XFS:
        return xfs_bytes(start);
    case FS_SQUASHFS: /* bytes_used */
        return dlf_get64(start + 40);
    case FS_EROFS:
    case FS_EROFS_COMPRESSED: /* blkszbits 12, blocks 36 */
        return in_blocks(dlf_get32(start + EROFS_MAGIC_OFFSET + 36),
                         start[EROFS_MAGIC_OFFSET + 12]);
    default:
        return 0;
    }
}

bool filesystem_journal_dirty(enum filesystem filesystem, const uint8_t *start, size_t size)
{
    return filesystem == FS_EXT && size >= FILESYSTEM_LOOK_BYTES &&
           dlf_get32(start + EXT_SUPERBLOCK + 96) & EXT_INCOMPAT_RECOVER;
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
