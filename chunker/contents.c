/* Asks libblkid for superblocks first: a file system in front of a partition table counts as a file
 * system, and an ISO image has both. Then asks for partitions, then searches the table of formats.
 */
#include "chunker/contents.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chunker/filesystem.h"
#include "chunker/io.h"
#include "chunker/probe.h"
#include "format/bytes.h"

/* Loop devices have whole sectors: a file's last bytes are left out of them. */
#define LOOP_SECTOR_BYTES UINT64_C(512)

/* btrfs: where its superblock is, and in it the bytes of all devices, and their number. */
#define BTRFS_SUPERBLOCK UINT64_C(65536)
#define BTRFS_TOTAL_BYTES 112
#define BTRFS_DEVICES 136

#define HINT_QEMU "make a plain image of it: qemu-img convert -O raw IMAGE IMAGE.raw"
#define HINT_UNPACK "unpack it first"
#define HINT_TREE "dlfuse-mkroot makes an image of a tree of files"

/* Formats of files, by the bytes that they begin with. */
static const struct {
    uint32_t offset;
    uint8_t length;
    const char *magic;
    const char *name;
    const char *hint;
} formats[] = {
    {0, 4, "QFI\xfb", "qcow2", HINT_QEMU},
    {0, 4, "QED\0", "qed", HINT_QEMU},
    {0, 4, "KDMV", "vmdk", HINT_QEMU},
    {0, 4, "COWD", "vmdk", HINT_QEMU},
    {0, 21, "# Disk DescriptorFile", "vmdk", HINT_QEMU},
    {0, 8, "vhdxfile", "vhdx", HINT_QEMU},
    {0, 8, "conectix", "vhd", HINT_QEMU},
    {64, 4, "\x7f\x10\xda\xbe", "vdi", HINT_QEMU},
    {0, 16, "WithoutFreeSpace", "parallels", HINT_QEMU},
    {0, 16, "WithouFreSpacExt", "parallels", HINT_QEMU},
    {0, 4, "\x3a\xff\x26\xed", "Android sparse image", "simg2img makes a plain image of it"},
    {0, 3, "\x1f\x8b\x08", "gzip", HINT_UNPACK ": gzip -dc"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "xz", HINT_UNPACK ": xz -dc"},
    {0, 4, "\x28\xb5\x2f\xfd", "zstd", HINT_UNPACK ": zstd -dc"},
    {0, 4, "\x04\x22\x4d\x18", "lz4", HINT_UNPACK ": lz4 -dc"},
    {0, 4, "\x02\x21\x4c\x18", "lz4", HINT_UNPACK ": lz4 -dc"},
    {0, 9, "\x89LZO\0\r\n\x1a\n", "lzop", HINT_UNPACK ": lzop -dc"},
    {0, 3, "BZh", "bzip2", HINT_UNPACK ": bzip2 -dc"},
    {0, 13, "\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff", "lzma", HINT_UNPACK ": xz -dc"},
    {0, 4, "PK\x03\x04", "zip", HINT_UNPACK},
    {0, 6, "7z\xbc\xaf\x27\x1c", "7z", HINT_UNPACK},
    {257, 5, "ustar", "tar", HINT_TREE},
    {0, 5, "07070", "cpio (an initramfs?)", HINT_TREE},
    {0, 2, "\xc7\x71", "cpio (an initramfs?)", HINT_TREE},
    {0, 8, "!<arch>\n", "ar", HINT_UNPACK},
    {0, 4,
     "\x7f"
     "ELF",
     "ELF", "an image of a root file system is wanted"},
    {0x202, 4, "HdrS", "Linux kernel", "an image of a root file system is wanted"},
};

