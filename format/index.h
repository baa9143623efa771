/*
 * The index maps each run of the image to the chunk of the store that holds it.
 *
 * An index object is a head and then the records. The head has a table of pages (256 records each,
 * with the digest of each page's bytes) and a table of packs. So a node fetches and verifies only
 * the pages that it needs. Runs of the image that no record covers are zeros. docs/FORMAT.md gives
 * every field.
 */
#ifndef DLFUSE_FORMAT_INDEX_H
#define DLFUSE_FORMAT_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "format/digest.h"
#include "format/err.h"
#include "format/limits.h"

#define DLF_INDEX_VERSION 1
#define DLF_INDEX_FIXED_SIZE 64 /* bytes before the tables */
#define DLF_INDEX_PAGE_ENTRY 40 /* bytes of a page table entry */
#define DLF_INDEX_PACK_ENTRY 40 /* bytes of a pack table entry */
#define DLF_INDEX_PAGE_RECORDS 256
#define DLF_RECORD_SIZE 72 /* bytes of a record */
#define DLF_INDEX_PAGE_SIZE (DLF_INDEX_PAGE_RECORDS * DLF_RECORD_SIZE)

/* Bytes of a whole index object: the largest head's page table full of full pages. */
#define DLF_INDEX_MAX                                                                              \
    ((uint64_t)DLF_INDEX_HEAD_MAX +                                                                \
     (uint64_t)(DLF_INDEX_HEAD_MAX / DLF_INDEX_PAGE_ENTRY) * DLF_INDEX_PAGE_SIZE)

/* One chunk of the image. */
struct dlf_record {
    uint64_t offset;          /* in the image, bytes */
    uint32_t length;          /* of the content, bytes, 1 to DLF_CHUNK_MAX */
    uint32_t stored_length;   /* bytes in the pack, 1 to length */
    uint32_t pack;            /* number in the pack table */
    uint32_t pack_offset;     /* bytes */
    uint8_t codec;            /* enum dlf_codec, or one that this build lacks */
    uint64_t xxh3;            /* of the content */
    struct dlf_sha256 sha256; /* of the stored bytes */
};

struct dlf_index_page {
    uint64_t first_offset; /* image offset of its first record */
    struct dlf_sha256 sha256;
};

struct dlf_index_pack {
    struct dlf_sha256 sha256; /* names the object pack/HEX */
    uint32_t size;            /* bytes, 1 to DLF_PACK_MAX */
};

/* A head in memory. Owns pages and packs; dlf_index_head_free. */
struct dlf_index_head {
    uint64_t image_size;  /* bytes */
    uint64_t data_size;   /* bytes of content that the records cover */
    uint64_t stored_size; /* bytes of their stored forms, each stored chunk counted once */
    uint64_t record_count;
    uint32_t max_length; /* the longest record's length; 0 without records */
    uint32_t page_count;
    uint32_t pack_count;
    struct dlf_index_page *pages;
    struct dlf_index_pack *packs;
};

/*
 * Reads a head after its digest was checked. expected_image_size and index_size are the manifest's;
 * a head that disagrees is refused. -EBADMSG, -ENOTSUP (version), -ENOMEM. *head is untouched on
 * failure.
 */
int dlf_index_head_parse(struct dlf_index_head *head, const uint8_t *data, size_t size,
                         uint64_t expected_image_size, uint64_t index_size, struct dlf_err *err);
void dlf_index_head_free(struct dlf_index_head *head);

/* Bytes that a head with these tables takes; 0 when over DLF_INDEX_HEAD_MAX. */
uint32_t dlf_index_head_size(uint64_t page_count, uint64_t pack_count);

/* Writes the head into out, which has dlf_index_head_size() bytes of room. */
void dlf_index_head_write(const struct dlf_index_head *head, uint8_t *out);

/* Records in page number page; the last page may have fewer than DLF_INDEX_PAGE_RECORDS. */
uint32_t dlf_index_page_records(const struct dlf_index_head *head, uint32_t page);

/* Byte offset of a page in the index object. */
uint64_t dlf_index_page_offset(const struct dlf_index_head *head, uint32_t page);

/*
 * The page that may have a record over offset: the last one that begins at or before it. Page 0
 * when all begin after it. The head must have at least one page.
 */
uint32_t dlf_index_page_find(const struct dlf_index_head *head, uint64_t offset);

/*
 * Checks every record of a page after the page's digest was checked. Records must be in order, must
 * not overlap, must lie inside the image, the packs and the limits, and must begin where the page
 * table says. A codec that this build lacks is no damage: dlf_decode refuses the chunk and names
 * the codec. -EBADMSG with the record's number in err.
 */
int dlf_index_page_check(const struct dlf_index_head *head, uint32_t page, const uint8_t *data,
                         size_t size, struct dlf_err *err);

/* Reads or writes one record at data, which has DLF_RECORD_SIZE bytes. */
void dlf_record_read(struct dlf_record *record, const uint8_t *data);
void dlf_record_write(const struct dlf_record *record, uint8_t *data);

#endif
