/* Index heads, pages and records: round trips, each refusal with its words, limits, lookup. */
#include "check.h"

#include <errno.h>
#include <stdlib.h>

#include "format/bytes.h"
#include "format/codec.h"
#include "format/index.h"
#include "golden.h"

/* An index of two records in one page and one pack, small enough to check by hand. */
#define SMALL_HEAD (DLF_INDEX_FIXED_SIZE + DLF_INDEX_PAGE_ENTRY + DLF_INDEX_PACK_ENTRY)
#define SMALL_PAGE (2 * DLF_RECORD_SIZE)
#define SMALL_IMAGE 1000

struct small {
    uint8_t head[SMALL_HEAD];
    uint8_t page[SMALL_PAGE];
};

static struct small small_make(void)
{
    struct small s;
    struct dlf_record first = {.offset = 100,
                               .length = 200,
                               .stored_length = 50,
                               .pack_offset = 0,
                               .codec = DLF_CODEC_LZ4,
                               .xxh3 = 1};
    struct dlf_record second = {.offset = 300,
                                .length = 100,
                                .stored_length = 100,
                                .pack_offset = 50,
                                .codec = DLF_CODEC_RAW,
                                .xxh3 = 2};
    struct dlf_index_page page = {.first_offset = 100};
    struct dlf_index_pack pack = {.size = 150};
    struct dlf_index_head h = {.image_size = SMALL_IMAGE,
                               .data_size = 300,
                               .stored_size = 150,
                               .record_count = 2,
                               .max_length = 200,
                               .page_count = 1,
                               .pack_count = 1,
                               .pages = &page,
                               .packs = &pack};
    dlf_record_write(&first, s.page);
    dlf_record_write(&second, s.page + DLF_RECORD_SIZE);
    page.sha256 = dlf_sha256(s.page, SMALL_PAGE);
    dlf_index_head_write(&h, s.head);
    return s;
}

static int small_parse(const struct small *s, struct dlf_index_head *h, struct dlf_err *err)
{
    return dlf_index_head_parse(h, s->head, SMALL_HEAD, SMALL_IMAGE, SMALL_HEAD + SMALL_PAGE, err);
}

static void small_index_is_read_back(void **state)
{
    (void)state;
    struct small s = small_make();
    struct dlf_index_head h;
    struct dlf_record r;
    struct dlf_err err;
    struct dlf_sha256 page_digest = dlf_sha256(s.page, SMALL_PAGE);
    assert_works(small_parse(&s, &h, &err), err);
    assert_int_equal(h.image_size, SMALL_IMAGE);
    assert_int_equal(h.data_size, 300);
    assert_int_equal(h.stored_size, 150);
    assert_int_equal(h.record_count, 2);
    assert_int_equal(h.max_length, 200);
    assert_int_equal(h.pages[0].first_offset, 100);
    assert_true(dlf_sha256_equal(&h.pages[0].sha256, &page_digest));
    assert_int_equal(h.packs[0].size, 150);
    assert_int_equal(dlf_index_page_records(&h, 0), 2);
    assert_int_equal(dlf_index_page_offset(&h, 0), SMALL_HEAD);
    assert_works(dlf_index_page_check(&h, 0, s.page, SMALL_PAGE, &err), err);
    dlf_record_read(&r, s.page + DLF_RECORD_SIZE);
    assert_int_equal(r.offset, 300);
    assert_int_equal(r.length, 100);
    assert_int_equal(r.stored_length, 100);
    assert_int_equal(r.pack, 0);
    assert_int_equal(r.pack_offset, 50);
    assert_int_equal(r.codec, DLF_CODEC_RAW);
    assert_int_equal(r.xxh3, 2);
    dlf_index_head_free(&h);
    assert_null(h.pages);
}

