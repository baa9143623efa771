/* Reads and writes index heads, pages and records. Heads own their tables; pure, any thread. */
#include "format/index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "format/bytes.h"
#include "format/codec.h"

static const uint8_t magic[8] = {'d', 'l', 'f', 'i', 'n', 'd', 'e', 'x'};

/* Where the fixed fields lie; docs/FORMAT.md has the same table. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_RECORD_SIZE = 12,
    AT_PAGE_RECORDS = 16,
    AT_PAGE_COUNT = 20,
    AT_RECORD_COUNT = 24,
    AT_IMAGE_SIZE = 32,
    AT_DATA_SIZE = 40,
    AT_STORED_SIZE = 48,
    AT_PACK_COUNT = 56,
    AT_MAX_LENGTH = 60,
};

/* Where a record's fields lie. */
enum {
    REC_OFFSET = 0,
    REC_LENGTH = 8,
    REC_STORED_LENGTH = 12,
    REC_PACK = 16,
    REC_PACK_OFFSET = 20,
    REC_CODEC = 24, /* then 7 zero bytes */
    REC_XXH3 = 32,
    REC_SHA256 = 40,
};

uint32_t dlf_index_head_size(uint64_t page_count, uint64_t pack_count)
{
    uint64_t most = DLF_INDEX_HEAD_MAX / DLF_INDEX_PACK_ENTRY;
    if (page_count > most || pack_count > most)
        return 0;
    uint64_t size = DLF_INDEX_FIXED_SIZE + page_count * DLF_INDEX_PAGE_ENTRY +
                    pack_count * DLF_INDEX_PACK_ENTRY;
    return size > DLF_INDEX_HEAD_MAX ? 0 : (uint32_t)size;
}

/* Reads the fixed part. Checks every field that the tables' allocation depends on. */
static int read_fixed(struct dlf_index_head *head, const uint8_t *data, size_t size,
                      struct dlf_err *err)
{
    if (size < DLF_INDEX_FIXED_SIZE)
        return dlf_fail(err, EBADMSG, "index head has %zu bytes, at least %d are needed", size,
                        DLF_INDEX_FIXED_SIZE);
    if (memcmp(data + AT_MAGIC, magic, sizeof(magic)) != 0)
        return dlf_fail(err, EBADMSG, "not a dlfuse index: wrong magic at offset 0");
    uint32_t version = dlf_get32(data + AT_VERSION);
    if (version != DLF_INDEX_VERSION)
        return dlf_fail(err, ENOTSUP, "index version %u is not known to this build, which reads %d",
                        version, DLF_INDEX_VERSION);
    if (dlf_get32(data + AT_RECORD_SIZE) != DLF_RECORD_SIZE ||
        dlf_get32(data + AT_PAGE_RECORDS) != DLF_INDEX_PAGE_RECORDS)
        return dlf_fail(err, EBADMSG, "index head: record or page size is not that of version %d",
                        DLF_INDEX_VERSION);
    head->page_count = dlf_get32(data + AT_PAGE_COUNT);
    head->record_count = dlf_get64(data + AT_RECORD_COUNT);
    head->image_size = dlf_get64(data + AT_IMAGE_SIZE);
    head->data_size = dlf_get64(data + AT_DATA_SIZE);
    head->stored_size = dlf_get64(data + AT_STORED_SIZE);
    head->pack_count = dlf_get32(data + AT_PACK_COUNT);
    head->max_length = dlf_get32(data + AT_MAX_LENGTH);
    return 0;
}

static int check_fixed(const struct dlf_index_head *head, size_t size, uint64_t image_size,
                       uint64_t index_size, struct dlf_err *err)
{
    if (dlf_index_head_size(head->page_count, head->pack_count) != size)
        return dlf_fail(err, EBADMSG, "index head: %u pages and %u packs do not fit its %zu bytes",
                        head->page_count, head->pack_count, size);
    /* No wrap: page_count is bounded by the head's size. */
    uint64_t full = (uint64_t)head->page_count * DLF_INDEX_PAGE_RECORDS;
    if (head->record_count > full || full - head->record_count >= DLF_INDEX_PAGE_RECORDS)
        return dlf_fail(err, EBADMSG, "index head: %" PRIu64 " records do not fill %u pages",
                        head->record_count, head->page_count);
    if (size + head->record_count * DLF_RECORD_SIZE != index_size)
        return dlf_fail(err, EBADMSG, "index head: its records do not add up to the index's size");
    if (head->image_size != image_size)
        return dlf_fail(err, EBADMSG,
                        "index is for an image of %" PRIu64 " bytes, the manifest says %" PRIu64,
                        head->image_size, image_size);
    if (head->data_size > head->image_size || head->stored_size > head->data_size)
        return dlf_fail(err, EBADMSG, "index head: more data than image");
    if (head->max_length > DLF_CHUNK_MAX || !head->record_count != !head->max_length)
        return dlf_fail(err, EBADMSG,
                        "index head: longest chunk of %u bytes in %" PRIu64
                        " records, the limit is %u",
                        head->max_length, head->record_count, DLF_CHUNK_MAX);
    /* No wrap: record_count is below 2^27, max_length at most 2^20. */
    if (head->data_size < head->record_count ||
        head->data_size > head->record_count * head->max_length ||
        !head->stored_size != !head->record_count)
        return dlf_fail(err, EBADMSG,
                        "index head: %" PRIu64 " records cannot hold %" PRIu64
                        " bytes, stored as %" PRIu64,
                        head->record_count, head->data_size, head->stored_size);
    return 0;
}

