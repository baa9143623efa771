/* The manifest: round trip, every line's refusals with their words, limits, damage. */
#include "check.h"

#include <errno.h>
#include <stdlib.h>

#include "format/index.h"
#include "format/manifest.h"

#define INDEX "1111111111111111111111111111111111111111111111111111111111111111"
#define HEAD "2222222222222222222222222222222222222222222222222222222222222222"
#define BOOT "3333333333333333333333333333333333333333333333333333333333333333"
#define TABLE "4444444444444444444444444444444444444444444444444444444444444444"
#define BOOT_LINE "boot " BOOT " 1000\n"
#define BOOT_LINES BOOT_LINE "boot-table " TABLE " 64\n"

/* Each test changes one line of this. */
struct lines {
    const char *magic, *name, *serial, *created, *image, *index, *head, *more;
};

static const struct lines good = {
    .magic = "dlfuse-manifest 1\n",
    .name = "name debian-12.5_x\n",
    .serial = "serial 42\n",
    .created = "created 2026-01-31T23:59:59Z\n",
    .image = "image-size 1342177280\n",
    .index = "index " INDEX " 1000000\n",
    .head = "index-head " HEAD " 20000\n",
    .more = "",
};

static int parse(const struct lines *l, struct dlf_manifest *m, struct dlf_err *err)
{
    char text[6000];
    int n = snprintf(text, sizeof(text), "%s%s%s%s%s%s%s%s", l->magic, l->name, l->serial,
                     l->created, l->image, l->index, l->head, l->more);
    /* An exact allocation: reading past the text is seen. */
    char *exact = malloc((size_t)n);
    assert_non_null(exact);
    memcpy(exact, text, (size_t)n);
    int rc = dlf_manifest_parse(m, exact, (size_t)n, err);
    free(exact);
    return rc;
}

static void reads_what_it_wrote(void **state)
{
    (void)state;
    struct dlf_manifest m;
    struct dlf_err err;
    char text[1024];
    assert_works(parse(&good, &m, &err), err);
    assert_string_equal(m.name, "debian-12.5_x");
    assert_int_equal(m.serial, 42);
    assert_int_equal(m.created, 1769903999);
    assert_int_equal(m.image_size, 1342177280);
    assert_int_equal(m.index.bytes[0], 0x11);
    assert_int_equal(m.index_size, 1000000);
    assert_int_equal(m.index_head.bytes[31], 0x22);
    assert_int_equal(m.index_head_size, 20000);
    assert_int_equal(m.boot_size, 0);
    assert_int_equal(m.boot_table_size, 0);

    int n = dlf_manifest_format(&m, text, sizeof(text));
    char wanted[1024];
    snprintf(wanted, sizeof(wanted), "%s%s%s%s%s%s%s", good.magic, good.name, good.serial,
             good.created, good.image, good.index, good.head);
    assert_int_equal(n, strlen(wanted));
    assert_string_equal(text, wanted);
}

static void boot_pack_is_read_and_written(void **state)
{
    (void)state;
    struct lines l = good;
    struct dlf_manifest m;
    struct dlf_err err;
    char text[1024];
    l.more = BOOT_LINES;
    assert_works(parse(&l, &m, &err), err);
    assert_int_equal(m.boot.bytes[0], 0x33);
    assert_int_equal(m.boot_size, 1000);
    assert_int_equal(m.boot_table.bytes[31], 0x44);
    assert_int_equal(m.boot_table_size, 64);
    int n = dlf_manifest_format(&m, text, sizeof(text));
    assert_int_equal(n, strlen(text));
    assert_string_equal(strstr(text, "boot "), BOOT_LINES);
    /* Room for all but the end, at each place where it could be cut. */
    for (int room = 0; room <= n; room++)
        assert_int_equal(dlf_manifest_format(&m, text, (size_t)room), -EINVAL);
    assert_int_equal(dlf_manifest_format(&m, text, (size_t)n + 1), n);

    l.more = "boot " BOOT " 1073741824\nboot-table " TABLE " 4194304\n";
    assert_works(parse(&l, &m, &err), err);
    assert_true(m.boot_size == DLF_BOOT_MAX);
    assert_true(m.boot_table_size == DLF_BOOT_TABLE_MAX);
}