static void fields_lie_where_the_format_page_says(void **state)
{
    (void)state;
    struct small s = small_make();
    assert_memory_equal(s.head, "dlfindex", 8);
    assert_int_equal(dlf_get32(s.head + 8), 1);
    assert_int_equal(dlf_get32(s.head + 12), 72);
    assert_int_equal(dlf_get32(s.head + 16), 256);
    assert_int_equal(dlf_get32(s.head + 20), 1);
    assert_int_equal(dlf_get64(s.head + 24), 2);
    assert_int_equal(dlf_get64(s.head + 32), SMALL_IMAGE);
    assert_int_equal(dlf_get64(s.head + 40), 300);
    assert_int_equal(dlf_get64(s.head + 48), 150);
    assert_int_equal(dlf_get32(s.head + 56), 1);
    assert_int_equal(dlf_get32(s.head + 60), 200);
    assert_int_equal(dlf_get64(s.head + 64), 100);
    assert_int_equal(dlf_get32(s.head + 104 + 32), 150);
    assert_int_equal(dlf_get32(s.head + 104 + 36), 0);
    assert_int_equal(dlf_get64(s.page + 0), 100);
    assert_int_equal(dlf_get32(s.page + 8), 200);
    assert_int_equal(dlf_get32(s.page + 12), 50);
    assert_int_equal(dlf_get32(s.page + 16), 0);
    assert_int_equal(dlf_get32(s.page + 72 + 20), 50);
    assert_int_equal(s.page[24], 1);
    assert_int_equal(dlf_get64(s.page + 32), 1);
}

static void integers_are_little_endian(void **state)
{
    (void)state;
    uint8_t b[8];
    dlf_put64(b, UINT64_C(0x0807060504030201));
    for (uint8_t i = 0; i < 8; i++)
        assert_int_equal(b[i], i + 1);
    assert_true(dlf_get64(b) == UINT64_C(0x0807060504030201));
    dlf_put32(b, UINT32_C(0xfffefdfc));
    assert_int_equal(b[0], 0xfc);
    assert_true(dlf_get32(b) == UINT32_C(0xfffefdfc));
}

static void ranges_do_not_wrap(void **state)
{
    (void)state;
    assert_true(dlf_range_within(0, 0, 0));
    assert_true(dlf_range_within(10, 0, 10));
    assert_true(dlf_range_within(0, 10, 10));
    assert_false(dlf_range_within(11, 0, 10));
    assert_false(dlf_range_within(1, 10, 10));
    assert_false(dlf_range_within(UINT64_MAX, 2, 10));
    assert_false(dlf_range_within(2, UINT64_MAX, 10));
    assert_true(dlf_range_within(1, UINT64_MAX - 1, UINT64_MAX));
}

