/* The index in memory: the content at an offset, from pages, from a boot pack's table, from
 * neither. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuse/pages.h"

/* An image of two pages' worth of chunks: each 8 KiB, with a hole of 4 KiB behind every fourth. */
#define RECORDS (DLF_INDEX_PAGE_RECORDS + 44u)
#define LENGTH 8192u

static uint64_t offset_of(uint64_t chunk)
{
    return chunk * LENGTH + chunk / 4 * 4096;
}

static struct dlf_record record_of(uint64_t chunk)
{
    return (struct dlf_record){.offset = offset_of(chunk),
                               .length = LENGTH,
                               .stored_length = 100,
                               .pack_offset = (uint32_t)chunk * 100,
                               .codec = 1,
                               .xxh3 = chunk * 7919};
}

static struct dlf_pages *new_pages(void)
{
    struct dlf_index_head head = {
        .image_size = offset_of(RECORDS) + (1 << 20),
        .record_count = RECORDS,
        .max_length = LENGTH,
        .page_count = 2,
    };
    head.pages = calloc(2, sizeof(*head.pages));
    head.pages[1].first_offset = offset_of(DLF_INDEX_PAGE_RECORDS);
    return dlf_pages_new(&head);
}

static uint8_t *page_bytes(uint32_t page)
{
    uint32_t count = page ? RECORDS - DLF_INDEX_PAGE_RECORDS : DLF_INDEX_PAGE_RECORDS;
    uint8_t *data = malloc((size_t)count * DLF_RECORD_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        struct dlf_record r = record_of((uint64_t)page * DLF_INDEX_PAGE_RECORDS + i);
        dlf_record_write(&r, data + (size_t)i * DLF_RECORD_SIZE);
    }
    return data;
}

/* A table with these chunks, in this order. */
static struct dlf_boot_table table_of(struct dlf_record *records, const uint32_t *chunks,
                                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        records[i] = record_of(chunks[i]);
        records[i].pack = chunks[i];
        records[i].pack_offset = 1000 + i * 50;
        records[i].stored_length = 50;
    }
    return (struct dlf_boot_table){.records = records, .record_count = count};
}

static struct dlf_spot at(const struct dlf_pages *pages, uint64_t offset)
{
    struct dlf_spot spot;
    dlf_pages_at(pages, offset, &spot);
    return spot;
}

static const uint32_t booted[] = {9, 2, 3, 4, 280, 7};
#define BOOTED 6u

static void test_boot_table_serves_without_pages(void **state)
{
    struct dlf_record records[BOOTED];
    struct dlf_record got;
    struct dlf_boot_table table = table_of(records, booted, BOOTED);
    struct dlf_pages *pages = new_pages();
    (void)state;
    assert_int_equal(at(pages, offset_of(2)).kind, DLF_SPOT_UNKNOWN);
    assert_int_equal(dlf_pages_add_boot(pages, &table), 0);

    struct dlf_spot spot = at(pages, offset_of(2) + 100);
    assert_int_equal(spot.kind, DLF_SPOT_CHUNK);
    assert_true(spot.boot);
    assert_int_equal(spot.chunk, 2);
    assert_int_equal(spot.record.pack_offset, 1050);
    assert_int_equal(spot.end, offset_of(2) + LENGTH);
    assert_int_equal(at(pages, offset_of(280)).chunk, 280);

    /* 3 and 4 are neighbours: the gap between them is a hole. 4 and 7 are not. */
    spot = at(pages, offset_of(3) + LENGTH);
    assert_int_equal(spot.kind, DLF_SPOT_HOLE);
    assert_int_equal(spot.end, offset_of(4));
    assert_int_equal(at(pages, offset_of(5)).kind, DLF_SPOT_UNKNOWN);
    assert_int_equal(at(pages, offset_of(7) + LENGTH).kind, DLF_SPOT_UNKNOWN);
    assert_int_equal(at(pages, 0).kind, DLF_SPOT_UNKNOWN);
    assert_int_equal(at(pages, offset_of(280) + LENGTH).kind, DLF_SPOT_UNKNOWN);

    /* A dropped boot pack serves no more chunks, but the places of the chunks that it brought stay
     * known. */
    dlf_pages_drop_boot(pages);
    assert_int_equal(at(pages, offset_of(2)).kind, DLF_SPOT_UNKNOWN);
    assert_true(dlf_pages_record(pages, 280, &got));
    assert_int_equal(got.offset, offset_of(280));
    assert_false(dlf_pages_record(pages, 281, &got));
    dlf_pages_free(pages);
}