static void mirrors_are_read_and_written(void **state)
{
    (void)state;
    static const char two[] = BOOT_LINES "mirror http://a.test/store/\n"
                                         "mirror https://[2001:db8::1]:8443/\n";
    struct lines l = good;
    struct dlf_manifest m;
    struct dlf_manifest other;
    struct dlf_err err;
    char text[6000];
    l.more = two;
    assert_works(parse(&l, &m, &err), err);
    assert_int_equal(m.mirror_count, 2);
    assert_string_equal(m.mirrors[0], "http://a.test/store/");
    assert_string_equal(m.mirrors[1], "https://[2001:db8::1]:8443/");
    int n = dlf_manifest_format(&m, text, sizeof(text));
    assert_int_equal(n, strlen(text));
    assert_string_equal(strstr(text, "boot "), two);
    for (int room = 0; room <= n; room++)
        assert_int_equal(dlf_manifest_format(&m, text, (size_t)room), -EINVAL);

    l.more = "mirror http://a.test/store/\nmirror https://[2001:db8::1]:8443/\n";
    assert_works(parse(&l, &other, &err), err);
    assert_true(dlf_manifest_same_mirrors(&m, &other));
    other.mirrors[1][0] = 'x';
    assert_false(dlf_manifest_same_mirrors(&m, &other));
    other.mirror_count = 1;
    assert_false(dlf_manifest_same_mirrors(&m, &other));
}

static void fifteen_long_mirrors_are_read(void **state)
{
    (void)state;
    struct lines l = good;
    struct dlf_manifest m;
    struct dlf_err err;
    char more[16 * 256];
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        at += (size_t)snprintf(more + at, sizeof(more) - at, "mirror http://%0*d/\n",
                               DLF_MIRROR_URL_MAX - 8, i);
        l.more = more;
        if (i < 15)
            assert_works(parse(&l, &m, &err), err);
    }
    assert_int_equal(m.mirror_count, 15);
    assert_int_equal(strlen(m.mirrors[14]), DLF_MIRROR_URL_MAX);
    assert_refused(parse(&l, &m, &err), EFBIG, err, "line 23: more than 15 mirrors");
    snprintf(more, sizeof(more), "mirror http://%0*d/\n", DLF_MIRROR_URL_MAX - 7, 1);
    assert_refused(parse(&l, &m, &err), EBADMSG, err, "line 8: mirror is not the URL of a store");
}

