/* The boot pack's table: round trip, each refusal with its words, limits, every truncation. */
#include "check.h"

#include <errno.h>
#include <stdlib.h>

#include "format/boot.h"
#include "format/bytes.h"
#include "format/codec.h"

/* Three chunks of an image of 1000 bytes in boot order, two more that come later; an index of 6. */
#define RECORDS 3
#define LATER 2
#define TABLE (DLF_BOOT_FIXED_SIZE + RECORDS * DLF_RECORD_SIZE + LATER * 4)
#define HEAD (DLF_INDEX_FIXED_SIZE + 40 + 40) /* of the index: one page, one pack */
#define FIRST (TABLE + HEAD)                  /* where the chunks begin */
#define OBJECT (FIRST + 50 + 100 + 7)
#define IMAGE 1000
#define CHUNKS 6

#define AT_RECORD(n) (DLF_BOOT_FIXED_SIZE + (n)*DLF_RECORD_SIZE)
#define AT_LATER(n) (AT_RECORD(RECORDS) + (n)*4)

static void make(uint8_t out[TABLE])
{
    struct dlf_record records[RECORDS] = {
        {.offset = 300, .length = 200, .stored_length = 50, .pack = 3, .codec = DLF_CODEC_LZ4},
        {.offset = 0, .length = 100, .stored_length = 100, .pack = 0, .codec = DLF_CODEC_RAW},
        {.offset = 990, .length = 10, .stored_length = 7, .pack = 5, .codec = 2},
    };
    uint32_t later[LATER] = {4, 1};
    struct dlf_boot_table t = {.image_size = IMAGE,
                               .size = OBJECT,
                               .data_size = 310,
                               .table_size = TABLE,
                               .head_size = HEAD,
                               .record_count = RECORDS,
                               .later_count = LATER,
                               .max_length = 200,
                               .records = records,
                               .later = later};
    records[0].pack_offset = FIRST;
    records[1].pack_offset = FIRST + 50;
    records[2].pack_offset = FIRST + 150;
    records[1].xxh3 = UINT64_C(0x0123456789abcdef);
    records[2].sha256.bytes[31] = 0x5a;
    assert_int_equal(dlf_boot_table_size(RECORDS, LATER), TABLE);
    dlf_boot_table_write(&t, out);
}

/* Parses from an exact allocation, so that a sanitizer sees one byte too many. */
static int parse(const uint8_t *data, size_t size, struct dlf_boot_table *t, struct dlf_err *err)
{
    uint8_t *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, data, size);
    int rc = dlf_boot_table_parse(t, exact, size, HEAD, IMAGE, OBJECT, CHUNKS, err);
    free(exact);
    return rc;
}

static void is_read_back(void **state)
{
    (void)state;
    uint8_t data[TABLE];
    uint8_t again[TABLE];
    struct dlf_boot_table t;
    struct dlf_err err;
    make(data);
    assert_works(parse(data, TABLE, &t, &err), err);
    assert_int_equal(t.image_size, IMAGE);
    assert_int_equal(t.size, OBJECT);
    assert_int_equal(t.data_size, 310);
    assert_int_equal(t.table_size, TABLE);
    assert_int_equal(t.head_size, HEAD);
    assert_int_equal(t.record_count, RECORDS);
    assert_int_equal(t.later_count, LATER);
    assert_int_equal(t.max_length, 200);
    assert_int_equal(t.records[0].offset, 300);
    assert_int_equal(t.records[0].pack, 3);
    assert_int_equal(t.records[1].pack_offset, FIRST + 50);
    assert_true(t.records[1].xxh3 == UINT64_C(0x0123456789abcdef));
    assert_int_equal(t.records[2].codec, 2);
    assert_int_equal(t.records[2].sha256.bytes[31], 0x5a);
    assert_int_equal(t.later[0], 4);
    assert_int_equal(t.later[1], 1);
    dlf_boot_table_write(&t, again);
    assert_memory_equal(again, data, TABLE);
    dlf_boot_table_free(&t);
    assert_null(t.records);
}

static void fields_lie_where_the_format_page_says(void **state)
{
    (void)state;
    uint8_t data[TABLE];
    make(data);
    assert_memory_equal(data, "dlfbootp", 8);
    assert_int_equal(dlf_get32(data + 8), 1);
    assert_int_equal(dlf_get32(data + 12), 72);
    assert_int_equal(dlf_get32(data + 16), RECORDS);
    assert_int_equal(dlf_get32(data + 20), LATER);
    assert_int_equal(dlf_get64(data + 24), IMAGE);
    assert_int_equal(dlf_get64(data + 32), OBJECT);
    assert_int_equal(dlf_get64(data + 40), 310);
    assert_int_equal(dlf_get32(data + 48), 200);
    for (unsigned i = 52; i < 64; i++)
        assert_int_equal(data[i], 0);
    assert_int_equal(dlf_get64(data + 64), 300);
    assert_int_equal(dlf_get32(data + 64 + 16), 3);
    assert_int_equal(dlf_get32(data + 64 + 3 * 72), 4);
    assert_int_equal(dlf_get32(data + 64 + 3 * 72 + 4), 1);
}