static const struct head_refusal {
    unsigned at;
    unsigned width; /* bytes: 4 or 8 */
    uint64_t value;
    int code;
    const char *says;
} head_refusals[] = {
    {0, 4, 0, EBADMSG, "not a dlfuse index: wrong magic at offset 0"},
    {4, 4, 0x58646e69, EBADMSG, "not a dlfuse index: wrong magic at offset 0"},
    {8, 4, 0, ENOTSUP, "index version 0 is not known to this build, which reads 1"},
    {8, 4, 2, ENOTSUP, "index version 2 is not known to this build, which reads 1"},
    {8, 4, UINT32_MAX, ENOTSUP,
     "index version 4294967295 is not known to this build, which reads 1"},
    {12, 4, 80, EBADMSG, "index head: record or page size is not that of version 1"},
    {16, 4, 512, EBADMSG, "index head: record or page size is not that of version 1"},
    {20, 4, 2, EBADMSG, "index head: 2 pages and 1 packs do not fit its 144 bytes"},
    {20, 4, UINT32_MAX, EBADMSG,
     "index head: 4294967295 pages and 1 packs do not fit its 144 bytes"},
    {20, 4, 0, EBADMSG, "index head: 0 pages and 1 packs do not fit its 144 bytes"},
    {24, 8, 0, EBADMSG, "index head: 0 records do not fill 1 pages"},
    {24, 8, 257, EBADMSG, "index head: 257 records do not fill 1 pages"},
    {24, 8, UINT64_MAX, EBADMSG, "index head: 18446744073709551615 records do not fill 1 pages"},
    {24, 8, 3, EBADMSG, "index head: its records do not add up to the index's size"},
    {32, 8, 999, EBADMSG, "index is for an image of 999 bytes, the manifest says 1000"},
    {32, 8, UINT64_C(1) << 63, EBADMSG,
     "index is for an image of 9223372036854775808 bytes, the manifest says 1000"},
    {40, 8, 1001, EBADMSG, "index head: more data than image"},
    {40, 8, UINT64_MAX, EBADMSG, "index head: more data than image"},
    {40, 8, 149, EBADMSG, "index head: more data than image"},
    {40, 8, 401, EBADMSG, "index head: 2 records cannot hold 401 bytes, stored as 150"},
    {48, 8, 301, EBADMSG, "index head: more data than image"},
    {48, 8, 0, EBADMSG, "index head: 2 records cannot hold 300 bytes, stored as 0"},
    {56, 4, 0, EBADMSG, "index head: 1 pages and 0 packs do not fit its 144 bytes"},
    {56, 4, UINT32_MAX, EBADMSG,
     "index head: 1 pages and 4294967295 packs do not fit its 144 bytes"},
    {60, 4, 0, EBADMSG, "index head: longest chunk of 0 bytes in 2 records, the limit is 1048576"},
    {60, 4, (1 << 20) + 1, EBADMSG,
     "index head: longest chunk of 1048577 bytes in 2 records, the limit is 1048576"},
    {64, 8, 1000, EBADMSG, "index head: page 0 begins out of order or past the end"},
    {64, 8, UINT64_MAX, EBADMSG, "index head: page 0 begins out of order or past the end"},
    {136, 4, 0, EBADMSG, "index head: pack 0 has an impossible size"},
    {136, 4, (16 << 20) + 1, EBADMSG, "index head: pack 0 has an impossible size"},
    {140, 4, 1, EBADMSG, "index head: pack 0 has an impossible size"},
};

static void heads_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(head_refusals) / sizeof(*head_refusals); i++) {
        const struct head_refusal *t = &head_refusals[i];
        struct small s = small_make();
        struct dlf_index_head h;
        struct dlf_index_head before;
        struct dlf_err err;
        memset(&h, 0xa5, sizeof(h));
        before = h;
        if (t->width == 8)
            dlf_put64(s.head + t->at, t->value);
        else
            dlf_put32(s.head + t->at, (uint32_t)t->value);
        assert_refused(small_parse(&s, &h, &err), t->code, err, t->says);
        assert_memory_equal(&h, &before, sizeof(h));
    }
}

static void heads_of_another_size_are_refused(void **state)
{
    (void)state;
    struct small s = small_make();
    struct dlf_index_head h;
    struct dlf_err err;
    for (size_t size = 0; size < SMALL_HEAD; size++) {
        /* An exact allocation: reading past the end is seen. */
        uint8_t *cut = malloc(size ? size : 1);
        assert_non_null(cut);
        memcpy(cut, s.head, size);
        char says[128];
        if (size < DLF_INDEX_FIXED_SIZE)
            snprintf(says, sizeof(says), "index head has %zu bytes, at least 64 are needed", size);
        else
            snprintf(says, sizeof(says), "index head: 1 pages and 1 packs do not fit its %zu bytes",
                     size);
        assert_refused(dlf_index_head_parse(&h, cut, size, SMALL_IMAGE, size + SMALL_PAGE, &err),
                       EBADMSG, err, says);
        free(cut);
    }
    assert_refused(dlf_index_head_parse(&h, s.head, SMALL_HEAD, SMALL_IMAGE,
                                        SMALL_HEAD + SMALL_PAGE + 1, &err),
                   EBADMSG, err, "index head: its records do not add up to the index's size");
    assert_refused(dlf_index_head_parse(&h, s.head, SMALL_HEAD, UINT64_C(1) << 63,
                                        SMALL_HEAD + SMALL_PAGE, &err),
                   EBADMSG, err,
                   "index is for an image of 1000 bytes, the manifest says 9223372036854775808");
}