/* Advice for types that libblkid names. */
static const struct {
    const char *type;
    const char *name; /* NULL: as libblkid calls it */
    const char *hint;
} others[] = {
    {"LVM2_member", "LVM physical volume",
     "activate it (losetup, vgchange -ay) and give the volume, /dev/GROUP/VOLUME"},
    {"LVM1_member", "LVM physical volume",
     "activate it (losetup, vgchange -ay) and give the volume, /dev/GROUP/VOLUME"},
    {"crypto_LUKS", "LUKS", "open it (cryptsetup open --readonly) and give /dev/mapper/NAME"},
    {"BitLocker", NULL, "open it (cryptsetup open --readonly) and give /dev/mapper/NAME"},
    {"linux_raid_member", "member of a Linux RAID",
     "assemble it (mdadm --assemble --readonly) and give /dev/mdN"},
    {"iso9660", "ISO 9660",
     "the root of a live system is a file in it, as live/filesystem.squashfs"},
    {"udf", "UDF", "the root of a live system is a file in it, as live/filesystem.squashfs"},
    {"swap", NULL, "an image of a root file system is wanted"},
    {"swsuspend", NULL, "an image of a root file system is wanted"},
    {"jbd", "journal of an ext4", "an image of a root file system is wanted"},
};

static void set_other(struct contents *contents, const char *name, const char *hint)
{
    contents->kind = CONTENTS_OTHER;
    snprintf(contents->name, sizeof(contents->name), "%s", name);
    contents->hint = hint;
}

static bool is_mounted_by_nodes(const char *type)
{
    static const char *const types[] = {"ext2", "ext3",     "ext4",  "ext4dev",
                                        "xfs",  "squashfs", "erofs", "btrfs"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(type, types[i]) == 0)
            return true;
    }
    return false;
}

static void set_type(struct contents *contents, const char *type)
{
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(type, others[i].type) == 0) {
            set_other(contents, others[i].name ? others[i].name : type, others[i].hint);
            return;
        }
    }
    set_other(contents, type, "copy its files into an ext4, xfs, squashfs or erofs");
}

/* A file system that nodes mount comes before all else: old RAID signatures stay at ends of disks,
 * and the kernel does not look at them either. */
static void look_at_superblocks(struct contents *contents, blkid_probe probe)
{
    const char *type;
    blkid_probe_enable_superblocks(probe, 1);
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE);
    blkid_probe_enable_partitions(probe, 0);
    while (blkid_do_probe(probe) == 0) {
        if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL) < 0)
            continue;
        if (is_mounted_by_nodes(type)) {
            contents->kind = CONTENTS_FILESYSTEM;
            snprintf(contents->name, sizeof(contents->name), "%s", type);
            return;
        }
        if (contents->kind == CONTENTS_UNKNOWN)
            set_type(contents, type);
    }
}

static void look_at_partitions(struct contents *contents, blkid_probe probe)
{
    const char *type;
    blkid_reset_probe(probe);
    blkid_probe_enable_superblocks(probe, 0);
    blkid_probe_enable_partitions(probe, 1);
    if (blkid_do_fullprobe(probe) != 0 ||
        blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL) < 0)
        return;
    contents->kind = CONTENTS_PARTITIONS;
    snprintf(contents->name, sizeof(contents->name), "%s", type);
}

static void look_at_formats(struct contents *contents, const uint8_t *start, size_t size)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (size >= formats[i].offset + formats[i].length &&
            memcmp(start + formats[i].offset, formats[i].magic, formats[i].length) == 0) {
            set_other(contents, formats[i].name, formats[i].hint);
            return;
        }
    }
}

/* Nodes have one device. */
static int look_at_btrfs(struct contents *contents, int fd, uint64_t start_bytes)
{
    uint8_t superblock[BTRFS_DEVICES + 8] = {0};
    int rc = io_pread(fd, superblock, sizeof(superblock), start_bytes + BTRFS_SUPERBLOCK);
    if (rc < 0)
        return rc;
    if (dlf_get64(superblock + BTRFS_DEVICES) == 1)
        contents->filesystem_bytes = dlf_get64(superblock + BTRFS_TOTAL_BYTES);
    else
        set_other(contents, "btrfs of several devices",
                  "leave one of them (btrfs device remove), or copy its files into an ext4");
    return 0;
}