static const struct refusal {
    unsigned at;
    unsigned width; /* bytes: 1, 4 or 8 */
    uint64_t value;
    int code;
    const char *says;
} refusals[] = {
    {0, 1, 'D', EBADMSG, "not a dlfuse boot pack: wrong magic at offset 0"},
    {8, 4, 2, ENOTSUP, "boot pack version 2 is not known to this build, which reads 1"},
    {8, 4, 0, ENOTSUP, "boot pack version 0 is not known to this build, which reads 1"},
    {12, 4, 73, EBADMSG, "boot pack: record size or reserved bytes are not those of version 1"},
    {52, 1, 1, EBADMSG, "boot pack: record size or reserved bytes are not those of version 1"},
    {63, 1, 1, EBADMSG, "boot pack: record size or reserved bytes are not those of version 1"},
    {16, 4, 4, EBADMSG,
     "boot pack: 4 records and 2 later chunks do not fit its table of 288 bytes"},
    {16, 4, UINT32_MAX, EBADMSG,
     "boot pack: 4294967295 records and 2 later chunks do not fit its table of 288 bytes"},
    {20, 4, 1, EBADMSG,
     "boot pack: 3 records and 1 later chunks do not fit its table of 288 bytes"},
    {20, 4, UINT32_MAX, EBADMSG,
     "boot pack: 3 records and 4294967295 later chunks do not fit its table of 288 bytes"},
    {24, 8, IMAGE + 1, EBADMSG, "boot pack is for an image of 1001 bytes, the manifest says 1000"},
    {32, 8, OBJECT + 1, EBADMSG, "boot pack: its table says 590 bytes, the manifest 589"},
    {32, 8, DLF_BOOT_MAX + 1, EFBIG, "boot pack: 1073741825 bytes, the limit is 1073741824"},
    {32, 8, UINT64_MAX, EFBIG, "boot pack: 18446744073709551615 bytes, the limit is 1073741824"},
    {40, 8, 311, EBADMSG, "boot pack: its records do not add up to what its table says"},
    {40, 8, UINT64_MAX, EBADMSG, "boot pack: its records do not add up to what its table says"},
    {48, 4, 201, EBADMSG, "boot pack: its records do not add up to what its table says"},
    {48, 4, 199, EBADMSG, "boot pack record 0: a length over the longest"},
    {48, 4, 0, EBADMSG, "boot pack record 0: a length over the longest"},
    /* Records. */
    {AT_RECORD(0), 8, 801, EBADMSG, "boot pack record 0: past the end of the image"},
    {AT_RECORD(0), 8, UINT64_MAX, EBADMSG, "boot pack record 0: past the end of the image"},
    {AT_RECORD(0), 8, UINT64_MAX - 100, EBADMSG, "boot pack record 0: past the end of the image"},
    {AT_RECORD(1) + 8, 4, 0, EBADMSG, "boot pack record 1: a length over the longest"},
    {AT_RECORD(0) + 8, 4, DLF_CHUNK_MAX + 1, EBADMSG,
     "boot pack record 0: a length over the longest"},
    {AT_RECORD(2) + 8, 4, 11, EBADMSG, "boot pack record 2: past the end of the image"},
    {AT_RECORD(0) + 12, 4, 0, EBADMSG, "boot pack record 0: stored length over length"},
    {AT_RECORD(0) + 12, 4, 201, EBADMSG, "boot pack record 0: stored length over length"},
    {AT_RECORD(1) + 12, 4, 99, EBADMSG, "boot pack record 1: raw, but stored length is not length"},
    {AT_RECORD(0) + 16, 4, CHUNKS, EBADMSG, "boot pack record 0: no such chunk in the index"},
    {AT_RECORD(0) + 16, 4, UINT32_MAX, EBADMSG, "boot pack record 0: no such chunk in the index"},
    {AT_RECORD(0) + 16, 4, 5, EBADMSG, "boot pack: chunk 5 is there twice"},
    {AT_RECORD(0) + 16, 4, 4, EBADMSG, "boot pack: chunk 4 is there twice"},
    /* Overlapping, a gap, before the head's end. */
    {AT_RECORD(1) + 20, 4, FIRST + 49, EBADMSG,
     "boot pack record 1: its stored bytes are not behind those before it"},
    {AT_RECORD(1) + 20, 4, FIRST + 51, EBADMSG,
     "boot pack record 1: its stored bytes are not behind those before it"},
    {AT_RECORD(0) + 20, 4, 0, EBADMSG,
     "boot pack record 0: its stored bytes are not behind those before it"},
    {AT_RECORD(0) + 20, 4, TABLE, EBADMSG,
     "boot pack record 0: its stored bytes are not behind those before it"},
    {AT_RECORD(2) + 12, 4, 8, EBADMSG, "boot pack record 2: past the end of the boot pack"},
    {AT_RECORD(2) + 12, 4, 6, EBADMSG,
     "boot pack: its records do not add up to what its table says"},
    {AT_RECORD(0) + 25, 1, 1, EBADMSG, "boot pack record 0: reserved bytes are not zero"},
    {AT_RECORD(2) + 31, 1, 1, EBADMSG, "boot pack record 2: reserved bytes are not zero"},
    /* A number that does not fit its place: chunk 0 ends at 100, chunk 3 is at 300. */
    {AT_RECORD(0), 8, 99, EBADMSG, "boot pack record 0: before the end of chunk 0"},
    {AT_RECORD(1), 8, 890, EBADMSG, "boot pack record 0: before the end of chunk 0"},
    /* Later. */
    {AT_LATER(0), 4, CHUNKS, EBADMSG, "boot pack: later chunk 0: no such chunk in the index"},
    {AT_LATER(1), 4, 4, EBADMSG, "boot pack: chunk 4 is there twice"},
    {AT_LATER(1), 4, 3, EBADMSG, "boot pack: chunk 3 is there twice"},
};

