/* The manifests that a node accepts, and its directory of trusted keys. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/trust.h"
#include "tests/unit/format/keys.h"

#define FILE_NAME "image.dlfuse"

static char directory[] = "/tmp/dlfuse-trust.XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    memcpy(strrchr(directory, '.') + 1, "XXXXXX", 6);
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -r '%s'", directory);
    return system(command);
}

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void put_key(const char *name, unsigned number, int secret)
{
    char pem[512];
    rfc_pem(number, secret, pem, sizeof(pem));
    put(name, pem);
}

static int open_trust(struct dlf_trust *trust, struct dlf_err *err)
{
    memset(trust, 0, sizeof(*trust));
    trust->keys_from = directory;
    return dlf_trust_open(trust, err);
}

/* The line is "DIRECTORY..." with this behind it. */
static void refused_keys(int code, const char *says)
{
    struct dlf_trust trust;
    struct dlf_err err;
    char wanted[700];
    snprintf(wanted, sizeof(wanted), "%s%s", directory, says);
    assert_int_equal(open_trust(&trust, &err), -code);
    assert_string_equal(err.msg, wanted);
}

static void all_pem_files_are_keys(void **state)
{
    struct dlf_trust trust;
    struct dlf_err err;
    (void)state;
    put("README", "about these keys\n");
    put("pem", "");
    refused_keys(EINVAL, " has no *.pem: put a public key there, or do not ask for keys");
    put_key("a.pem", 0, 0);
    put_key("b.pem", 1, 0);
    put_key("b-again.pem", 1, 0);
    assert_int_equal(open_trust(&trust, &err), 0);
    assert_int_equal(trust.keys.count, 2);
}

/* With one bad file the node does not go on with the good ones: the bad file would go unnoticed. */
static void a_bad_key_file_is_named(void **state)
{
    char path[300];
    (void)state;
    put_key("a.pem", 0, 0);
    put("bad.pem", "");
    refused_keys(EBADMSG, "/bad.pem: not a PEM file with a key");
    put_key("bad.pem", 1, 1);
    refused_keys(EBADMSG, "/bad.pem: it holds a private key, which must stay where images are "
                          "signed: a public one is needed (openssl pkey -pubout)");
    snprintf(path, sizeof(path), "%s/bad.pem", directory);
    unlink(path);
    assert_int_equal(mkdir(path, 0755), 0);
    refused_keys(EINVAL, "/bad.pem: not a regular file");
    rmdir(path);
    assert_int_equal(symlink("nowhere", path), 0);
    refused_keys(ENOENT, "/bad.pem: the key cannot be read: No such file or directory");
}

static void a_directory_that_is_none_is_named(void **state)
{
    struct dlf_trust trust = {.keys_from = "/nonexistent/keys"};
    struct dlf_err err;
    (void)state;
    assert_int_equal(dlf_trust_open(&trust, &err), -ENOENT);
    assert_string_equal(err.msg, "the trusted keys in /nonexistent/keys cannot be read: No such "
                                 "file or directory");
}

/* A manifest of this name and serial, signed by the RFC's keys with their bits set in by. */
static size_t manifest(char *out, size_t room, const char *name, uint64_t serial, unsigned by)
{
    struct dlf_manifest m = {.serial = serial, .index_size = 64, .index_head_size = 64};
    snprintf(m.name, sizeof(m.name), "%s", name);
    for (unsigned i = 0; i < 2; i++) {
        struct dlf_secret_key key = rfc_key(i);
        if (by >> i & 1)
            assert_int_equal(dlf_manifest_sign(&m, &key, NULL), 0);
    }
    int n = dlf_manifest_format(&m, out, room);
    assert_true(n > 0);
    return (size_t)n;
}

struct attempt {
    struct dlf_manifest manifest;
    struct dlf_trust_seen seen;
    struct dlf_err err;
};

static int take(const struct dlf_trust *trust, const char *name, uint64_t serial, unsigned by,
                struct attempt *a)
{
    char text[4096];
    size_t size = manifest(text, sizeof(text), name, serial, by);
    memset(a, 0, sizeof(*a));
    return dlf_trust_manifest(trust, FILE_NAME, text, size, &a->manifest, &a->seen, &a->err);
}

static void without_keys_signatures_are_only_counted(void **state)
{
    static const struct dlf_trust anybody = {.keys_from = NULL};
    struct attempt a;
    (void)state;
    for (unsigned by = 0; by < 4; by++) {
        assert_int_equal(take(&anybody, "image", 1, by, &a), 0);
        assert_string_equal(a.seen.signed_by, "");
        assert_int_equal(a.seen.signatures, (by & 1) + (by >> 1));
        assert_string_equal(a.manifest.name, "image");
    }
}