static void test_pages_come_before_the_boot_table(void **state)
{
    struct dlf_record records[BOOTED];
    struct dlf_record got;
    struct dlf_boot_table table = table_of(records, booted, BOOTED);
    struct dlf_pages *pages = new_pages();
    (void)state;
    assert_int_equal(dlf_pages_add_boot(pages, &table), 0);
    assert_true(dlf_pages_record(pages, 280, &got));
    assert_int_equal(got.xxh3, 280 * 7919);
    assert_false(dlf_pages_record(pages, 281, &got));
    uint8_t *page = page_bytes(0);
    assert_true(dlf_pages_fit_boot(pages, 0, page));
    dlf_pages_store(pages, 0, page);
    struct dlf_spot spot = at(pages, offset_of(2));
    assert_false(spot.boot);
    assert_int_equal(spot.record.pack_offset, 200);
    assert_int_equal(at(pages, offset_of(5)).chunk, 5);
    assert_true(at(pages, offset_of(280)).boot);
    dlf_pages_free(pages);
}

static void test_disagreement_is_found(void **state)
{
    struct dlf_record records[BOOTED];
    struct dlf_boot_table table = table_of(records, booted, BOOTED);
    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        struct dlf_pages *pages = new_pages();
        table = table_of(records, booted, BOOTED);
        records[5].xxh3 += what == 0;
        records[5].length -= what == 1;
        records[5].offset += what == 2;
        uint8_t *page = page_bytes(0);
        /* The table first, then the page. */
        assert_int_equal(dlf_pages_add_boot(pages, &table), 0);
        assert_false(dlf_pages_fit_boot(pages, 0, page));
        dlf_pages_free(pages);
        /* And the other way round. */
        pages = new_pages();
        dlf_pages_store(pages, 0, page);
        assert_int_equal(dlf_pages_add_boot(pages, &table), -EBADMSG);
        dlf_pages_free(pages);
    }
}

static void test_unsound_tables_are_refused(void **state)
{
    struct dlf_record records[BOOTED];
    struct dlf_boot_table table = table_of(records, booted, BOOTED);
    struct dlf_pages *pages = new_pages();
    (void)state;
    records[0].offset = records[1].offset + 1; /* one over the other */
    assert_int_equal(dlf_pages_add_boot(pages, &table), -EBADMSG);
    table = table_of(records, booted, BOOTED);
    records[0].pack = 1; /* a number that is not in the order of places */
    assert_int_equal(dlf_pages_add_boot(pages, &table), -EBADMSG);
    table = table_of(records, booted, BOOTED);
    assert_int_equal(dlf_pages_add_boot(pages, &table), 0);
    dlf_pages_free(pages);
}

/* The index head's limits for a chunk's length and each page's place hold for the table too. */
static void test_tables_beyond_the_index_head_are_refused(void **state)
{
    struct dlf_record records[BOOTED];
    struct dlf_pages *pages = new_pages();
    uint64_t page_1 = offset_of(DLF_INDEX_PAGE_RECORDS);
    (void)state;
    struct {
        uint32_t chunk;
        uint64_t offset;
        uint32_t length;
    } const wrong[] = {
        {7, offset_of(7), LENGTH + 1},                /* longer than the decoders' room */
        {7, page_1, LENGTH},                          /* a chunk of page 0, in page 1 */
        {7, page_1 - 1, 2},                           /* across */
        {280, page_1 - LENGTH, LENGTH},               /* a chunk of page 1, in page 0 */
        {280, offset_of(RECORDS) + (1 << 20) - 1, 2}, /* over the image's end */
        {RECORDS, offset_of(RECORDS), LENGTH},        /* no such chunk */
    };
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct dlf_boot_table table = table_of(records, &wrong[i].chunk, 1);
        records[0].offset = wrong[i].offset;
        records[0].length = wrong[i].length;
        assert_int_equal(dlf_pages_add_boot(pages, &table), -EBADMSG);
    }
    dlf_pages_free(pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot_table_serves_without_pages),
        cmocka_unit_test(test_pages_come_before_the_boot_table),
        cmocka_unit_test(test_disagreement_is_found),
        cmocka_unit_test(test_unsound_tables_are_refused),
        cmocka_unit_test(test_tables_beyond_the_index_head_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
