/* Superblock magics, and the cut kind of each image. */
#include "check.h"

#include "chunker/filesystem.h"
#include "format/bytes.h"

static void test_detect(void **state)
{
    uint8_t start[FILESYSTEM_LOOK_BYTES] = {0};
    (void)state;
    assert_int_equal(filesystem_detect(start, sizeof(start)), FS_UNKNOWN);
    assert_int_equal(filesystem_detect(start, 0), FS_UNKNOWN);

    dlf_put32(start + 1080, 0xef53);
    assert_int_equal(filesystem_detect(start, sizeof(start)), FS_EXT);
    assert_int_equal(filesystem_detect(start, 1081), FS_UNKNOWN);
    memcpy(start, "XFSB", 4);
    assert_int_equal(filesystem_detect(start, sizeof(start)), FS_XFS);
    memcpy(start, "hsqs", 4);
    assert_int_equal(filesystem_detect(start, 4), FS_SQUASHFS);
    assert_int_equal(filesystem_detect(start, 3), FS_UNKNOWN);
}

static void test_erofs(void **state)
{
    static const struct {
        uint32_t incompat;
        enum filesystem expected;
    } cases[] = {
        {0, FS_EROFS},
        {0x1, FS_EROFS_COMPRESSED},
        {0x2, FS_EROFS_COMPRESSED},
        {0x4, FS_EROFS}, /* chunk-based files */
        {0x8, FS_EROFS}, /* device table */
        {0x10, FS_EROFS_COMPRESSED},
        {0x20, FS_EROFS_COMPRESSED},
        {0x40, FS_EROFS}, /* long xattr prefixes */
    };
    uint8_t start[FILESYSTEM_LOOK_BYTES] = {0};
    (void)state;
    dlf_put32(start + 1024, 0xe0f5e1e2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        dlf_put32(start + 1104, cases[i].incompat);
        assert_int_equal(filesystem_detect(start, sizeof(start)), cases[i].expected);
    }
    assert_int_equal(filesystem_detect(start, 1107), FS_UNKNOWN);
}

static void test_cut(void **state)
{
    (void)state;
    assert_int_equal(filesystem_cut(FS_UNKNOWN), CUT_BLOCKS);
    assert_int_equal(filesystem_cut(FS_EXT), CUT_BLOCKS);
    assert_int_equal(filesystem_cut(FS_XFS), CUT_BLOCKS);
    assert_int_equal(filesystem_cut(FS_EROFS), CUT_BLOCKS);
    assert_int_equal(filesystem_cut(FS_EROFS_COMPRESSED), CUT_BYTES);
    assert_int_equal(filesystem_cut(FS_SQUASHFS), CUT_BYTES);
}

static void test_bytes(void **state)
{
    uint8_t start[FILESYSTEM_LOOK_BYTES] = {0};
    (void)state;
    dlf_put32(start + 1024 + 4, 300);
    dlf_put32(start + 1024 + 24, 2); /* 4 KiB */
    assert_int_equal(filesystem_bytes(FS_EXT, start, sizeof(start)), 300 * 4096);
    assert_int_equal(filesystem_bytes(FS_EXT, start, sizeof(start) - 1), 0);
    dlf_put32(start + 1024 + 336, 1); /* counts only with the 64bit feature */
    assert_int_equal(filesystem_bytes(FS_EXT, start, sizeof(start)), 300 * 4096);
    dlf_put32(start + 1024 + 96, 0x80);
    assert_int_equal(filesystem_bytes(FS_EXT, start, sizeof(start)),
                     (UINT64_C(0x100000000) + 300) * 4096);
    /* Numbers that no file system has. */
    dlf_put32(start + 1024 + 336, UINT32_MAX);
    dlf_put32(start + 1024 + 24, 21);
    assert_int_equal(filesystem_bytes(FS_EXT, start, sizeof(start)), 0);
    dlf_put32(start + 1024 + 24, UINT32_MAX);
    assert_int_equal(filesystem_bytes(FS_EXT, start, sizeof(start)), 0);

    memset(start, 0, sizeof(start));
    start[15] = 200;
    start[120] = 12;
    assert_int_equal(filesystem_bytes(FS_XFS, start, sizeof(start)), 200 * 4096);
    start[120] = 255;
    assert_int_equal(filesystem_bytes(FS_XFS, start, sizeof(start)), 0);
    dlf_put64(start + 40, 12345);
    assert_int_equal(filesystem_bytes(FS_SQUASHFS, start, sizeof(start)), 12345);
    start[1024 + 12] = 12;
    dlf_put32(start + 1024 + 36, 7);
    assert_int_equal(filesystem_bytes(FS_EROFS, start, sizeof(start)), 7 * 4096);
    assert_int_equal(filesystem_bytes(FS_EROFS_COMPRESSED, start, sizeof(start)), 7 * 4096);
    assert_int_equal(filesystem_bytes(FS_UNKNOWN, start, sizeof(start)), 0);
}

static void test_journal(void **state)
{
    uint8_t start[FILESYSTEM_LOOK_BYTES] = {0};
    (void)state;
    assert_false(filesystem_journal_dirty(FS_EXT, start, sizeof(start)));
    dlf_put32(start + 1024 + 96, 0x4);
    assert_true(filesystem_journal_dirty(FS_EXT, start, sizeof(start)));
    assert_false(filesystem_journal_dirty(FS_EXT, start, 1024 + 96));
    assert_false(filesystem_journal_dirty(FS_XFS, start, sizeof(start)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_detect), cmocka_unit_test(test_erofs),   cmocka_unit_test(test_cut),
        cmocka_unit_test(test_bytes),  cmocka_unit_test(test_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