static void with_keys_one_must_have_signed(void **state)
{
    struct dlf_trust trust;
    struct attempt a;
    struct dlf_err err;
    char wanted[700];
    (void)state;
    put_key("b.pem", 1, 0);
    assert_int_equal(open_trust(&trust, &err), 0);
    assert_int_equal(take(&trust, "image", 1, 2, &a), 0);
    assert_string_equal(a.seen.signed_by, "39f713d0a644253f");
    assert_int_equal(take(&trust, "image", 1, 3, &a), 0);
    assert_int_equal(a.seen.signatures, 2);

    assert_int_equal(take(&trust, "image", 1, 0, &a), -EKEYREJECTED);
    snprintf(wanted, sizeof(wanted),
             "refused: it is not signed, and only signed ones are trusted (keys in %s); sign it "
             "with a key that is trusted there (dlfuse-chunker sign), or trust its key",
             directory);
    assert_string_equal(a.err.msg, wanted);
    assert_string_equal(a.manifest.name, ""); /* untouched */
    assert_int_equal(take(&trust, "image", 1, 1, &a), -EKEYREJECTED);
    assert_non_null(strstr(a.err.msg, "it is signed by key 21fe31dfa154a261, and trusted is only "
                                      "39f713d0a644253f"));

    /* Keys that were asked for and never read: no key is trusted. */
    struct dlf_trust forgotten = {.keys_from = directory};
    assert_int_equal(take(&forgotten, "image", 1, 3, &a), -EKEYREJECTED);
}

static void another_name_is_refused(void **state)
{
    static const char *const names[] = {"other", "imag", "image.dlfuse", "image2"};
    static const struct dlf_trust anybody = {.keys_from = NULL};
    struct attempt a;
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(take(&anybody, names[i], 1, 0, &a), -EBADMSG);
    assert_string_equal(a.err.msg, "this is the manifest of another image, \"image2\"");
}

static void an_older_serial_is_refused(void **state)
{
    static const struct dlf_trust from_five = {.serial_min = 5};
    struct attempt a;
    (void)state;
    assert_int_equal(take(&from_five, "image", 5, 0, &a), 0);
    assert_int_equal(take(&from_five, "image", UINT64_MAX, 0, &a), 0);
    assert_int_equal(take(&from_five, "image", 4, 3, &a), -ESTALE);
    assert_string_equal(a.err.msg, "refused: its serial is 4, and serial= wants 5 or more: this "
                                   "server is behind, or somebody offers an old version");
}

static void the_digest_is_of_the_whole_file(void **state)
{
    struct dlf_trust trust = {.digest_given = true};
    struct attempt a;
    char text[4096];
    (void)state;
    size_t size = manifest(text, sizeof(text), "image", 1, 1);
    trust.digest = dlf_sha256(text, size);
    assert_int_equal(take(&trust, "image", 1, 1, &a), 0);
    assert_true(dlf_sha256_equal(&a.seen.digest, &trust.digest));
    /* Without the signature, or with one more, it is another file. */
    assert_int_equal(take(&trust, "image", 1, 0, &a), -EKEYREJECTED);
    assert_non_null(strstr(a.err.msg, "refused: its SHA-256 is "));
    assert_int_equal(take(&trust, "image", 1, 3, &a), -EKEYREJECTED);
}

/* Nothing of a body is trusted before its signature, not even its kind of text. */
static void what_is_no_manifest_is_first_of_all_not_signed(void **state)
{
    static const char html[] = "<html>\n";
    struct dlf_trust trust;
    struct attempt a;
    struct dlf_err err;
    char by[DLF_KEY_ID_HEX + 1];
    (void)state;
    put_key("a.pem", 0, 0);
    assert_int_equal(open_trust(&trust, &err), 0);
    assert_int_equal(
        dlf_trust_manifest(&trust, FILE_NAME, html, sizeof(html) - 1, &a.manifest, &a.seen, &a.err),
        -EKEYREJECTED);
    assert_int_equal(dlf_trust_text(&trust, DLF_SIGNS_SUMS, html, sizeof(html) - 1, by, &err),
                     -EKEYREJECTED);
    trust.keys_from = NULL;
    assert_int_equal(dlf_trust_text(&trust, DLF_SIGNS_SUMS, html, sizeof(html) - 1, by, &err), 7);
    assert_string_equal(by, "");
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(all_pem_files_are_keys),
        WITH_DIRECTORY(a_bad_key_file_is_named),
        cmocka_unit_test(a_directory_that_is_none_is_named),
        cmocka_unit_test(without_keys_signatures_are_only_counted),
        WITH_DIRECTORY(with_keys_one_must_have_signed),
        cmocka_unit_test(another_name_is_refused),
        cmocka_unit_test(an_older_serial_is_refused),
        cmocka_unit_test(the_digest_is_of_the_whole_file),
        WITH_DIRECTORY(what_is_no_manifest_is_first_of_all_not_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
