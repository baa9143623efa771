/*
 * The golden store in both directions, and every flip of a byte in it.
 *
 * With DLFUSE_GOLDEN_WRITE in the environment the files are written instead: only for a new format
 * version, together with docs/FORMAT.md.
 */
#include "check.h"

#include <stdlib.h>

#include "format/codec.h"
#include "golden.h"
#include "golden_boot.h"

#define MANIFEST "golden.dlfuse"
#define BOOT_MANIFEST "golden-boot.dlfuse"
#define MIRRORS_MANIFEST "golden-mirrors.dlfuse"

static struct golden *golden;

static int make(void **state)
{
    (void)state;
    golden = golden_make();
    return golden->manifest_size > 0 ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    golden_free(golden);
    return 0;
}

static void same_file(const char *path, const void *wanted, size_t wanted_size)
{
    size_t size = 0;
    if (getenv("DLFUSE_GOLDEN_WRITE"))
        assert_int_equal(golden_write(path, wanted, wanted_size), 0);
    uint8_t *data = golden_read(path, &size);
    if (!data)
        fail_msg("%s cannot be read", path);
    assert_int_equal(size, wanted_size);
    assert_memory_equal(data, wanted, size);
    free(data);
}

static void the_store_is_written_byte_for_byte(void **state)
{
    (void)state;
    char path[DLF_OBJECT_PATH_MAX];
    struct dlf_sha256 digest = dlf_sha256(golden->manifest_text, golden->manifest_size);
    same_file(MANIFEST, golden->manifest_text, golden->manifest_size);
    dlf_object_path(path, "manifest", &digest);
    same_file(path, golden->manifest_text, golden->manifest_size);
    dlf_object_path(path, "index", &golden->manifest.index);
    same_file(path, golden->index, golden->index_size);
    for (int i = 0; i < GOLDEN_PACKS; i++) {
        dlf_object_path(path, "pack", &golden->head_packs[i].sha256);
        same_file(path, golden->packs[i], golden->head_packs[i].size);
    }
}

/* Reads an object of the golden directory and checks it against the digest that names it. */
static uint8_t *object(const char *kind, const struct dlf_sha256 *digest, size_t wanted_size)
{
    char path[DLF_OBJECT_PATH_MAX];
    size_t size = 0;
    dlf_object_path(path, kind, digest);
    uint8_t *data = golden_read(path, &size);
    if (!data)
        fail_msg("%s cannot be read", path);
    assert_int_equal(size, wanted_size);
    struct dlf_sha256 got = dlf_sha256(data, size);
    assert_true(dlf_sha256_equal(&got, digest));
    return data;
}

static void read_page(const struct dlf_index_head *h, uint32_t page, const uint8_t *index,
                      uint8_t *const *packs, uint8_t *image)
{
    struct dlf_err err;
    const uint8_t *data = index + dlf_index_page_offset(h, page);
    uint32_t count = dlf_index_page_records(h, page);
    struct dlf_sha256 got = dlf_sha256(data, (size_t)count * DLF_RECORD_SIZE);
    assert_true(dlf_sha256_equal(&got, &h->pages[page].sha256));
    assert_works(dlf_index_page_check(h, page, data, (size_t)count * DLF_RECORD_SIZE, &err), err);
    for (uint32_t i = 0; i < count; i++) {
        struct dlf_record r;
        dlf_record_read(&r, data + (size_t)i * DLF_RECORD_SIZE);
        const uint8_t *stored = packs[r.pack] + r.pack_offset;
        got = dlf_sha256(stored, r.stored_length);
        assert_true(dlf_sha256_equal(&got, &r.sha256));
        assert_works(dlf_decode(r.codec, stored, r.stored_length, image + r.offset, r.length, &err),
                     err);
        assert_true(dlf_xxh3(image + r.offset, r.length) == r.xxh3);
    }
}

/* Reads like a node, from the manifest to the image, with nothing but the files. */
static void the_files_are_read_as_the_image(void **state)
{
    (void)state;
    struct dlf_manifest m;
    struct dlf_index_head h;
    struct dlf_err err;
    size_t size = 0;
    uint8_t *text = golden_read(MANIFEST, &size);
    assert_non_null(text);
    assert_works(dlf_manifest_parse(&m, (const char *)text, size, &err), err);
    assert_string_equal(m.name, "golden");
    assert_int_equal(m.serial, 7);

    uint8_t *index = object("index", &m.index, m.index_size);
    struct dlf_sha256 got = dlf_sha256(index, m.index_head_size);
    assert_true(dlf_sha256_equal(&got, &m.index_head));
    assert_works(
        dlf_index_head_parse(&h, index, m.index_head_size, m.image_size, m.index_size, &err), err);
    assert_int_equal(h.page_count, GOLDEN_PAGES);
    assert_int_equal(h.pack_count, GOLDEN_PACKS);

    uint8_t *packs[GOLDEN_PACKS];
    for (uint32_t i = 0; i < h.pack_count; i++)
        packs[i] = object("pack", &h.packs[i].sha256, h.packs[i].size);
    uint8_t *image = calloc(1, m.image_size);
    assert_non_null(image);
    for (uint32_t page = 0; page < h.page_count; page++)
        read_page(&h, page, index, packs, image);
    assert_int_equal(m.image_size, golden->image_size);
    assert_memory_equal(image, golden->image, m.image_size);

    for (uint32_t i = 0; i < h.pack_count; i++)
        free(packs[i]);
    dlf_index_head_free(&h);
    free(image);
    free(index);
    free(text);
}