static int read_tables(struct dlf_index_head *head, const uint8_t *data, struct dlf_err *err)
{
    const uint8_t *p = data + DLF_INDEX_FIXED_SIZE;
    for (uint32_t i = 0; i < head->page_count; i++, p += DLF_INDEX_PAGE_ENTRY) {
        head->pages[i].first_offset = dlf_get64(p);
        memcpy(head->pages[i].sha256.bytes, p + 8, DLF_SHA256_SIZE);
        if (head->pages[i].first_offset >= head->image_size ||
            (i && head->pages[i].first_offset <= head->pages[i - 1].first_offset))
            return dlf_fail(err, EBADMSG, "index head: page %u begins out of order or past the end",
                            i);
    }
    for (uint32_t i = 0; i < head->pack_count; i++, p += DLF_INDEX_PACK_ENTRY) {
        memcpy(head->packs[i].sha256.bytes, p, DLF_SHA256_SIZE);
        head->packs[i].size = dlf_get32(p + DLF_SHA256_SIZE);
        if (head->packs[i].size == 0 || head->packs[i].size > DLF_PACK_MAX ||
            dlf_get32(p + DLF_SHA256_SIZE + 4) != 0)
            return dlf_fail(err, EBADMSG, "index head: pack %u has an impossible size", i);
    }
    return 0;
}

int dlf_index_head_parse(struct dlf_index_head *head, const uint8_t *data, size_t size,
                         uint64_t expected_image_size, uint64_t index_size, struct dlf_err *err)
{
    struct dlf_index_head h = {0};
    int rc = read_fixed(&h, data, size, err);
    if (rc == 0)
        rc = check_fixed(&h, size, expected_image_size, index_size, err);
    if (rc < 0)
        return rc;
    /* One more than needed, so that an index without records is no special case for calloc. */
    h.pages = calloc((size_t)h.page_count + 1, sizeof(*h.pages));
    h.packs = calloc((size_t)h.pack_count + 1, sizeof(*h.packs));
    if (!h.pages || !h.packs)
        rc = dlf_fail(err, ENOMEM, "out of memory for an index head of %zu bytes", size);
    else
        rc = read_tables(&h, data, err);
    if (rc < 0) {
        dlf_index_head_free(&h);
        return rc;
    }
    *head = h;
    return 0;
}

void dlf_index_head_free(struct dlf_index_head *head)
{
    free(head->pages);
    free(head->packs);
    memset(head, 0, sizeof(*head));
}

void dlf_index_head_write(const struct dlf_index_head *head, uint8_t *out)
{
    memset(out, 0, dlf_index_head_size(head->page_count, head->pack_count));
    memcpy(out + AT_MAGIC, magic, sizeof(magic));
    dlf_put32(out + AT_VERSION, DLF_INDEX_VERSION);
    dlf_put32(out + AT_RECORD_SIZE, DLF_RECORD_SIZE);
    dlf_put32(out + AT_PAGE_RECORDS, DLF_INDEX_PAGE_RECORDS);
    dlf_put32(out + AT_PAGE_COUNT, head->page_count);
    dlf_put64(out + AT_RECORD_COUNT, head->record_count);
    dlf_put64(out + AT_IMAGE_SIZE, head->image_size);
    dlf_put64(out + AT_DATA_SIZE, head->data_size);
    dlf_put64(out + AT_STORED_SIZE, head->stored_size);
    dlf_put32(out + AT_PACK_COUNT, head->pack_count);
    dlf_put32(out + AT_MAX_LENGTH, head->max_length);
    uint8_t *p = out + DLF_INDEX_FIXED_SIZE;
    for (uint32_t i = 0; i < head->page_count; i++, p += DLF_INDEX_PAGE_ENTRY) {
        dlf_put64(p, head->pages[i].first_offset);
        memcpy(p + 8, head->pages[i].sha256.bytes, DLF_SHA256_SIZE);
    }
    for (uint32_t i = 0; i < head->pack_count; i++, p += DLF_INDEX_PACK_ENTRY) {
        memcpy(p, head->packs[i].sha256.bytes, DLF_SHA256_SIZE);
        dlf_put32(p + DLF_SHA256_SIZE, head->packs[i].size);
    }
}