static void an_index_without_records_is_read(void **state)
{
    (void)state;
    uint8_t data[DLF_INDEX_FIXED_SIZE];
    struct dlf_index_head none = {.image_size = UINT64_C(20) << 30};
    struct dlf_index_head h;
    struct dlf_err err;
    assert_int_equal(dlf_index_head_size(0, 0), sizeof(data));
    dlf_index_head_write(&none, data);
    assert_works(dlf_index_head_parse(&h, data, sizeof(data), none.image_size, sizeof(data), &err),
                 err);
    assert_int_equal(h.record_count, 0);
    assert_int_equal(h.page_count, 0);
    dlf_index_head_free(&h);

    static const struct head_refusal wrong[] = {
        {40, 8, 1, EBADMSG, "index head: 0 records cannot hold 1 bytes, stored as 0"},
        {60, 4, 1, EBADMSG,
         "index head: longest chunk of 1 bytes in 0 records, the limit is 1048576"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        dlf_index_head_write(&none, data);
        data[wrong[i].at] = (uint8_t)wrong[i].value;
        assert_refused(
            dlf_index_head_parse(&h, data, sizeof(data), none.image_size, sizeof(data), &err),
            EBADMSG, err, wrong[i].says);
    }
}

static void pages_must_begin_in_order(void **state)
{
    (void)state;
    struct golden *g = golden_make();
    struct dlf_index_head h;
    struct dlf_err err;
    uint64_t first = g->head_pages[0].first_offset;
    dlf_put64(g->index + DLF_INDEX_FIXED_SIZE + DLF_INDEX_PAGE_ENTRY, first);
    assert_refused(
        dlf_index_head_parse(&h, g->index, g->head_size, g->image_size, g->index_size, &err),
        EBADMSG, err, "index head: page 1 begins out of order or past the end");
    golden_free(g);
}

static void head_sizes_are_limited(void **state)
{
    (void)state;
    /* 20 GiB in 64 KiB chunks, nothing of it compressible: the example of docs/FORMAT.md. */
    assert_int_equal(dlf_index_head_size(1280, 2560), 153664);
    assert_int_equal(dlf_index_head_size(419428, 0), 16777184);
    assert_int_equal(dlf_index_head_size(419429, 0), 0);
    assert_int_equal(dlf_index_head_size(209714, 209714), 16777184);
    assert_int_equal(dlf_index_head_size(209714, 209715), 0);
    assert_int_equal(dlf_index_head_size(UINT64_MAX, 1), 0);
    assert_int_equal(dlf_index_head_size(1, UINT64_MAX), 0);
    assert_int_equal(dlf_index_head_size(UINT64_MAX / 40, UINT64_MAX / 40), 0);
}

static const struct page_refusal {
    unsigned record;
    unsigned at;
    unsigned width; /* bytes: 1, 4 or 8 */
    uint64_t value;
    const char *says;
} page_refusals[] = {
    {0, 0, 8, 101, "index record 0: not where the page table says"},
    {0, 0, 8, 99, "index record 0: out of order, overlapping, or past the end"},
    {1, 0, 8, 299, "index record 1: out of order, overlapping, or past the end"},
    {1, 0, 8, 100, "index record 1: out of order, overlapping, or past the end"},
    {1, 0, 8, 0, "index record 1: out of order, overlapping, or past the end"},
    {1, 0, 8, 901, "index record 1: out of order, overlapping, or past the end"},
    {1, 0, 8, UINT64_MAX, "index record 1: out of order, overlapping, or past the end"},
    {1, 0, 8, UINT64_MAX - 99, "index record 1: out of order, overlapping, or past the end"},
    {0, 8, 4, 201, "index record 0: impossible length"},
    {0, 8, 4, UINT32_MAX, "index record 0: impossible length"},
    {0, 8, 4, 0, "index record 0: impossible length"},
    {0, 12, 4, 0, "index record 0: impossible stored length"},
    {0, 12, 4, 201, "index record 0: impossible stored length"},
    {1, 12, 4, UINT32_MAX, "index record 1: impossible stored length"},
    {1, 12, 4, 99, "index record 1: raw, but stored in another length"},
    {0, 16, 4, 1, "index record 0: no such pack"},
    {0, 16, 4, UINT32_MAX, "index record 0: no such pack"},
    {0, 20, 4, 101, "index record 0: past the end of its pack"},
    {0, 20, 4, UINT32_MAX, "index record 0: past the end of its pack"},
    {0, 24, 1, 0, "index record 0: raw, but stored in another length"},
    {0, 25, 1, 1, "index record 0: reserved bytes are not zero"},
    {1, 31, 1, 128, "index record 1: reserved bytes are not zero"},
};

static void pages_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(page_refusals) / sizeof(*page_refusals); i++) {
        const struct page_refusal *t = &page_refusals[i];
        struct small s = small_make();
        struct dlf_index_head h;
        struct dlf_err err;
        uint8_t *at = s.page + (size_t)t->record * DLF_RECORD_SIZE + t->at;
        assert_works(small_parse(&s, &h, &err), err);
        if (t->width == 8)
            dlf_put64(at, t->value);
        else if (t->width == 4)
            dlf_put32(at, (uint32_t)t->value);
        else
            *at = (uint8_t)t->value;
        assert_refused(dlf_index_page_check(&h, 0, s.page, SMALL_PAGE, &err), EBADMSG, err,
                       t->says);
        dlf_index_head_free(&h);
    }
}