int contents_look(struct contents *contents, int fd, const char *path, uint64_t start_bytes,
                  uint64_t size_bytes, struct dlf_err *err)
{
    uint8_t start[FILESYSTEM_LOOK_BYTES] = {0};
    size_t size = size_bytes < sizeof(start) ? (size_t)size_bytes : sizeof(start);
    memset(contents, 0, sizeof(*contents));
    int rc = io_pread(fd, start, size, start_bytes);
    if (rc < 0)
        return dlf_fail(err, -rc, "%s: cannot read its start: %s", path, strerror(-rc));
    if (size == 0)
        return 0;
    blkid_probe probe = probe_open(fd, start_bytes, size_bytes);
    if (!probe)
        return dlf_fail(err, EIO, "%s: cannot look at what it holds", path);
    look_at_superblocks(contents, probe);
    if (contents->kind == CONTENTS_UNKNOWN)
        look_at_formats(contents, start, size);
    if (contents->kind == CONTENTS_UNKNOWN)
        look_at_partitions(contents, probe);
    blkid_free_probe(probe);
    /* libblkid does not recognise a file system that was cut off early. */
    enum filesystem filesystem = filesystem_detect(start, size);
    if (contents->kind == CONTENTS_UNKNOWN && filesystem != FS_UNKNOWN &&
        filesystem_bytes(filesystem, start, size) > size_bytes) {
        contents->kind = CONTENTS_FILESYSTEM;
        snprintf(contents->name, sizeof(contents->name), "%s", filesystem_name(filesystem));
    }
    if (contents->kind == CONTENTS_FILESYSTEM) {
        contents->filesystem_bytes = filesystem_bytes(filesystem, start, size);
        contents->journal_dirty = filesystem_journal_dirty(filesystem, start, size);
    }
    if (contents->kind == CONTENTS_FILESYSTEM && strcmp(contents->name, "btrfs") == 0)
        rc = look_at_btrfs(contents, fd, start_bytes);
    return rc < 0 ? dlf_fail(err, -rc, "%s: cannot read its superblock: %s", path, strerror(-rc))
                  : 0;
}

int contents_look_at_start(struct contents *contents, const uint8_t *start, size_t size,
                           const char *path, struct dlf_err *err)
{
    int fd = memfd_create("dlfuse-chunker", MFD_CLOEXEC);
    int rc = fd < 0 ? -errno : io_write(fd, start, size);
    if (rc < 0)
        dlf_fail(err, -rc, "%s: cannot look at what it holds: %s", path, strerror(-rc));
    else
        rc = contents_look(contents, fd, path, 0, size, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

int contents_check(const struct contents *contents, const char *path, const char *partitions,
                   struct dlf_err *err)
{
    if (contents->kind == CONTENTS_OTHER)
        return dlf_fail(err, EMEDIUMTYPE,
                        "%s is %s, which nodes do not mount: %s, or --force takes it as it is",
                        path, contents->name, contents->hint);
    if (contents->kind == CONTENTS_PARTITIONS)
        return dlf_fail(err, EMEDIUMTYPE,
                        "%s is a disk with partitions (%s), and nodes mount none of them: choose "
                        "one by --partition N%s%s, or --force takes the disk as it is",
                        path, contents->name, partitions[0] ? " of " : "", partitions);
    return 0;
}

int contents_check_size(const struct contents *contents, const char *path, uint64_t size_bytes,
                        struct dlf_err *err)
{
    uint64_t wanted = contents->filesystem_bytes;
    if (contents->kind != CONTENTS_FILESYSTEM ||
        wanted <= size_bytes / LOOP_SECTOR_BYTES * LOOP_SECTOR_BYTES)
        return 0;
    if (wanted > size_bytes)
        return dlf_fail(err, EMEDIUMTYPE,
                        "%s is cut off: its %s has %" PRIu64 " bytes, the image has %" PRIu64
                        ": nodes cannot mount it; copy it again, or --force takes it as it is",
                        path, contents->name, wanted, size_bytes);
    return dlf_fail(err, EMEDIUMTYPE,
                    "%s ends in the middle of a sector, and nodes cannot read the last %" PRIu64
                    " bytes of its %s: pad it (truncate -s %%4096 IMAGE), or --force takes it as "
                    "it is",
                    path, size_bytes % LOOP_SECTOR_BYTES, contents->name);
}