uint32_t dlf_index_page_records(const struct dlf_index_head *head, uint32_t page)
{
    uint64_t before = (uint64_t)page * DLF_INDEX_PAGE_RECORDS;
    uint64_t left = head->record_count - before;
    return left < DLF_INDEX_PAGE_RECORDS ? (uint32_t)left : DLF_INDEX_PAGE_RECORDS;
}

uint64_t dlf_index_page_offset(const struct dlf_index_head *head, uint32_t page)
{
    return dlf_index_head_size(head->page_count, head->pack_count) +
           (uint64_t)page * DLF_INDEX_PAGE_SIZE;
}

uint32_t dlf_index_page_find(const struct dlf_index_head *head, uint64_t offset)
{
    uint32_t low = 0;
    uint32_t high = head->page_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (head->pages[middle].first_offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void dlf_record_read(struct dlf_record *record, const uint8_t *data)
{
    record->offset = dlf_get64(data + REC_OFFSET);
    record->length = dlf_get32(data + REC_LENGTH);
    record->stored_length = dlf_get32(data + REC_STORED_LENGTH);
    record->pack = dlf_get32(data + REC_PACK);
    record->pack_offset = dlf_get32(data + REC_PACK_OFFSET);
    record->codec = data[REC_CODEC];
    record->xxh3 = dlf_get64(data + REC_XXH3);
    memcpy(record->sha256.bytes, data + REC_SHA256, DLF_SHA256_SIZE);
}

void dlf_record_write(const struct dlf_record *record, uint8_t *data)
{
    memset(data, 0, DLF_RECORD_SIZE);
    dlf_put64(data + REC_OFFSET, record->offset);
    dlf_put32(data + REC_LENGTH, record->length);
    dlf_put32(data + REC_STORED_LENGTH, record->stored_length);
    dlf_put32(data + REC_PACK, record->pack);
    dlf_put32(data + REC_PACK_OFFSET, record->pack_offset);
    data[REC_CODEC] = record->codec;
    dlf_put64(data + REC_XXH3, record->xxh3);
    memcpy(data + REC_SHA256, record->sha256.bytes, DLF_SHA256_SIZE);
}

/* The reason why a record is invalid, or NULL. lowest: where it may begin at the earliest. */
static const char *record_fault(const struct dlf_index_head *head, const struct dlf_record *r,
                                uint64_t lowest, uint64_t end)
{
    if (r->length == 0 || r->length > head->max_length)
        return "impossible length";
    if (r->offset < lowest || !dlf_range_within(r->offset, r->length, end))
        return "out of order, overlapping, or past the end";
    if (r->stored_length == 0 || r->stored_length > r->length)
        return "impossible stored length";
    if (r->codec == DLF_CODEC_RAW && r->stored_length != r->length)
        return "raw, but stored in another length";
    if (r->pack >= head->pack_count)
        return "no such pack";
    if (!dlf_range_within(r->pack_offset, r->stored_length, head->packs[r->pack].size))
        return "past the end of its pack";
    return NULL;
}

int dlf_index_page_check(const struct dlf_index_head *head, uint32_t page, const uint8_t *data,
                         size_t size, struct dlf_err *err)
{
    static const uint8_t zeros[7];
    uint32_t count = dlf_index_page_records(head, page);
    uint64_t first = (uint64_t)page * DLF_INDEX_PAGE_RECORDS;
    uint64_t lowest = head->pages[page].first_offset;
    /* A page's records end where the next page's begin. */
    uint64_t end =
        page + 1 < head->page_count ? head->pages[page + 1].first_offset : head->image_size;

    if (size != (size_t)count * DLF_RECORD_SIZE)
        return dlf_fail(err, EBADMSG, "index page %u has %zu bytes for %u records", page, size,
                        count);
    for (uint32_t i = 0; i < count; i++) {
        struct dlf_record r;
        const uint8_t *at = data + (size_t)i * DLF_RECORD_SIZE;
        dlf_record_read(&r, at);
        const char *fault = record_fault(head, &r, lowest, end);
        if (!fault && i == 0 && r.offset != lowest)
            fault = "not where the page table says";
        if (!fault && memcmp(at + REC_CODEC + 1, zeros, sizeof(zeros)) != 0)
            fault = "reserved bytes are not zero";
        if (fault)
            return dlf_fail(err, EBADMSG, "index record %" PRIu64 ": %s", first + i, fault);
        lowest = r.offset + r.length;
    }
    return 0;
}
