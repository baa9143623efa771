/* The packer: places of bytes, closing of packs, reading back in every state, failure. */
#include "check.h"

#include <fcntl.h>

#include "chunker/io.h"
#include "chunker/packer.h"

#define CHUNK_BYTES 300000

struct fixture {
    char *directory;
    struct store store;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct dlf_err err;
    f->directory = make_directory();
    assert_works(store_open(&f->store, f->directory, true, &err), err);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    remove_directory(f->directory);
    free(f);
    return 0;
}

struct added {
    uint32_t pack;
    uint32_t pack_offset;
};

/* Adds count chunks of CHUNK_BYTES; chunk i is made from seed i. */
static void add_chunks(struct packer *packer, struct added *added, unsigned count)
{
    uint8_t *chunk = malloc(CHUNK_BYTES);
    struct dlf_err err;
    for (unsigned i = 0; i < count; i++) {
        fill_random(chunk, CHUNK_BYTES, i);
        assert_works(
            packer_add(packer, chunk, CHUNK_BYTES, &added[i].pack, &added[i].pack_offset, &err),
            err);
    }
    free(chunk);
}

static void check_chunks(struct packer *packer, const struct added *added, unsigned count)
{
    uint8_t *chunk = malloc(CHUNK_BYTES);
    uint8_t *read = malloc(CHUNK_BYTES);
    struct dlf_err err;
    for (unsigned i = 0; i < count; i++) {
        fill_random(chunk, CHUNK_BYTES, i);
        assert_works(
            packer_read(packer, added[i].pack, added[i].pack_offset, read, CHUNK_BYTES, &err), err);
        assert_memory_equal(read, chunk, CHUNK_BYTES);
    }
    free(chunk);
    free(read);
}

static void test_packs(void **state)
{
    struct fixture *f = *state;
    struct added added[200];
    struct dlf_err err;
    uint32_t count;
    struct packer *packer = packer_new(&f->store, &err);
    assert_non_null(packer);
    add_chunks(packer, added, 200);
    /* Some are being built, some sealed, some on disk. */
    check_chunks(packer, added, 200);
    assert_works(packer_finish(packer, &err), err);
    check_chunks(packer, added, 200);

    const struct dlf_index_pack *packs = packer_packs(packer, &count);
    uint32_t per_pack = DLF_PACK_TARGET / CHUNK_BYTES + 1;
    assert_int_equal(count, (200 + per_pack - 1) / per_pack);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(added[i].pack, i / per_pack);
        assert_int_equal(added[i].pack_offset, i % per_pack * CHUNK_BYTES);
    }
    for (uint32_t i = 0; i < count; i++) {
        assert_in_range(packs[i].size, 1, DLF_PACK_MAX);
        if (i + 1 < count)
            assert_true(packs[i].size >= DLF_PACK_TARGET);
        assert_true(store_has_intact(&f->store, "pack", &packs[i].sha256, packs[i].size));
    }
    packer_free(packer);
}

static void test_nothing(void **state)
{
    struct fixture *f = *state;
    struct dlf_err err;
    uint32_t count;
    struct packer *packer = packer_new(&f->store, &err);
    assert_works(packer_finish(packer, &err), err);
    packer_packs(packer, &count);
    assert_int_equal(count, 0);
    packer_free(packer);
}

/* A damaged pack of the same name is replaced; an intact one stays as it is. */
static void test_repairs(void **state)
{
    struct fixture *f = *state;
    struct added added[1];
    struct dlf_err err;
    uint32_t count;
    char path[DLF_OBJECT_PATH_MAX];
    for (int round = 0; round < 2; round++) {
        struct packer *packer = packer_new(&f->store, &err);
        add_chunks(packer, added, 1);
        assert_works(packer_finish(packer, &err), err);
        struct dlf_index_pack pack = packer_packs(packer, &count)[0];
        assert_true(store_has_intact(&f->store, "pack", &pack.sha256, pack.size));
        dlf_object_path(path, "pack", &pack.sha256);
        int fd = openat(f->store.dir_fd, path, O_WRONLY);
        assert_int_equal(io_pwrite(fd, "damage", 6, 1000), 0);
        close(fd);
        assert_false(store_has_intact(&f->store, "pack", &pack.sha256, pack.size));
        packer_free(packer);
    }
}

/* The directory is gone: an error comes back, and nothing hangs. */
static void test_failure(void **state)
{
    struct fixture *f = *state;
    struct dlf_err err;
    uint32_t pack;
    uint32_t pack_offset;
    int rc = 0;
    uint8_t *chunk = malloc(CHUNK_BYTES);
    struct packer *packer = packer_new(&f->store, &err);
    fill_random(chunk, CHUNK_BYTES, 1);
    assert_int_equal(unlinkat(f->store.dir_fd, "pack", AT_REMOVEDIR), 0);
    for (int i = 0; rc == 0 && i < 1000; i++)
        rc = packer_add(packer, chunk, CHUNK_BYTES, &pack, &pack_offset, &err);
    assert_true(rc < 0);
    assert_non_null(strstr(err.msg, "pack"));
    assert_int_equal(packer_finish(packer, &err), rc);
    packer_free(packer);
    free(chunk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_packs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_repairs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failure, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