static void same_object(const char *kind, const struct dlf_sha256 *digest, const void *wanted,
                        size_t size)
{
    char path[DLF_OBJECT_PATH_MAX];
    dlf_object_path(path, kind, digest);
    same_file(path, wanted, size);
}

static void the_boot_image_is_written_byte_for_byte(void **state)
{
    (void)state;
    struct golden_boot g;
    golden_boot_make(&g);
    struct dlf_sha256 digest = dlf_sha256(g.text, g.text_size);
    assert_true(g.text_size > 0);
    same_file(BOOT_MANIFEST, g.text, g.text_size);
    same_object("manifest", &digest, g.text, g.text_size);
    same_object("index", &g.manifest.index, g.index, g.manifest.index_size);
    same_object("pack", &g.pack_entry.sha256, g.pack, g.pack_entry.size);
    same_object(DLF_BOOT_KIND, &g.manifest.boot, g.boot, g.manifest.boot_size);
}

/* The golden image under another name, with mirrors. */
static void a_manifest_with_mirrors_is_written_byte_for_byte(void **state)
{
    (void)state;
    struct dlf_manifest m = golden->manifest;
    char text[1024];
    memcpy(m.name, "golden-mirrors", sizeof("golden-mirrors"));
    m.mirror_count = 2;
    snprintf(m.mirrors[0], sizeof(m.mirrors[0]), "https://mirror.example/images/");
    snprintf(m.mirrors[1], sizeof(m.mirrors[1]), "http://[2001:db8::1]:8080/");
    int n = dlf_manifest_format(&m, text, sizeof(text));
    assert_true(n > 0);
    struct dlf_sha256 digest = dlf_sha256(text, (size_t)n);
    same_file(MIRRORS_MANIFEST, text, (size_t)n);
    same_object("manifest", &digest, text, (size_t)n);
}

/* Decodes a record's stored bytes; if the build lacks the codec, compares them. */
static void same_content(const struct dlf_record *r, const uint8_t *stored, const uint8_t *image)
{
    uint8_t content[512];
    struct dlf_err err;
    struct dlf_sha256 got = dlf_sha256(stored, r->stored_length);
    assert_true(dlf_sha256_equal(&got, &r->sha256));
    assert_true(r->length <= sizeof(content));
    if (!dlf_codec_available(r->codec))
        return;
    assert_works(dlf_decode(r->codec, stored, r->stored_length, content, r->length, &err), err);
    assert_true(dlf_xxh3(content, r->length) == r->xxh3);
    assert_memory_equal(content, image + r->offset, r->length);
}

/* The boot pack alone gives its chunks, and the index agrees. */
static void the_boot_pack_is_read(void **state)
{
    (void)state;
    struct golden_boot g;
    struct dlf_manifest m;
    struct dlf_boot_table t;
    struct dlf_err err;
    size_t size = 0;
    golden_boot_make(&g);
    uint8_t *text = golden_read(BOOT_MANIFEST, &size);
    assert_non_null(text);
    assert_works(dlf_manifest_parse(&m, (const char *)text, size, &err), err);
    uint8_t *index = object("index", &m.index, m.index_size);
    uint8_t *pack = object("pack", &g.pack_entry.sha256, g.pack_entry.size);
    uint8_t *boot = object(DLF_BOOT_KIND, &m.boot, m.boot_size);
    struct dlf_sha256 got = dlf_sha256(boot, m.boot_table_size);
    assert_true(dlf_sha256_equal(&got, &m.boot_table));
    assert_works(dlf_boot_table_parse(&t, boot, m.boot_table_size, m.index_head_size, m.image_size,
                                      m.boot_size, dlf_manifest_chunks(&m), &err),
                 err);
    assert_memory_equal(boot + m.boot_table_size, index, m.index_head_size);
    assert_int_equal(t.record_count, GOLDEN_BOOT_RECORDS);
    assert_int_equal(t.later_count, GOLDEN_BOOT_LATER);
    assert_int_equal(t.later[0], 1);
    for (uint32_t i = 0; i < t.record_count; i++) {
        const struct dlf_record *r = &t.records[i];
        struct dlf_record indexed;
        dlf_record_read(&indexed, index + m.index_head_size + (size_t)r->pack * DLF_RECORD_SIZE);
        assert_int_equal(indexed.offset, r->offset);
        assert_int_equal(indexed.length, r->length);
        assert_true(indexed.xxh3 == r->xxh3);
        same_content(r, boot + r->pack_offset, g.image);
        same_content(&indexed, pack + indexed.pack_offset, g.image);
    }
    dlf_boot_table_free(&t);
    free(text);
    free(index);
    free(pack);
    free(boot);
}