static void urls_of_mirrors(void **state)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "http://",
                                      "http:///",
                                      "http://a",
                                      "ftp://a/",
                                      "http://:80/",
                                      "http://u:p@a/",
                                      "http://u@a/x/",
                                      "HTTP://a/",
                                      "http://a/?/",
                                      "http://a/#/",
                                      "http://a/ b/",
                                      "http://a/\x7f/",
                                      "http://a/\xc3\xa4/",
                                      "http://a\\/",
                                      "http://a/\"/",
                                      "https://"};
    (void)state;
    assert_true(dlf_mirror_valid("http://a/"));
    assert_true(dlf_mirror_valid("https://a.b:8443/c/d%20e/@/"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(dlf_mirror_valid(bad[i]));
}

static void writing_needs_room_and_a_time(void **state)
{
    (void)state;
    struct dlf_manifest m;
    struct dlf_err err;
    char text[1024];
    assert_works(parse(&good, &m, &err), err);
    int n = dlf_manifest_format(&m, text, sizeof(text));
    assert_int_equal(dlf_manifest_format(&m, text, (size_t)n), -EINVAL);
    assert_int_equal(dlf_manifest_format(&m, text, (size_t)n + 1), n);
    m.created = UINT64_C(253402300799);
    assert_true(dlf_manifest_format(&m, text, sizeof(text)) > 0);
    assert_non_null(strstr(text, "created 9999-12-31T23:59:59Z\n"));
    m.created++;
    assert_int_equal(dlf_manifest_format(&m, text, sizeof(text)), -EINVAL);
    m.created = UINT64_MAX;
    assert_int_equal(dlf_manifest_format(&m, text, sizeof(text)), -EINVAL);
}

static void largest_values_are_read(void **state)
{
    (void)state;
    struct lines l = good;
    struct dlf_manifest m;
    struct dlf_err err;
    char name[DLF_NAME_MAX + 8];
    snprintf(name, sizeof(name), "name %0*d\n", DLF_NAME_MAX, 7);
    l.name = name;
    l.serial = "serial 18446744073709551615\n";
    l.created = "created 9999-12-31T23:59:59Z\n";
    l.image = "image-size 8796093022208\n";
    l.index = "index " INDEX " 7747710976\n";
    l.head = "index-head " HEAD " 16777216\n";
    assert_works(parse(&l, &m, &err), err);
    assert_int_equal(strlen(m.name), DLF_NAME_MAX);
    assert_true(m.serial == UINT64_MAX);
    assert_true(m.image_size == DLF_IMAGE_MAX);
    assert_true(m.index_size == DLF_INDEX_MAX);

    l = good;
    l.created = "created 1970-01-01T00:00:00Z\n";
    l.image = "image-size 0\n";
    l.index = "index " INDEX " 64\n";
    l.head = "index-head " HEAD " 64\n";
    assert_works(parse(&l, &m, &err), err);
    assert_int_equal(m.created, 0);
    assert_int_equal(m.image_size, 0);
}

static const struct refusal {
    struct lines change; /* the lines that are not NULL replace those of good */
    int code;
    const char *says;
} refusals[] = {
    /* Not a manifest at all: the first bytes are shown, without control characters. */
    {{.magic = "<!DOCTYPE html>\n<html>\n"},
     EBADMSG,
     "not a dlfuse manifest: it begins with \"<!DOCTYPE html>\""},
    {{.magic = "\x1b[2J\tdlfuse\n"},
     EBADMSG,
     "not a dlfuse manifest: it begins with \"?[2J?dlfuse\""},
    {{.magic = "a line of more than thirty-two characters\n"},
     EBADMSG,
     "not a dlfuse manifest: it begins with \"a line of more than thirty-two c\""},
    {{.magic = "dlfuse-manifest\n"},
     EBADMSG,
     "not a dlfuse manifest: it begins with \"dlfuse-manifest\""},
    {{.magic = ""}, EBADMSG, "not a dlfuse manifest: it begins with \"name debian-12.5_x\""},
    /* Versions. */
    {{.magic = "dlfuse-manifest 2\n"},
     ENOTSUP,
     "manifest version \"2\" is not known to this build, which reads 1"},
    {{.magic = "dlfuse-manifest 1 \n"},
     ENOTSUP,
     "manifest version \"1 \" is not known to this build, which reads 1"},
    {{.magic = "dlfuse-manifest 01\n"},
     ENOTSUP,
     "manifest version \"01\" is not known to this build, which reads 1"},
    {{.magic = "dlfuse-manifest \n"},
     ENOTSUP,
     "manifest version \"\" is not known to this build, which reads 1"},
    {{.magic = "dlfuse-manifest 99999999999999999999\n"},
     ENOTSUP,
     "manifest version \"9999999999999999\" is not known to this build, which reads 1"},
    {{.magic = "dlfuse-manifest 1\r\n"},
     ENOTSUP,
     "manifest version \"1\r\" is not known to this build, which reads 1"},
    /* Names. */
    {{.name = "name \n"}, EBADMSG, "line 2: invalid name"},
    {{.name = "name .hidden\n"}, EBADMSG, "line 2: invalid name"},
    {{.name = "name -x\n"}, EBADMSG, "line 2: invalid name"},
    {{.name = "name a/b\n"}, EBADMSG, "line 2: invalid name"},
    {{.name = "name a b\n"}, EBADMSG, "line 2: invalid name"},
    {{.name = "name caf\xc3\xa9\n"}, EBADMSG, "line 2: invalid name"},
    {{.name = "name debian\r\n"}, EBADMSG, "line 2: invalid name"},
    {{.name = "nam debian\n"}, EBADMSG, "line 2: \"name\" expected, found something else"},
    {{.name = "name\n"}, EBADMSG, "line 2: \"name\" expected, found something else"},
    {{.name = "names debian\n"}, EBADMSG, "line 2: \"name\" expected, found something else"},
    {{.name = "\n"}, EBADMSG, "line 2: \"name\" expected, found something else"},
    {{.name = ""}, EBADMSG, "line 2: \"name\" expected, found something else"},
    {{.name = "name a\nname b\n"}, EBADMSG, "line 3: \"serial\" expected, found something else"},
    /* Serials. */
    {{.serial = "serial 0\n"}, EBADMSG, "line 3: serial 0, but serials begin at 1"},
    {{.serial = "serial -1\n"}, EBADMSG, "line 3: serial is not a number"},
    {{.serial = "serial +1\n"}, EBADMSG, "line 3: serial is not a number"},
    {{.serial = "serial 01\n"}, EBADMSG, "line 3: serial is not a number"},
    {{.serial = "serial 1 \n"}, EBADMSG, "line 3: serial is not a number"},
    {{.serial = "serial  1\n"}, EBADMSG, "line 3: serial is not a number"},
    {{.serial = "serial 0x1\n"}, EBADMSG, "line 3: serial is not a number"},
    {{.serial = "serial \n"}, EBADMSG, "line 3: serial is not a number"},
    {{.serial = "serial 18446744073709551616\n"}, EBADMSG, "line 3: serial is not a number"},
    {{.serial = "serial 99999999999999999999999\n"}, EBADMSG, "line 3: serial is not a number"},
    /* Times. */
    {{.created = "created 2026-02-29T00:00:00Z\n"}, EBADMSG, "line 4: created is not a UTC time"},
    {{.created = "created 2026-01-31T23:59:60Z\n"}, EBADMSG, "line 4: created is not a UTC time"},
    {{.created = "created 2026-01-31 23:59:59Z\n"}, EBADMSG, "line 4: created is not a UTC time"},
    {{.created = "created 2026-01-31T23:59:59\n"}, EBADMSG, "line 4: created is not a UTC time"},
    {{.created = "created 2026-01-31T23:59:59Zx\n"}, EBADMSG, "line 4: created is not a UTC time"},
    {{.created = "created 2026-1-31T23:59:59Z\n"}, EBADMSG, "line 4: created is not a UTC time"},
    {{.created = "created 1969-12-31T23:59:59Z\n"}, EBADMSG, "line 4: created is not a UTC time"},
    {{.created = "created 10000-01-01T00:00:00Z\n"}, EBADMSG, "line 4: created is not a UTC time"},
    {{.created = "created 1769903999\n"}, EBADMSG, "line 4: created is not a UTC time"},
    /* Image sizes. */
    {{.image = "image-size 8796093022209\n"},
     EFBIG,
     "line 5: image-size 8796093022209 is over the limit of 8796093022208"},
    {{.image = "image-size 9223372036854775808\n"},
     EFBIG,
     "line 5: image-size 9223372036854775808 is over the limit of 8796093022208"},
    {{.image = "image-size 18446744073709551615\n"},
     EFBIG,
     "line 5: image-size 18446744073709551615 is over the limit of 8796093022208"},
    {{.image = "image-size 1.5\n"}, EBADMSG, "line 5: image-size is not a number"},
    /* Objects. */
    {{.index = "index " INDEX "\n"}, EBADMSG, "line 6: index is not a SHA-256 and a size"},
    {{.index = "index 1000\n"}, EBADMSG, "line 6: index is not a SHA-256 and a size"},
    {{.index = "index " INDEX "1 1000\n"}, EBADMSG, "line 6: index is not a SHA-256 and a size"},
    {{.index = "index abc 1000\n"}, EBADMSG, "line 6: index is not a SHA-256 and a size"},
    {{.index = "index A" INDEX " 1000\n"}, EBADMSG, "line 6: index is not a SHA-256 and a size"},
    {{.index = "index " INDEX "  1000\n"}, EBADMSG, "line 6: the size of index is not a number"},
    {{.index = "index " INDEX " 1000 x\n"}, EBADMSG, "line 6: the size of index is not a number"},
    {{.index = "index " INDEX " 7747710977\n"},
     EFBIG,
     "line 6: index has 7747710977 bytes, the limit is 7747710976"},
    {{.head = "index-head " HEAD " 16777217\n"},
     EFBIG,
     "line 7: index-head has 16777217 bytes, the limit is 16777216"},
    {{.head = "index-head " HEAD " 63\n"}, EBADMSG, "line 7: an index head of 63 bytes cannot be"},
    {{.head = "index-head " HEAD " 1000001\n"},
     EBADMSG,
     "line 7: an index head of 1000001 bytes cannot be"},
    {{.head = "head " HEAD " 100\n"},
     EBADMSG,
     "line 7: \"index-head\" expected, found something else"},
    /* Where it ends. */
    {{.head = ""}, EBADMSG, "line 7: the manifest ends before \"index-head\" is complete"},
    {{.head = "index-head " HEAD " 20000"},
     EBADMSG,
     "line 7: the manifest ends before \"index-head\" is complete"},
    {{.more = "\n"}, EBADMSG, "line 8: unknown line after \"index-head\""},
    {{.more = "signature ed25519 abc\n"},
     EBADMSG,
     "line 8: not a signature (\"signature KEYID BASE64\" and LF), and nothing else may be here"},
    /* Mirrors. */
    {{.more = "mirror http://a\n"}, EBADMSG, "line 8: mirror is not the URL of a store"},
    {{.more = "mirror \n"}, EBADMSG, "line 8: mirror is not the URL of a store"},
    {{.more = "mirror http://a/ \n"}, EBADMSG, "line 8: mirror is not the URL of a store"},
    {{.more = "mirror http://a/"},
     EBADMSG,
     "line 8: the manifest ends before \"mirror\" is complete"},
    {{.more = "mirror\n"}, EBADMSG, "line 8: unknown line after \"index-head\""},
    {{.more = "mirror http://a/\n" BOOT_LINES}, EBADMSG, "line 9: unknown line after \"mirror\""},
    /* The boot pack: both lines, in this order, or none. */
    {{.more = BOOT_LINES "\n"}, EBADMSG, "line 10: unknown line after \"boot-table\""},
    {{.more = BOOT_LINES BOOT_LINES}, EBADMSG, "line 10: unknown line after \"boot-table\""},
    {{.more = BOOT_LINE}, EBADMSG, "line 9: the manifest ends before \"boot-table\" is complete"},
    {{.more = BOOT_LINE "boots " TABLE " 64\n"},
     EBADMSG,
     "line 9: \"boot-table\" expected, found something else"},
    {{.more = "boot-table " TABLE " 64\n"}, EBADMSG, "line 8: unknown line after \"index-head\""},
    {{.more = "boot\n"}, EBADMSG, "line 8: unknown line after \"index-head\""},
    {{.more = "boot " BOOT " 1000"},
     EBADMSG,
     "line 8: the manifest ends before \"boot\" is complete"},
    {{.more = "boot 1000\n"}, EBADMSG, "line 8: boot is not a SHA-256 and a size"},
    {{.more = "boot " BOOT " 1073741825\n"},
     EFBIG,
     "line 8: boot has 1073741825 bytes, the limit is 1073741824"},
    {{.more = "boot " BOOT " 5000000\nboot-table " TABLE " 4194305\n"},
     EFBIG,
     "line 9: boot-table has 4194305 bytes, the limit is 4194304"},
    {{.more = BOOT_LINE "boot-table " TABLE " 63\n"},
     EBADMSG,
     "line 9: a table of 63 bytes in a boot pack of 1000 cannot be"},
    {{.more = BOOT_LINE "boot-table " TABLE " 1001\n"},
     EBADMSG,
     "line 9: a table of 1001 bytes in a boot pack of 1000 cannot be"},
    {{.more = "boot " BOOT " 0\nboot-table " TABLE " 0\n"},
     EBADMSG,
     "line 9: a table of 0 bytes in a boot pack of 0 cannot be"},
};

static void lines_are_refused_with_their_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        const struct lines *c = &refusals[i].change;
        struct lines l = {
            .magic = c->magic ? c->magic : good.magic,
            .name = c->name ? c->name : good.name,
            .serial = c->serial ? c->serial : good.serial,
            .created = c->created ? c->created : good.created,
            .image = c->image ? c->image : good.image,
            .index = c->index ? c->index : good.index,
            .head = c->head ? c->head : good.head,
            .more = c->more ? c->more : good.more,
        };
        struct dlf_manifest m;
        struct dlf_manifest before;
        struct dlf_err err;
        memset(&m, 0xa5, sizeof(m));
        before = m;
        assert_refused(parse(&l, &m, &err), refusals[i].code, err, refusals[i].says);
        assert_memory_equal(&m, &before, sizeof(m));
    }
}

