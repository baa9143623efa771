/*
 * The store and the library: an image built twice, hash collisions, damage between versions. The
 * test has no two contents with one XXH3, so it rewrites a version's index to lie about a chunk's
 * hash: the library must compare bytes and not trust the hash.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>

#include "chunker/build.h"
#include "chunker/io.h"

#define IMAGE_BYTES ((size_t)4 << 20)

struct fixture {
    char *directory;
    char image_path[256];
    char store_path[256];
    struct store store;
    uint8_t *image;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct dlf_err err;
    f->directory = make_directory();
    f->image = malloc(IMAGE_BYTES);
    fill_random(f->image, IMAGE_BYTES, 21);
    snprintf(f->image_path, sizeof(f->image_path), "%s/image", f->directory);
    snprintf(f->store_path, sizeof(f->store_path), "%s/store", f->directory);
    assert_works(store_open(&f->store, f->store_path, true, &err), err);
    assert_works(store_lock(&f->store, &err), err);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    remove_directory(f->directory);
    free(f->image);
    free(f);
    return 0;
}

/* Builds the image in memory and publishes it as "image". */
static struct build_result build(struct fixture *f, unsigned jobs)
{
    struct build_options options = {.codec = DLF_CODEC_LZ4,
                                    .level = 1,
                                    .average_bytes = CUT_AVERAGE_DEFAULT,
                                    .cut_auto = true,
                                    .jobs = jobs};
    struct build_result result;
    struct library library;
    struct input input;
    struct dlf_err err;
    char text[4096];
    int fd = open(f->image_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(io_pwrite(fd, f->image, IMAGE_BYTES, 0), 0);
    close(fd);
    assert_works(input_open(&input, f->image_path, &err), err);
    assert_works(library_open(&library, &f->store, "image", &err), err);
    assert_works(build_image(&f->store, &library, &input, &options, &result, &err), err);
    library_close(&library);
    input_close(&input);
    memcpy(result.manifest.name, "image", 6);
    result.manifest.serial = 1;
    int size = dlf_manifest_format(&result.manifest, text, sizeof(text));
    assert_true(size > 0);
    assert_works(store_put(&f->store, NULL, "image.dlfuse", text, (size_t)size, &err), err);
    return result;
}

static void test_same_image(void **state)
{
    struct fixture *f = *state;
    struct build_result first = build(f, 1);
    assert_int_equal(first.counts.new_chunks, first.counts.chunks);
    assert_int_equal(first.data_bytes, IMAGE_BYTES);
    for (unsigned jobs = 1; jobs < 9; jobs += 3) {
        struct build_result again = build(f, jobs);
        assert_int_equal(again.counts.new_chunks, 0);
        assert_int_equal(again.counts.stored_bytes, first.counts.stored_bytes);
        assert_true(dlf_sha256_equal(&again.manifest.index, &first.manifest.index));
    }
}

/* The second half is the first half again. */
static void test_within_image(void **state)
{
    struct fixture *f = *state;
    memcpy(f->image + IMAGE_BYTES / 2, f->image, IMAGE_BYTES / 2);
    struct build_result result = build(f, 2);
    assert_true(result.counts.new_chunks * 2 <= result.counts.chunks + 4);
    assert_true(result.counts.stored_bytes < IMAGE_BYTES / 2 + ((size_t)1 << 18));
    assert_int_equal(result.counts.new_bytes, result.counts.stored_bytes);
}

/* Flips a byte of a file below the store. */
static void flip(struct fixture *f, const char *path, uint64_t offset)
{
    uint8_t byte;
    int fd = openat(f->store.dir_fd, path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(io_pread(fd, &byte, 1, offset), 0);
    byte ^= 0x40;
    assert_int_equal(io_pwrite(fd, &byte, 1, offset), 0);
    close(fd);
}

static void first_pack(struct fixture *f, char *path, size_t room)
{
    struct store_list packs;
    assert_int_equal(store_list(&f->store, "pack", &packs, NULL), 0);
    assert_int_equal(packs.count, 1);
    snprintf(path, room, "pack/%s", packs.names[0]);
    store_list_free(&packs);
}

/* One damaged chunk is stored anew; the others of its pack are used. */
static void test_damaged_chunk(void **state)
{
    struct fixture *f = *state;
    char path[DLF_OBJECT_PATH_MAX];
    build(f, 2);
    first_pack(f, path, sizeof(path));
    flip(f, path, 100);
    struct build_result again = build(f, 2);
    assert_int_equal(again.counts.new_chunks, 1);
    assert_int_equal(again.counts.packs, 2);
}

/* The whole pack is stored anew, under the same name. */
static void test_missing_pack(void **state)
{
    struct fixture *f = *state;
    char path[DLF_OBJECT_PATH_MAX];
    struct build_result first = build(f, 2);
    first_pack(f, path, sizeof(path));
    assert_int_equal(unlinkat(f->store.dir_fd, path, 0), 0);
    struct build_result again = build(f, 2);
    assert_int_equal(again.counts.new_chunks, again.counts.chunks);
    assert_true(dlf_sha256_equal(&again.manifest.index, &first.manifest.index));
    assert_int_equal(faccessat(f->store.dir_fd, path, R_OK, 0), 0);
}

/* An index that gives a chunk another content's hash, and is valid in itself. */
static void test_lying_hash(void **state)
{
    struct fixture *f = *state;
    uint8_t page[DLF_INDEX_PAGE_SIZE];
    struct dlf_record record;
    struct dlf_record other;
    struct stored_index index;
    struct dlf_manifest manifest = build(f, 1).manifest;
    struct dlf_err err;
    char path[DLF_OBJECT_PATH_MAX];
    char text[4096];

    assert_works(stored_index_open(&index, &f->store, &manifest, &err), err);
    assert_works(stored_index_page(&index, 0, page, &err), err);
    dlf_record_read(&record, page);
    dlf_record_read(&other, page + DLF_RECORD_SIZE);
    /* Record 1 claims record 0's hash and length in front of its own content. */
    other.xxh3 = record.xxh3;
    dlf_record_write(&other, page + DLF_RECORD_SIZE);
    uint32_t records = dlf_index_page_records(&index.head, 0);
    index.head.pages[0].sha256 = dlf_sha256(page, (size_t)records * DLF_RECORD_SIZE);
    uint8_t *object = malloc(manifest.index_size);
    dlf_index_head_write(&index.head, object);
    memcpy(object + manifest.index_head_size, page, (size_t)records * DLF_RECORD_SIZE);
    manifest.index_head = dlf_sha256(object, manifest.index_head_size);
    manifest.index = dlf_sha256(object, manifest.index_size);
    dlf_object_path(path, "index", &manifest.index);
    assert_works(store_put(&f->store, "index", path, object, manifest.index_size, &err), err);
    int size = dlf_manifest_format(&manifest, text, sizeof(text));
    assert_works(store_put(&f->store, NULL, "image.dlfuse", text, (size_t)size, &err), err);
    free(object);
    stored_index_close(&index);

    struct build_result again = build(f, 1);
    assert_int_equal(again.counts.new_chunks, 1);
}

static void test_stale_files(void **state)
{
    struct fixture *f = *state;
    struct store_temp temp;
    struct dlf_err err;
    struct store_list list;
    static const char *const kinds[] = {"pack", "index", "manifest", NULL};
    for (int i = 0; i < 4; i++) {
        assert_works(store_temp_open(&f->store, kinds[i], &temp, &err), err);
        close(temp.fd); /* as if killed */
    }
    close(f->store.lock_fd);
    assert_works(store_lock(&f->store, &err), err);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(store_list(&f->store, kinds[i], &list, NULL), 0);
        for (size_t j = 0; j < list.count; j++)
            assert_null(strstr(list.names[j], "tmp"));
        store_list_free(&list);
    }
}

static void test_manifest_names(void **state)
{
    struct fixture *f = *state;
    struct dlf_manifest manifest;
    struct store_list images;
    struct dlf_err err;
    char text[4096];
    struct build_result result = build(f, 1);
    int size = dlf_manifest_format(&result.manifest, text, sizeof(text));
    assert_works(store_put(&f->store, NULL, "other.dlfuse", text, (size_t)size, &err), err);
    assert_works(store_put(&f->store, NULL, "a-b.dlfuse", "x", 1, &err), err);
    assert_works(store_put(&f->store, NULL, "a.dlfuse", "x", 1, &err), err);
    assert_works(store_put(&f->store, NULL, "-bad.dlfuse", "x", 1, &err), err);
    assert_works(store_put(&f->store, NULL, ".dlfuse", "x", 1, &err), err);
    assert_int_equal(store_images(&f->store, &images, &err), 0);
    assert_int_equal(images.count, 4);
    assert_string_equal(images.names[0], "a");
    assert_string_equal(images.names[1], "a-b");
    store_list_free(&images);

    assert_works(store_read_manifest(&f->store, "image", &manifest, NULL, &err), err);
    assert_int_equal(store_read_manifest(&f->store, "other", &manifest, NULL, &err), -EBADMSG);
    assert_int_equal(store_read_manifest(&f->store, "a", &manifest, NULL, &err), -EBADMSG);
    assert_int_equal(store_read_manifest(&f->store, "none", &manifest, NULL, &err), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_image, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_within_image, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_chunk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_pack, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lying_hash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stale_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_manifest_names, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
