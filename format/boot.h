/*
 * The boot pack: one object with all chunks that a boot reads, in boot order.
 *
 * The object begins with a table; the manifest has the table's digest. The table has a record for
 * each chunk, with the chunk's number in the index. So a node can serve chunks of the boot pack
 * before it has their index page. A copy of the index head follows (the manifest has its size and
 * digest too), then the stored chunks without gap. The node sends one plain GET and checks the
 * table, the head, and each chunk as it passes. All of these are copies: the index object has the
 * head and the packs have every chunk as well. docs/FORMAT.md gives every field.
 */
#ifndef DLFUSE_FORMAT_BOOT_H
#define DLFUSE_FORMAT_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "format/digest.h"
#include "format/err.h"
#include "format/index.h"
#include "format/limits.h"

#define DLF_BOOT_VERSION 1
#define DLF_BOOT_FIXED_SIZE 64 /* bytes before the records */

/* The kind of object, for dlf_object_path. */
#define DLF_BOOT_KIND "boot"

/*
 * A table in memory. Owns records and later; dlf_boot_table_free.
 *
 * records, in boot order, use the index's form, but two fields mean something else. pack is the
 * chunk's number in the index. pack_offset is the offset of the stored bytes in the boot pack
 * (bytes, table and head included). later: numbers of chunks that are read after the boot (through
 * poweroff). They are not in the boot pack, but should be filled first, in this order.
 */
struct dlf_boot_table {
    uint64_t image_size; /* bytes; the manifest's */
    uint64_t size;       /* bytes of the whole object */
    uint64_t data_size;  /* bytes of content */
    uint32_t table_size; /* bytes: where the copy of the index head begins */
    uint32_t head_size;  /* bytes of the copy; the chunks begin behind it */
    uint32_t record_count;
    uint32_t later_count;
    uint32_t max_length; /* the longest content, bytes; 0 without records */
    struct dlf_record *records;
    uint32_t *later;
};

/*
 * Reads a table after its digest was checked. The manifest gives head_size (of the index head),
 * image_size, object_size and chunk_count (records of the index). Every field is checked: records
 * inside the image and the limits, stored bytes in a row from the head's end to the object's end,
 * chunk numbers below chunk_count and none twice. -EBADMSG, -ENOTSUP (version), -EFBIG, -ENOMEM.
 * *table is untouched on failure.
 */
int dlf_boot_table_parse(struct dlf_boot_table *table, const uint8_t *data, size_t size,
                         uint32_t head_size, uint64_t image_size, uint64_t object_size,
                         uint64_t chunk_count, struct dlf_err *err);
void dlf_boot_table_free(struct dlf_boot_table *table);

/* Size of a table in bytes; 0 when over DLF_BOOT_TABLE_MAX. */
uint32_t dlf_boot_table_size(uint64_t record_count, uint64_t later_count);

/* Writes the table into out, which has dlf_boot_table_size() bytes of room. */
void dlf_boot_table_write(const struct dlf_boot_table *table, uint8_t *out);

#endif