static void long_names_and_lines_are_refused(void **state)
{
    (void)state;
    struct lines l = good;
    struct dlf_manifest m;
    struct dlf_err err;
    char line[1024];
    snprintf(line, sizeof(line), "name %0*d\n", DLF_NAME_MAX + 1, 7);
    l.name = line;
    assert_refused(parse(&l, &m, &err), EBADMSG, err, "line 2: invalid name");
    snprintf(line, sizeof(line), "name %0*d\n", 600, 7);
    assert_refused(parse(&l, &m, &err), EBADMSG, err,
                   "line 2: \"name\" expected, found something else");
}

static void zero_bytes_are_refused(void **state)
{
    (void)state;
    static const char text[] = "dlfuse-manifest 1\nname a\0b\nserial 1\n";
    struct dlf_manifest m;
    struct dlf_err err;
    assert_refused(dlf_manifest_parse(&m, text, sizeof(text) - 1, &err), EBADMSG, err,
                   "line 2: \"name\" expected, found something else");
}

static void size_is_limited_before_anything_is_read(void **state)
{
    (void)state;
    struct dlf_manifest m;
    struct dlf_err err;
    /* No byte of it is touched: there is none. */
    assert_refused(dlf_manifest_parse(&m, "", DLF_MANIFEST_MAX + 1, &err), EFBIG, err,
                   "a manifest has at most 65536 bytes, this has more");
    assert_refused(dlf_manifest_parse(&m, "", 0, &err), EBADMSG, err,
                   "not a dlfuse manifest: it is empty");
    assert_int_equal(dlf_manifest_parse(&m, "", 0, NULL), -EBADMSG);
}