static void pages_of_another_size_are_refused(void **state)
{
    (void)state;
    struct small s = small_make();
    struct dlf_index_head h;
    struct dlf_err err;
    assert_works(small_parse(&s, &h, &err), err);
    assert_refused(dlf_index_page_check(&h, 0, s.page, SMALL_PAGE - 1, &err), EBADMSG, err,
                   "index page 0 has 143 bytes for 2 records");
    assert_refused(dlf_index_page_check(&h, 0, s.page, 0, &err), EBADMSG, err,
                   "index page 0 has 0 bytes for 2 records");
    assert_refused(dlf_index_page_check(&h, 0, s.page, SIZE_MAX, &err), EBADMSG, err,
                   "index page 0 has 18446744073709551615 bytes for 2 records");
    dlf_index_head_free(&h);
}

static void a_record_may_not_reach_into_the_next_page(void **state)
{
    (void)state;
    struct golden *g = golden_make();
    struct dlf_index_head h;
    struct dlf_err err;
    assert_works(
        dlf_index_head_parse(&h, g->index, g->head_size, g->image_size, g->index_size, &err), err);
    /* The last record of page 0 may end where page 1 begins, and no byte later. */
    uint8_t *page = g->index + dlf_index_page_offset(&h, 0);
    uint8_t *last = page + (size_t)255 * DLF_RECORD_SIZE;
    struct dlf_record r;
    dlf_record_read(&r, last);
    r.codec = DLF_CODEC_LZ4; /* so that its length may differ from the stored one */
    r.length = (uint32_t)(h.pages[1].first_offset - r.offset);
    dlf_record_write(&r, last);
    assert_works(dlf_index_page_check(&h, 0, page, DLF_INDEX_PAGE_SIZE, &err), err);
    r.length++;
    dlf_record_write(&r, last);
    assert_refused(dlf_index_page_check(&h, 0, page, DLF_INDEX_PAGE_SIZE, &err), EBADMSG, err,
                   "index record 255: out of order, overlapping, or past the end");
    dlf_index_head_free(&h);
    golden_free(g);
}

static void a_codec_of_another_build_is_no_damage(void **state)
{
    (void)state;
    struct small s = small_make();
    struct dlf_index_head h;
    struct dlf_record r;
    struct dlf_err err;
    uint8_t out[256];
    assert_works(small_parse(&s, &h, &err), err);
    s.page[24] = 3;
    assert_works(dlf_index_page_check(&h, 0, s.page, SMALL_PAGE, &err), err);
    dlf_record_read(&r, s.page);
    assert_refused(dlf_decode(r.codec, s.page, r.stored_length, out, r.length, &err), ENOTSUP, err,
                   "chunk codec 3 (unknown) is not in this build of dlfuse");
    dlf_index_head_free(&h);
}

