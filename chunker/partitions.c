/* libblkid reads the tables, and looks into each partition for a label. */
#include "chunker/partitions.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "chunker/probe.h"
#include "format/bytes.h"

/* libblkid's unit, for any sector size of the disk. */
#define SECTOR_BYTES 512

/* The partition table of fd; *probe owns it. NULL when there is none. */
static blkid_partlist read_partitions(int fd, blkid_probe *probe)
{
    *probe = probe_open(fd, 0, 0);
    if (!*probe)
        return NULL;
    blkid_probe_enable_superblocks(*probe, 0);
    blkid_probe_enable_partitions(*probe, 1);
    return blkid_probe_get_partitions(*probe);
}

/* A partition's file system: type and label, "" where there is none. */
struct inside {
    char type[32];
    char label[64];
};

static uint64_t start_of(blkid_partition partition)
{
    return (uint64_t)blkid_partition_get_start(partition) * SECTOR_BYTES;
}

static uint64_t size_of(blkid_partition partition)
{
    return (uint64_t)blkid_partition_get_size(partition) * SECTOR_BYTES;
}

static void look_inside(struct inside *inside, int fd, blkid_partition partition)
{
    const char *value;
    memset(inside, 0, sizeof(*inside));
    blkid_probe probe = probe_open(fd, start_of(partition), size_of(partition));
    if (!probe)
        return;
    blkid_probe_enable_superblocks(probe, 1);
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
    if (blkid_do_safeprobe(probe) == 0) {
        if (blkid_probe_lookup_value(probe, "TYPE", &value, NULL) == 0)
            snprintf(inside->type, sizeof(inside->type), "%s", value);
        if (blkid_probe_lookup_value(probe, "LABEL", &value, NULL) == 0)
            snprintf(inside->label, sizeof(inside->label), "%s", value);
    }
    blkid_free_probe(probe);
}

/* An extended partition holds others. Its name, or its file system's label. */
static const char *name_of(blkid_partition partition, const struct inside *inside)
{
    const char *name = blkid_partition_get_name(partition);
    return name && name[0] ? name : inside->label;
}

void partitions_text(int fd, char *text, size_t size)
{
    blkid_probe probe;
    blkid_partlist list = read_partitions(fd, &probe);
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; list && i < blkid_partlist_numof_partitions(list); i++) {
        blkid_partition partition = blkid_partlist_get_partition(list, i);
        struct inside inside;
        if (blkid_partition_is_extended(partition))
            continue;
        look_inside(&inside, fd, partition);
        const char *name = name_of(partition, &inside);
        const char *quote = name[0] ? "\"" : "";
        int n = snprintf(text + used, size - used, "%s%d (%s%s%s%s%s, %.1f MB)", used ? ", " : "",
                         blkid_partition_get_partno(partition),
                         inside.type[0] ? inside.type : "nothing known", quote[0] ? " " : "", quote,
                         name, quote, (double)size_of(partition) / 1e6);
        if (n < 0 || (size_t)n >= size - used)
            break;
        used += (size_t)n;
    }
    blkid_free_probe(probe);
}

static bool has_name(blkid_partition partition, int fd, const char *wanted)
{
    struct inside inside;
    const char *name = blkid_partition_get_name(partition);
    if (name && strcmp(name, wanted) == 0)
        return true;
    look_inside(&inside, fd, partition);
    return inside.label[0] && strcmp(inside.label, wanted) == 0;
}

/* The number of partitions with that name or label; *found gets the last one. */
static unsigned find_by_name(blkid_partlist list, int fd, const char *wanted,
                             blkid_partition *found)
{
    unsigned count = 0;
    for (int i = 0; list && i < blkid_partlist_numof_partitions(list); i++) {
        blkid_partition partition = blkid_partlist_get_partition(list, i);
        if (blkid_partition_is_extended(partition) || !has_name(partition, fd, wanted))
            continue;
        *found = partition;
        count++;
    }
    return count;
}

static blkid_partition find_by_number(blkid_partlist list, const char *wanted)
{
    char number[16];
    for (int i = 0; list && i < blkid_partlist_numof_partitions(list); i++) {
        blkid_partition partition = blkid_partlist_get_partition(list, i);
        snprintf(number, sizeof(number), "%d", blkid_partition_get_partno(partition));
        if (!blkid_partition_is_extended(partition) && strcmp(number, wanted) == 0)
            return partition;
    }
    return NULL;
}

int partitions_find(int fd, const char *path, uint64_t size_bytes, const char *wanted,
                    uint64_t *start_bytes, uint64_t *partition_bytes, struct dlf_err *err)
{
    blkid_probe probe;
    blkid_partlist list = read_partitions(fd, &probe);
    blkid_partition found = find_by_number(list, wanted);
    unsigned count = found ? 1 : find_by_name(list, fd, wanted, &found);
    char text[320];
    int rc = 0;
    if (count == 0) {
        partitions_text(fd, text, sizeof(text));
        rc = dlf_fail(err, ENOENT, "%s has no partition \"%.64s\"; it has: %s", path, wanted,
                      text[0] ? text : "none");
    } else if (count > 1) {
        rc = dlf_fail(err, EEXIST, "%s has %u partitions \"%.64s\": give the number of one", path,
                      count, wanted);
    } else if (!dlf_range_within(start_of(found), size_of(found), size_bytes)) {
        rc = dlf_fail(err, EMEDIUMTYPE, "%s is cut off: partition \"%.64s\" ends behind its end",
                      path, wanted);
    } else {
        *start_bytes = start_of(found);
        *partition_bytes = size_of(found);
    }
    blkid_free_probe(probe);
    return rc;
}