static void names(void **state)
{
    (void)state;
    assert_true(dlf_name_valid("a"));
    assert_true(dlf_name_valid("_"));
    assert_true(dlf_name_valid("Debian-12.5_amd64"));
    assert_false(dlf_name_valid(""));
    assert_false(dlf_name_valid("."));
    assert_false(dlf_name_valid(".."));
    assert_false(dlf_name_valid("-rf"));
    assert_false(dlf_name_valid("a/b"));
    assert_false(dlf_name_valid("a\n"));
    assert_false(dlf_name_valid("a%2f"));
}

static void object_paths(void **state)
{
    (void)state;
    char path[DLF_OBJECT_PATH_MAX];
    struct dlf_sha256 digest;
    assert_true(dlf_sha256_parse(&digest, INDEX));
    dlf_object_path(path, "index", &digest);
    assert_string_equal(path, "index/" INDEX);
    dlf_object_path(path, "manifest", &digest);
    assert_string_equal(path, "manifest/" INDEX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(boot_pack_is_read_and_written),
        cmocka_unit_test(mirrors_are_read_and_written),
        cmocka_unit_test(fifteen_long_mirrors_are_read),
        cmocka_unit_test(urls_of_mirrors),
        cmocka_unit_test(writing_needs_room_and_a_time),
        cmocka_unit_test(largest_values_are_read),
        cmocka_unit_test(lines_are_refused_with_their_number),
        cmocka_unit_test(long_names_and_lines_are_refused),
        cmocka_unit_test(zero_bytes_are_refused),
        cmocka_unit_test(size_is_limited_before_anything_is_read),
        cmocka_unit_test(names),
        cmocka_unit_test(object_paths),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
