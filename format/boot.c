/* Reads and writes the table of a boot pack. Tables own their records; pure, any thread. */
#include "format/boot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"
#include "format/codec.h"

static const uint8_t magic[8] = {'d', 'l', 'f', 'b', 'o', 'o', 't', 'p'};

/* Where the fixed fields lie; docs/FORMAT.md has the same table. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_RECORD_SIZE = 12,
    AT_RECORD_COUNT = 16,
    AT_LATER_COUNT = 20,
    AT_IMAGE_SIZE = 24,
    AT_SIZE = 32,
    AT_DATA_SIZE = 40,
    AT_MAX_LENGTH = 48,
    AT_RESERVED = 52,
};

#define RESERVED_SIZE (DLF_BOOT_FIXED_SIZE - AT_RESERVED)
#define LATER_SIZE 4 /* bytes of a number in the second table */

/* A record's reserved bytes: behind the codec, to the next field. */
#define REC_RESERVED 25
#define REC_RESERVED_SIZE 7

uint32_t dlf_boot_table_size(uint64_t record_count, uint64_t later_count)
{
    if (record_count > DLF_BOOT_TABLE_MAX || later_count > DLF_BOOT_TABLE_MAX)
        return 0;
    uint64_t size = DLF_BOOT_FIXED_SIZE + record_count * DLF_RECORD_SIZE + later_count * LATER_SIZE;
    return size > DLF_BOOT_TABLE_MAX ? 0 : (uint32_t)size;
}

/* Reads the fixed part. Checks every field that the allocations depend on. */
static int read_fixed(struct dlf_boot_table *t, const uint8_t *data, size_t size,
                      struct dlf_err *err)
{
    static const uint8_t zeros[RESERVED_SIZE];
    if (size > DLF_BOOT_TABLE_MAX)
        return dlf_fail(err, EFBIG, "boot pack: a table of %zu bytes, the limit is %u", size,
                        DLF_BOOT_TABLE_MAX);
    if (size < DLF_BOOT_FIXED_SIZE)
        return dlf_fail(err, EBADMSG, "boot pack: its table has %zu bytes, at least %d are needed",
                        size, DLF_BOOT_FIXED_SIZE);
    if (memcmp(data + AT_MAGIC, magic, sizeof(magic)) != 0)
        return dlf_fail(err, EBADMSG, "not a dlfuse boot pack: wrong magic at offset 0");
    uint32_t version = dlf_get32(data + AT_VERSION);
    if (version != DLF_BOOT_VERSION)
        return dlf_fail(err, ENOTSUP,
                        "boot pack version %u is not known to this build, which reads %d", version,
                        DLF_BOOT_VERSION);
    if (dlf_get32(data + AT_RECORD_SIZE) != DLF_RECORD_SIZE ||
        memcmp(data + AT_RESERVED, zeros, sizeof(zeros)) != 0)
        return dlf_fail(err, EBADMSG,
                        "boot pack: record size or reserved bytes are not those of version %d",
                        DLF_BOOT_VERSION);
    t->record_count = dlf_get32(data + AT_RECORD_COUNT);
    t->later_count = dlf_get32(data + AT_LATER_COUNT);
    t->image_size = dlf_get64(data + AT_IMAGE_SIZE);
    t->size = dlf_get64(data + AT_SIZE);
    t->data_size = dlf_get64(data + AT_DATA_SIZE);
    t->max_length = dlf_get32(data + AT_MAX_LENGTH);
    t->table_size = dlf_boot_table_size(t->record_count, t->later_count);
    if (t->table_size != size)
        return dlf_fail(err, EBADMSG,
                        "boot pack: %u records and %u later chunks do not fit its table of "
                        "%zu bytes",
                        t->record_count, t->later_count, size);
    return 0;
}

/* Compares fields with those of the manifest. */
static int check_fixed(const struct dlf_boot_table *t, uint64_t image_size, uint64_t object_size,
                       struct dlf_err *err)
{
    if (t->size > DLF_BOOT_MAX)
        return dlf_fail(err, EFBIG, "boot pack: %" PRIu64 " bytes, the limit is %" PRIu64, t->size,
                        DLF_BOOT_MAX);
    if (t->size != object_size)
        return dlf_fail(err, EBADMSG,
                        "boot pack: its table says %" PRIu64 " bytes, the manifest %" PRIu64,
                        t->size, object_size);
    if (t->image_size != image_size)
        return dlf_fail(err, EBADMSG,
                        "boot pack is for an image of %" PRIu64
                        " bytes, the manifest says %" PRIu64,
                        t->image_size, image_size);
    return 0;
}

/* The reason why a record is invalid, or NULL. at: where its stored bytes must begin. */
static const char *record_fault(const struct dlf_boot_table *t, const struct dlf_record *r,
                                uint64_t at, uint64_t chunk_count)
{
    if (r->length == 0 || r->length > DLF_CHUNK_MAX || r->length > t->max_length)
        return "a length over the longest";
    if (!dlf_range_within(r->offset, r->length, t->image_size))
        return "past the end of the image";
    if (r->stored_length == 0 || r->stored_length > r->length)
        return "stored length over length";
    if (r->codec == DLF_CODEC_RAW && r->stored_length != r->length)
        return "raw, but stored length is not length";
    if (r->pack_offset != at)
        return "its stored bytes are not behind those before it";
    if (!dlf_range_within(at, r->stored_length, t->size))
        return "past the end of the boot pack";
    if (r->pack >= chunk_count)
        return "no such chunk in the index";
    return NULL;
}