/* Checks the ranges that docs/FORMAT.md promises of every parsed manifest. */
static void manifest_in_range(const struct dlf_manifest *m)
{
    assert_true(dlf_name_valid(m->name));
    assert_true(m->serial >= 1);
    assert_true(m->image_size <= DLF_IMAGE_MAX);
    assert_true(m->index_size <= DLF_INDEX_MAX);
    assert_in_range(m->index_head_size, DLF_INDEX_FIXED_SIZE, DLF_INDEX_HEAD_MAX);
    assert_true(m->index_head_size <= m->index_size);
}

static void flipped_manifests(void **state)
{
    (void)state;
    size_t size = golden->manifest_size;
    char *text = malloc(size);
    char again[1024];
    unsigned accepted = 0;
    assert_non_null(text);
    for (size_t at = 0; at < size; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            struct dlf_manifest m;
            struct dlf_err err = {""};
            memcpy(text, golden->manifest_text, size);
            text[at] = (char)(text[at] ^ (char)flip);
            int rc = dlf_manifest_parse(&m, text, size, &err);
            if (rc < 0) {
                assert_true(err.msg[0]);
                continue;
            }
            accepted++;
            manifest_in_range(&m);
            /* There is one text for each manifest, so the flip is not lost. */
            assert_int_equal(dlf_manifest_format(&m, again, sizeof(again)), size);
            assert_memory_equal(again, text, size);
        }
    }
    assert_true(accepted > 0);
    for (size_t cut = 0; cut < size; cut++) {
        struct dlf_manifest m;
        char *exact = malloc(cut ? cut : 1);
        assert_non_null(exact);
        memcpy(exact, golden->manifest_text, cut);
        assert_true(dlf_manifest_parse(&m, exact, cut, NULL) < 0);
        free(exact);
    }
    free(text);
}

static void flipped_heads(void **state)
{
    (void)state;
    size_t size = golden->head_size;
    uint8_t *data = malloc(size);
    uint8_t *again = malloc(size);
    assert_true(data && again);
    for (size_t at = 0; at < size; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            struct dlf_index_head h;
            struct dlf_err err = {""};
            memcpy(data, golden->index, size);
            data[at] ^= (uint8_t)flip;
            int rc =
                dlf_index_head_parse(&h, data, size, golden->image_size, golden->index_size, &err);
            if (rc < 0) {
                assert_true(err.msg[0]);
                continue;
            }
            assert_true(h.data_size <= h.image_size && h.stored_size <= h.data_size);
            assert_in_range(h.max_length, 1, DLF_CHUNK_MAX);
            for (uint32_t i = 0; i < h.page_count; i++)
                assert_true(h.pages[i].first_offset < h.image_size);
            for (uint32_t i = 0; i < h.pack_count; i++)
                assert_in_range(h.packs[i].size, 1, DLF_PACK_MAX);
            dlf_index_head_write(&h, again);
            assert_memory_equal(again, data, size);
            dlf_index_head_free(&h);
        }
    }
    free(data);
    free(again);
}

static void page_in_range(const struct dlf_index_head *h, uint32_t page, const uint8_t *data)
{
    uint64_t lowest = h->pages[page].first_offset;
    for (uint32_t i = 0; i < dlf_index_page_records(h, page); i++) {
        struct dlf_record r;
        dlf_record_read(&r, data + (size_t)i * DLF_RECORD_SIZE);
        assert_true(r.offset >= lowest);
        assert_in_range(r.length, 1, h->max_length);
        assert_in_range(r.stored_length, 1, r.length);
        assert_true(r.pack < h->pack_count);
        assert_true((uint64_t)r.pack_offset + r.stored_length <= h->packs[r.pack].size);
        lowest = r.offset + r.length;
    }
    assert_true(lowest <= h->image_size);
}

/* The last page has eight records: every value of every byte. */
static void flipped_pages(void **state)
{
    (void)state;
    const struct dlf_index_head *h = &golden->head;
    uint32_t page = GOLDEN_PAGES - 1;
    size_t size = (size_t)dlf_index_page_records(h, page) * DLF_RECORD_SIZE;
    const uint8_t *good = golden->index + dlf_index_page_offset(h, page);
    uint8_t *data = malloc(size);
    assert_non_null(data);
    for (size_t at = 0; at < size; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            struct dlf_err err = {""};
            memcpy(data, good, size);
            data[at] ^= (uint8_t)flip;
            if (dlf_index_page_check(h, page, data, size, &err) < 0)
                assert_true(strncmp(err.msg, "index record 51", 15) == 0);
            else
                page_in_range(h, page, data);
        }
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_store_is_written_byte_for_byte),
        cmocka_unit_test(the_boot_image_is_written_byte_for_byte),
        cmocka_unit_test(a_manifest_with_mirrors_is_written_byte_for_byte),
        cmocka_unit_test(the_boot_pack_is_read),
        cmocka_unit_test(the_files_are_read_as_the_image),
        cmocka_unit_test(flipped_manifests),
        cmocka_unit_test(flipped_heads),
        cmocka_unit_test(flipped_pages),
    };
    return cmocka_run_group_tests_name("golden", tests, make, drop);
}
