/* Makes the image golden-boot from its rule. One thread, tests only. */
#include "golden_boot.h"

#include <string.h>

#include "format/codec.h"
#include "golden.h"

/* 2026-02-03T04:05:06Z */
#define CREATED UINT64_C(1770091506)

/* Content: the same byte again and again, or (0) bytes that count. */
static const struct {
    uint64_t offset;
    uint32_t length;
    uint8_t run;
    uint8_t codec;
    uint8_t boot_codec;
} chunks[GOLDEN_BOOT_CHUNKS] = {
    {4096, 300, 'z', DLF_CODEC_ZSTD, DLF_CODEC_LZ4},
    {4396, 50, 0, DLF_CODEC_RAW, 0},
    {8192, 100, 'l', DLF_CODEC_LZ4, DLF_CODEC_ZSTD},
    {8292, 70, 0, DLF_CODEC_RAW, DLF_CODEC_RAW},
};

static const uint32_t boot_order[GOLDEN_BOOT_RECORDS] = {3, 0, 2};

/* One zstd frame: the size in its header, one block that says a byte and how often. */
static uint32_t zstd_run(uint8_t *out, uint8_t byte, uint32_t length)
{
    uint8_t *p = out;
    uint32_t block = length << 3 | 1 << 1 /* a run */ | 1 /* the last */;
    memcpy(p, "\x28\xb5\x2f\xfd", 4);
    p += 4;
    if (length < 256) {
        *p++ = 1 << 5; /* one segment, a size of one byte */
        *p++ = (uint8_t)length;
    } else {
        *p++ = 1 << 6 | 1 << 5; /* a size of two bytes, counted from 256 */
        *p++ = (uint8_t)(length - 256);
        *p++ = (uint8_t)((length - 256) >> 8);
    }
    *p++ = (uint8_t)block;
    *p++ = (uint8_t)(block >> 8);
    *p++ = (uint8_t)(block >> 16);
    *p++ = byte;
    return (uint32_t)(p - out);
}

/* Writes the stored bytes of a chunk to out, and sets its record's fields. */
static void store(const struct golden_boot *g, unsigned i, uint8_t codec, uint8_t *out,
                  struct dlf_record *r)
{
    const uint8_t *content = g->image + chunks[i].offset;
    r->offset = chunks[i].offset;
    r->length = chunks[i].length;
    r->codec = codec;
    r->stored_length = r->length;
    if (codec == DLF_CODEC_ZSTD)
        r->stored_length = zstd_run(out, chunks[i].run, r->length);
    else if (codec == DLF_CODEC_LZ4)
        r->stored_length = golden_lz4_run(out, chunks[i].run, r->length);
    else
        memcpy(out, content, r->length);
    r->xxh3 = dlf_xxh3(content, r->length);
    r->sha256 = dlf_sha256(out, r->stored_length);
}

static void make_index(struct golden_boot *g)
{
    struct dlf_index_page page = {.first_offset = chunks[0].offset};
    struct dlf_index_head head = {.image_size = GOLDEN_BOOT_IMAGE,
                                  .record_count = GOLDEN_BOOT_CHUNKS,
                                  .max_length = 300,
                                  .page_count = 1,
                                  .pack_count = 1,
                                  .pages = &page,
                                  .packs = &g->pack_entry};
    uint32_t size = dlf_index_head_size(1, 1);
    for (unsigned i = 0; i < GOLDEN_BOOT_CHUNKS; i++) {
        struct dlf_record *r = &g->records[i];
        for (uint32_t n = 0; n < chunks[i].length; n++)
            g->image[chunks[i].offset + n] = chunks[i].run ? chunks[i].run : (uint8_t)(n * 37 + i);
        store(g, i, chunks[i].codec, g->pack + g->pack_entry.size, r);
        r->pack_offset = g->pack_entry.size;
        g->pack_entry.size += r->stored_length;
        head.data_size += r->length;
        dlf_record_write(r, g->index + size + (size_t)i * DLF_RECORD_SIZE);
    }
    head.stored_size = g->pack_entry.size;
    g->pack_entry.sha256 = dlf_sha256(g->pack, g->pack_entry.size);
    page.sha256 = dlf_sha256(g->index + size, (size_t)GOLDEN_BOOT_CHUNKS * DLF_RECORD_SIZE);
    dlf_index_head_write(&head, g->index);
    g->manifest.index_head_size = size;
    g->manifest.index_size = size + GOLDEN_BOOT_CHUNKS * DLF_RECORD_SIZE;
    g->manifest.index_head = dlf_sha256(g->index, size);
    g->manifest.index = dlf_sha256(g->index, g->manifest.index_size);
}

static void make_boot(struct golden_boot *g)
{
    struct dlf_boot_table t = {.image_size = GOLDEN_BOOT_IMAGE,
                               .table_size =
                                   dlf_boot_table_size(GOLDEN_BOOT_RECORDS, GOLDEN_BOOT_LATER),
                               .head_size = g->manifest.index_head_size,
                               .record_count = GOLDEN_BOOT_RECORDS,
                               .later_count = GOLDEN_BOOT_LATER,
                               .max_length = 300,
                               .records = g->boot_records,
                               .later = g->later};
    memcpy(g->boot + t.table_size, g->index, t.head_size);
    t.size = t.table_size + t.head_size;
    for (unsigned i = 0; i < GOLDEN_BOOT_RECORDS; i++) {
        struct dlf_record *r = &g->boot_records[i];
        store(g, boot_order[i], chunks[boot_order[i]].boot_codec, g->boot + t.size, r);
        r->pack = boot_order[i];
        r->pack_offset = (uint32_t)t.size;
        t.size += r->stored_length;
        t.data_size += r->length;
    }
    g->later[0] = 1;
    dlf_boot_table_write(&t, g->boot);
    g->manifest.boot_size = t.size;
    g->manifest.boot = dlf_sha256(g->boot, t.size);
    g->manifest.boot_table_size = t.table_size;
    g->manifest.boot_table = dlf_sha256(g->boot, t.table_size);
}

void golden_boot_make(struct golden_boot *g)
{
    memset(g, 0, sizeof(*g));
    make_index(g);
    make_boot(g);
    memcpy(g->manifest.name, "golden-boot", sizeof("golden-boot"));
    g->manifest.serial = 2;
    g->manifest.created = CREATED;
    g->manifest.image_size = GOLDEN_BOOT_IMAGE;
    int n = dlf_manifest_format(&g->manifest, g->text, sizeof(g->text));
    g->text_size = n < 0 ? 0 : (size_t)n;
}