static int read_records(struct dlf_boot_table *t, const uint8_t *data, uint64_t chunk_count,
                        struct dlf_err *err)
{
    static const uint8_t zeros[REC_RESERVED_SIZE];
    const uint8_t *p = data + DLF_BOOT_FIXED_SIZE;
    uint64_t at = (uint64_t)t->table_size + t->head_size;
    uint64_t content = 0; /* at most 2^16 records of 2^20 bytes */
    uint32_t longest = 0;
    for (uint32_t i = 0; i < t->record_count; i++, p += DLF_RECORD_SIZE) {
        struct dlf_record *r = &t->records[i];
        dlf_record_read(r, p);
        const char *fault = record_fault(t, r, at, chunk_count);
        if (!fault && memcmp(p + REC_RESERVED, zeros, sizeof(zeros)) != 0)
            fault = "reserved bytes are not zero";
        if (fault)
            return dlf_fail(err, EBADMSG, "boot pack record %u: %s", i, fault);
        at += r->stored_length;
        content += r->length;
        longest = r->length > longest ? r->length : longest;
    }
    if (at != t->size || content != t->data_size || longest != t->max_length)
        return dlf_fail(err, EBADMSG,
                        "boot pack: its records do not add up to what its table says");
    for (uint32_t i = 0; i < t->later_count; i++, p += LATER_SIZE) {
        t->later[i] = dlf_get32(p);
        if (t->later[i] >= chunk_count)
            return dlf_fail(err, EBADMSG, "boot pack: later chunk %u: no such chunk in the index",
                            i);
    }
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/*
 * Chunks are numbered in image order, so records sorted by number must be in image order too. That
 * finds a number given twice and records with a false place.
 */
static int check_numbers(const struct dlf_boot_table *t, struct dlf_err *err)
{
    size_t count = (size_t)t->record_count + t->later_count;
    uint64_t *keys = malloc((count + 1) * sizeof(*keys)); /* number, then position */
    const struct dlf_record *last = NULL;
    int rc = 0;
    if (!keys)
        return dlf_fail(err, ENOMEM, "out of memory for a boot pack of %zu chunks", count);
    for (uint32_t i = 0; i < t->record_count; i++)
        keys[i] = (uint64_t)t->records[i].pack << 32 | i;
    for (uint32_t i = 0; i < t->later_count; i++)
        keys[t->record_count + i] = (uint64_t)t->later[i] << 32 | (t->record_count + i);
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        uint32_t number = (uint32_t)(keys[i] >> 32);
        uint32_t position = (uint32_t)keys[i];
        if (i && number == (uint32_t)(keys[i - 1] >> 32))
            rc = dlf_fail(err, EBADMSG, "boot pack: chunk %u is there twice", number);
        if (rc < 0 || position >= t->record_count)
            continue;
        const struct dlf_record *r = &t->records[position];
        if (last && r->offset < last->offset + last->length)
            rc = dlf_fail(err, EBADMSG, "boot pack record %u: before the end of chunk %u", position,
                          last->pack);
        last = r;
    }
    free(keys);
    return rc;
}

int dlf_boot_table_parse(struct dlf_boot_table *table, const uint8_t *data, size_t size,
                         uint32_t head_size, uint64_t image_size, uint64_t object_size,
                         uint64_t chunk_count, struct dlf_err *err)
{
    struct dlf_boot_table t = {.head_size = head_size};
    int rc = read_fixed(&t, data, size, err);
    if (rc == 0)
        rc = check_fixed(&t, image_size, object_size, err);
    if (rc < 0)
        return rc;
    /* One more than needed, so that an empty table is no special case for calloc. */
    t.records = calloc((size_t)t.record_count + 1, sizeof(*t.records));
    t.later = calloc((size_t)t.later_count + 1, sizeof(*t.later));
    if (!t.records || !t.later)
        rc = dlf_fail(err, ENOMEM, "out of memory for a boot pack table of %zu bytes", size);
    else
        rc = read_records(&t, data, chunk_count, err);
    if (rc == 0)
        rc = check_numbers(&t, err);
    if (rc < 0) {
        dlf_boot_table_free(&t);
        return rc;
    }
    *table = t;
    return 0;
}

void dlf_boot_table_free(struct dlf_boot_table *table)
{
    free(table->records);
    free(table->later);
    memset(table, 0, sizeof(*table));
}

void dlf_boot_table_write(const struct dlf_boot_table *table, uint8_t *out)
{
    memset(out, 0, DLF_BOOT_FIXED_SIZE);
    memcpy(out + AT_MAGIC, magic, sizeof(magic));
    dlf_put32(out + AT_VERSION, DLF_BOOT_VERSION);
    dlf_put32(out + AT_RECORD_SIZE, DLF_RECORD_SIZE);
    dlf_put32(out + AT_RECORD_COUNT, table->record_count);
    dlf_put32(out + AT_LATER_COUNT, table->later_count);
    dlf_put64(out + AT_IMAGE_SIZE, table->image_size);
    dlf_put64(out + AT_SIZE, table->size);
    dlf_put64(out + AT_DATA_SIZE, table->data_size);
    dlf_put32(out + AT_MAX_LENGTH, table->max_length);
    uint8_t *p = out + DLF_BOOT_FIXED_SIZE;
    for (uint32_t i = 0; i < table->record_count; i++, p += DLF_RECORD_SIZE)
        dlf_record_write(&table->records[i], p);
    for (uint32_t i = 0; i < table->later_count; i++, p += LATER_SIZE)
        dlf_put32(p, table->later[i]);
}