static void pages_are_found_by_offset(void **state)
{
    (void)state;
    struct golden *g = golden_make();
    const struct dlf_index_head *h = &g->head;
    assert_int_equal(dlf_index_page_find(h, 0), 0);
    assert_int_equal(dlf_index_page_find(h, UINT64_MAX), GOLDEN_PAGES - 1);
    for (uint32_t page = 1; page < GOLDEN_PAGES; page++) {
        assert_int_equal(dlf_index_page_find(h, h->pages[page].first_offset - 1), page - 1);
        assert_int_equal(dlf_index_page_find(h, h->pages[page].first_offset), page);
    }
    assert_int_equal(dlf_index_page_records(h, 0), 256);
    assert_int_equal(dlf_index_page_records(h, 1), 256);
    assert_int_equal(dlf_index_page_records(h, 2), 8);
    assert_int_equal(dlf_index_page_offset(h, 2), g->head_size + 2 * DLF_INDEX_PAGE_SIZE);
    golden_free(g);
}

static void pages_are_found_in_a_large_table(void **state)
{
    (void)state;
    enum { PAGES = 1280 };
    struct dlf_index_page *pages = calloc(PAGES, sizeof(*pages));
    struct dlf_index_head h = {.page_count = PAGES, .pages = pages};
    assert_non_null(pages);
    for (uint64_t i = 0; i < PAGES; i++)
        pages[i].first_offset = i * (16 << 20) + 5;
    for (uint64_t i = 0; i < PAGES; i++) {
        assert_int_equal(dlf_index_page_find(&h, i * (16 << 20) + 5), i);
        assert_int_equal(dlf_index_page_find(&h, i * (16 << 20) + 4), i ? i - 1 : 0);
    }
    free(pages);
}

static void records_survive_with_extreme_values(void **state)
{
    (void)state;
    struct dlf_record r = {.offset = UINT64_MAX,
                           .length = UINT32_MAX,
                           .stored_length = UINT32_MAX - 1,
                           .pack = UINT32_MAX - 2,
                           .pack_offset = UINT32_MAX - 3,
                           .codec = 255,
                           .xxh3 = UINT64_MAX - 4};
    struct dlf_record back;
    uint8_t data[DLF_RECORD_SIZE];
    uint8_t again[DLF_RECORD_SIZE];
    memset(&r.sha256, 0xee, sizeof(r.sha256));
    memset(data, 0xff, sizeof(data));
    dlf_record_write(&r, data);
    dlf_record_read(&back, data);
    assert_true(back.offset == r.offset && back.length == r.length &&
                back.stored_length == r.stored_length && back.pack == r.pack &&
                back.pack_offset == r.pack_offset && back.codec == r.codec && back.xxh3 == r.xxh3 &&
                dlf_sha256_equal(&back.sha256, &r.sha256));
    dlf_record_write(&back, again);
    assert_memory_equal(again, data, sizeof(data));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_index_is_read_back),
        cmocka_unit_test(fields_lie_where_the_format_page_says),
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(ranges_do_not_wrap),
        cmocka_unit_test(heads_are_refused),
        cmocka_unit_test(heads_of_another_size_are_refused),
        cmocka_unit_test(an_index_without_records_is_read),
        cmocka_unit_test(pages_must_begin_in_order),
        cmocka_unit_test(head_sizes_are_limited),
        cmocka_unit_test(pages_are_refused),
        cmocka_unit_test(pages_of_another_size_are_refused),
        cmocka_unit_test(a_record_may_not_reach_into_the_next_page),
        cmocka_unit_test(a_codec_of_another_build_is_no_damage),
        cmocka_unit_test(pages_are_found_by_offset),
        cmocka_unit_test(pages_are_found_in_a_large_table),
        cmocka_unit_test(records_survive_with_extreme_values),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