static void fields_are_refused_with_their_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        const struct refusal *r = &refusals[i];
        uint8_t data[TABLE];
        struct dlf_boot_table t;
        struct dlf_boot_table before;
        struct dlf_err err;
        make(data);
        if (r->width == 1)
            data[r->at] = (uint8_t)r->value;
        else if (r->width == 4)
            dlf_put32(data + r->at, (uint32_t)r->value);
        else
            dlf_put64(data + r->at, r->value);
        memset(&t, 0xa5, sizeof(t));
        before = t;
        assert_refused(parse(data, TABLE, &t, &err), r->code, err, r->says);
        assert_memory_equal(&t, &before, sizeof(t));
    }
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t data[TABLE + 1] = {0};
    struct dlf_boot_table t;
    struct dlf_err err;
    make(data);
    for (size_t size = 0; size < DLF_BOOT_FIXED_SIZE; size++)
        assert_int_equal(parse(data, size, &t, &err), -EBADMSG);
    assert_string_equal(err.msg, "boot pack: its table has 63 bytes, at least 64 are needed");
    for (size_t size = DLF_BOOT_FIXED_SIZE; size < TABLE; size++)
        assert_int_equal(parse(data, size, &t, &err), -EBADMSG);
    assert_int_equal(parse(data, TABLE + 1, &t, &err), -EBADMSG);
    assert_string_equal(
        err.msg, "boot pack: 3 records and 2 later chunks do not fit its table of 289 bytes");
}

static void what_the_manifest_says_is_compared(void **state)
{
    (void)state;
    uint8_t data[TABLE];
    struct dlf_boot_table t;
    struct dlf_err err;
    make(data);
    assert_int_equal(dlf_boot_table_parse(&t, data, TABLE, HEAD, IMAGE - 1, OBJECT, CHUNKS, &err),
                     -EBADMSG);
    assert_int_equal(dlf_boot_table_parse(&t, data, TABLE, HEAD, IMAGE, OBJECT - 1, CHUNKS, &err),
                     -EBADMSG);
    assert_refused(dlf_boot_table_parse(&t, data, TABLE, HEAD, IMAGE, OBJECT, CHUNKS - 1, &err),
                   EBADMSG, err, "boot pack record 2: no such chunk in the index");
    assert_int_equal(dlf_boot_table_parse(&t, data, TABLE, HEAD, IMAGE, OBJECT, 0, NULL), -EBADMSG);
    /* An index head of another size lies elsewhere; 0 is none at all. */
    for (uint32_t head = 0; head <= HEAD + 40; head += 4)
        if (head != HEAD)
            assert_refused(dlf_boot_table_parse(&t, data, TABLE, head, IMAGE, OBJECT, CHUNKS, &err),
                           EBADMSG, err,
                           "boot pack record 0: its stored bytes are not behind those before it");
    assert_int_equal(dlf_boot_table_parse(&t, data, TABLE, UINT32_MAX, IMAGE, OBJECT, CHUNKS, NULL),
                     -EBADMSG);
}

static void sizes_are_limited_before_anything_is_read(void **state)
{
    (void)state;
    struct dlf_boot_table t;
    struct dlf_err err;
    uint8_t none = 0;
    /* No byte of the table is touched: only one exists. */
    assert_refused(dlf_boot_table_parse(&t, &none, (size_t)DLF_BOOT_TABLE_MAX + 1, HEAD, IMAGE,
                                        OBJECT, CHUNKS, &err),
                   EFBIG, err, "boot pack: a table of 4194305 bytes, the limit is 4194304");
    assert_int_equal(dlf_boot_table_size(0, 0), 64);
    assert_int_equal(dlf_boot_table_size(58253, 6), DLF_BOOT_TABLE_MAX);
    assert_int_equal(dlf_boot_table_size(58253, 7), 0);
    assert_int_equal(dlf_boot_table_size(58254, 0), 0);
    assert_int_equal(dlf_boot_table_size(0, 1048560), DLF_BOOT_TABLE_MAX);
    assert_int_equal(dlf_boot_table_size(0, 1048561), 0);
    assert_int_equal(dlf_boot_table_size(UINT64_MAX, 0), 0);
    assert_int_equal(dlf_boot_table_size(0, UINT64_MAX), 0);
    assert_int_equal(dlf_boot_table_size(UINT64_MAX / 72 + 1, 0), 0);
}

/* Then the object ends with the head. */
static void a_table_without_chunks_is_read(void **state)
{
    (void)state;
    enum { SIZE = DLF_BOOT_FIXED_SIZE, END = SIZE + DLF_INDEX_FIXED_SIZE };
    uint8_t data[SIZE];
    struct dlf_boot_table t = {.image_size = IMAGE, .size = END};
    struct dlf_err err;
    dlf_boot_table_write(&t, data);
    assert_works(
        dlf_boot_table_parse(&t, data, SIZE, DLF_INDEX_FIXED_SIZE, IMAGE, END, CHUNKS, &err), err);
    assert_int_equal(t.record_count, 0);
    assert_int_equal(t.table_size, SIZE);
    assert_int_equal(t.head_size, DLF_INDEX_FIXED_SIZE);
    dlf_boot_table_free(&t);
    /* A byte behind the head that belongs to no record, and one that the head lacks. */
    for (uint64_t end = END - 1; end <= END + 1; end += 2) {
        dlf_put64(data + 32, end);
        assert_refused(
            dlf_boot_table_parse(&t, data, SIZE, DLF_INDEX_FIXED_SIZE, IMAGE, end, CHUNKS, &err),
            EBADMSG, err, "boot pack: its records do not add up to what its table says");
    }
}

/* The largest table behind the largest head, in reverse image order: 58,253 chunks of the longest
 * kind do not wrap. */
static void the_largest_table_is_read(void **state)
{
    (void)state;
    enum { COUNT = 58253, LAST = 6, CHUNKS_AT = DLF_BOOT_TABLE_MAX + DLF_INDEX_HEAD_MAX };
    struct dlf_record *records = calloc(COUNT, sizeof(*records));
    uint32_t later[LAST];
    uint8_t *data = malloc(DLF_BOOT_TABLE_MAX);
    struct dlf_boot_table t = {.image_size = DLF_IMAGE_MAX,
                               .record_count = COUNT,
                               .later_count = LAST,
                               .max_length = DLF_CHUNK_MAX,
                               .records = records,
                               .later = later};
    struct dlf_err err;
    assert_true(records && data);
    for (uint32_t i = 0; i < COUNT; i++) {
        records[i] = (struct dlf_record){.offset = (uint64_t)(COUNT - 1 - i) * DLF_CHUNK_MAX,
                                         .length = DLF_CHUNK_MAX,
                                         .stored_length = 1,
                                         .pack = COUNT - 1 - i,
                                         .pack_offset = CHUNKS_AT + i,
                                         .codec = DLF_CODEC_LZ4};
    }
    for (uint32_t i = 0; i < LAST; i++)
        later[i] = COUNT + i;
    t.data_size = (uint64_t)COUNT * DLF_CHUNK_MAX;
    t.size = (uint64_t)CHUNKS_AT + COUNT;
    dlf_boot_table_write(&t, data);
    assert_works(dlf_boot_table_parse(&t, data, DLF_BOOT_TABLE_MAX, DLF_INDEX_HEAD_MAX,
                                      DLF_IMAGE_MAX, t.size, COUNT + LAST, &err),
                 err);
    assert_int_equal(t.records[COUNT - 1].pack, 0);
    dlf_boot_table_free(&t);
    free(records);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_read_back),
        cmocka_unit_test(fields_lie_where_the_format_page_says),
        cmocka_unit_test(fields_are_refused_with_their_words),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_the_manifest_says_is_compared),
        cmocka_unit_test(sizes_are_limited_before_anything_is_read),
        cmocka_unit_test(a_table_without_chunks_is_read),
        cmocka_unit_test(the_largest_table_is_read),
    };
    return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
