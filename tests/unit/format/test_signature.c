/* Signed texts: made, read, verified; and forgeries, which are refused. */
#include "check.h"

#include <errno.h>
#include <stdlib.h>

#include "format/manifest.h"
#include "format/signature.h"
#include "golden.h"
#include "golden_boot.h"
#include "keys.h"

#define BODY "first line\nsecond line\n"
#define SIGNED "golden-signed.dlfuse"

/* A text, signed by the RFC's keys that have their bits set in by. */
struct text {
    size_t size;
    char bytes[8192];
};

static struct text sign(const char *body, const char *prefix, unsigned by)
{
    struct text t = {.size = strlen(body)};
    struct dlf_signatures s = {.body_size = t.size};
    struct dlf_err err;
    memcpy(t.bytes, body, t.size);
    for (unsigned i = 0; i < 2; i++) {
        struct dlf_secret_key key = rfc_key(i);
        if (by >> i & 1)
            assert_works(dlf_signatures_add(&s, &key, prefix, t.bytes, &err), err);
    }
    int n = dlf_signatures_write(&s, t.bytes + t.size, sizeof(t.bytes) - t.size);
    assert_int_equal(n, s.count * DLF_SIGNATURE_LINE);
    t.size += (size_t)n;
    return t;
}

static struct dlf_keys trust(unsigned which)
{
    struct dlf_keys keys = {.count = 0};
    for (unsigned i = 0; i < 2; i++) {
        struct dlf_secret_key key = rfc_key(i);
        if (which >> i & 1)
            dlf_keys_add(&keys, &key.public, NULL);
    }
    return keys;
}

/* From an exact allocation: reading past the text is seen. */
static int64_t verify(const struct text *t, unsigned trusted, struct dlf_err *err)
{
    struct dlf_keys keys = trust(trusted);
    char by[DLF_KEY_ID_HEX + 1] = "";
    char *exact = malloc(t->size ? t->size : 1);
    assert_non_null(exact);
    memcpy(exact, t->bytes, t->size);
    int64_t n = dlf_signed_verify(&keys, DLF_SIGNS_MANIFEST, exact, t->size, by, err);
    free(exact);
    assert_true(n < 0 || strlen(by) == DLF_KEY_ID_HEX);
    return n;
}

static void one_trusted_signature_is_enough(void **state)
{
    (void)state;
    struct dlf_err err = {""};
    for (unsigned by = 1; by < 4; by++) {
        struct text t = sign(BODY, DLF_SIGNS_MANIFEST, by);
        for (unsigned trusted = 1; trusted < 4; trusted++) {
            int64_t n = verify(&t, trusted, &err);
            if (by & trusted)
                assert_int_equal(n, strlen(BODY));
            else
                assert_int_equal(n, -EKEYREJECTED);
        }
    }
}

static void who_signed_is_told(void **state)
{
    (void)state;
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 3);
    struct dlf_keys keys = trust(2);
    struct dlf_secret_key key = rfc_key(1);
    char by[DLF_KEY_ID_HEX + 1];
    assert_true(dlf_signed_verify(&keys, DLF_SIGNS_MANIFEST, t.bytes, t.size, by, NULL) > 0);
    assert_string_equal(by, key.public.id);
}

static void signing_again_changes_nothing(void **state)
{
    (void)state;
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 3);
    struct dlf_secret_key key = rfc_key(0);
    struct dlf_signatures s;
    struct dlf_err err;
    char again[DLF_SIGNATURES_TEXT_MAX + 1];
    assert_works(dlf_signatures_read(&s, t.bytes, t.size, &err), err);
    assert_int_equal(s.count, 2);
    s.list[0].bytes[5] ^= 1; /* replaced in its place */
    assert_works(dlf_signatures_add(&s, &key, DLF_SIGNS_MANIFEST, t.bytes, &err), err);
    int n = dlf_signatures_write(&s, again, sizeof(again));
    assert_int_equal(n, t.size - strlen(BODY));
    assert_memory_equal(again, t.bytes + strlen(BODY), n);
    assert_int_equal(dlf_signatures_write(&s, again, (size_t)n), -EINVAL);
}

static void an_unsigned_text_is_refused(void **state)
{
    (void)state;
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 0);
    struct dlf_err err;
    assert_refused(verify(&t, 3, &err), EKEYREJECTED, err,
                   "it is not signed, and only signed ones are trusted");
    t.size = 0;
    assert_int_equal(verify(&t, 3, &err), -EKEYREJECTED);
}

static void a_stranger_is_refused_by_name(void **state)
{
    (void)state;
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 1);
    struct dlf_err err;
    assert_refused(verify(&t, 2, &err), EKEYREJECTED, err,
                   "it is signed by key 21fe31dfa154a261, and trusted is only 39f713d0a644253f");
    assert_refused(verify(&t, 0, &err), EKEYREJECTED, err,
                   "it is signed by key 21fe31dfa154a261, and trusted is only nobody");
}

/* A key's id is a hint: it is worth nothing without the key. */
static void a_borrowed_id_is_refused(void **state)
{
    (void)state;
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 1);
    struct dlf_secret_key other = rfc_key(1);
    struct dlf_err err;
    memcpy(t.bytes + strlen(BODY) + 10, other.public.id, DLF_KEY_ID_HEX);
    assert_refused(verify(&t, 2, &err), EKEYREJECTED, err,
                   "the signature by key 39f713d0a644253f is wrong: these are not the bytes that "
                   "were signed");
}

/* A signature is not valid for another body, another kind of text, or more bytes. */
static void a_signature_is_of_these_bytes_only(void **state)
{
    (void)state;
    struct text moved = sign("another\nbody\n", DLF_SIGNS_MANIFEST, 1);
    struct text kind = sign(BODY, DLF_SIGNS_SUMS, 1);
    struct text bare = sign(BODY, "", 1);
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 1);
    struct text swapped = {.size = t.size};
    memcpy(swapped.bytes, BODY, strlen(BODY));
    memcpy(swapped.bytes + strlen(BODY), moved.bytes + strlen("another\nbody\n"),
           DLF_SIGNATURE_LINE);
    assert_int_equal(verify(&t, 1, NULL), strlen(BODY));
    assert_int_equal(verify(&swapped, 1, NULL), -EKEYREJECTED);
    assert_int_equal(verify(&kind, 1, NULL), -EKEYREJECTED);
    assert_int_equal(verify(&bare, 1, NULL), -EKEYREJECTED);
}

static void every_flipped_bit_and_every_cut_is_refused(void **state)
{
    (void)state;
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 1);
    for (size_t i = 0; i < t.size * 8; i++) {
        struct text flipped = t;
        flipped.bytes[i / 8] = (char)(flipped.bytes[i / 8] ^ (1 << i % 8));
        assert_true(verify(&flipped, 1, NULL) < 0);
    }
    struct text cut = t;
    for (cut.size = 0; cut.size < t.size; cut.size++)
        assert_true(verify(&cut, 1, NULL) < 0);
}

static void a_flipped_signature_does_not_spoil_the_other(void **state)
{
    (void)state;
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 3);
    size_t at = strlen(BODY) + 40; /* in the first one's base64 */
    t.bytes[at] = t.bytes[at] == 'A' ? 'B' : 'A';
    assert_int_equal(verify(&t, 3, NULL), strlen(BODY));
    assert_int_equal(verify(&t, 1, NULL), -EKEYREJECTED);
}

/* Refused by form, with and without keys. */
static void refused_form(const char *text, int code, const char *said)
{
    struct text t = {.size = strlen(text)};
    struct dlf_signatures s;
    struct dlf_err err;
    memcpy(t.bytes, text, t.size);
    assert_refused(dlf_signatures_read(&s, t.bytes, t.size, &err), code, err, said);
    assert_refused(verify(&t, 3, &err), code, err, said);
}

static void the_form_is_strict(void **state)
{
    (void)state;
    static const char odd[] = "line 3: not a signature (\"signature KEYID BASE64\" and LF), and "
                              "nothing else may be here";
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 1);
    char *line = t.bytes + strlen(BODY);
    char text[16384];
    struct {
        const char *what;
        int at, cut;
        const char *put;
    } changes[] = {
        {"CR LF", DLF_SIGNATURE_LINE - 1, 1, "\r\n"},
        {"no LF", DLF_SIGNATURE_LINE - 1, 1, ""},
        {"two spaces", 9, 1, "  "},
        {"short key id", 10, 1, ""},
        {"upper-case key id", 10, 1, "A"},
        {"truncated base64", 30, 4, ""},
        {"no padding", DLF_SIGNATURE_LINE - 3, 2, ""},
        {"a space in the base64", 40, 1, " "},
        {"bits that are not zero under the padding", DLF_SIGNATURE_LINE - 4, 1, "B"},
        {"url-safe base64", 40, 1, "_"},
        {"a word behind", DLF_SIGNATURE_LINE - 1, 1, " x\n"},
        {"nothing but the word", 10, DLF_SIGNATURE_LINE - 11, ""},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        int rest = changes[i].at + changes[i].cut;
        snprintf(text, sizeof(text), "%s%.*s%s%s", BODY, changes[i].at, line, changes[i].put,
                 line + rest);
        refused_form(text, EBADMSG, odd);
    }
    snprintf(text, sizeof(text), "%s", line);
    refused_form(text, EBADMSG, "line 1: a signature, but nothing that it could sign");
    snprintf(text, sizeof(text), "%s%s%s", BODY, line, line);
    refused_form(text, EBADMSG, "line 4: a second signature by key 21fe31dfa154a261");
    /* Nothing is smuggled in behind or between. */
    snprintf(text, sizeof(text), "%s%s%s", BODY, line, "serial 9\n");
    refused_form(
        text, EBADMSG,
        "line 4: not a signature (\"signature KEYID BASE64\" and LF), and nothing else may "
        "be here");
    snprintf(text, sizeof(text), "first line\n%ssecond line\n%s", line, line);
    refused_form(text, EBADMSG, odd);
    snprintf(text, sizeof(text), "%s%s\n", BODY, line);
    refused_form(
        text, EBADMSG,
        "line 4: not a signature (\"signature KEYID BASE64\" and LF), and nothing else may "
        "be here");
}

static void sixteen_signatures_and_no_more(void **state)
{
    (void)state;
    struct text t = sign(BODY, DLF_SIGNS_MANIFEST, 1);
    struct dlf_signatures s;
    struct dlf_err err;
    assert_works(dlf_signatures_read(&s, t.bytes, t.size, &err), err);
    for (s.count = 1; s.count < DLF_SIGNATURES_MAX; s.count++) {
        s.list[s.count] = s.list[0];
        snprintf(s.list[s.count].key_id, sizeof(s.list[0].key_id), "%016x", s.count);
    }
    size_t room = sizeof(t.bytes) - s.body_size;
    int n = dlf_signatures_write(&s, t.bytes + s.body_size, room);
    assert_int_equal(n, DLF_SIGNATURES_TEXT_MAX);
    t.size = s.body_size + (size_t)n;
    assert_int_equal(verify(&t, 1, &err), strlen(BODY));
    /* A seventeenth: none is added, none is read. */
    struct dlf_secret_key key = rfc_key(1);
    assert_refused(dlf_signatures_add(&s, &key, DLF_SIGNS_MANIFEST, t.bytes, &err), EFBIG, err,
                   "it has 16 signatures, and more are not allowed");
    memcpy(t.bytes + t.size, t.bytes + s.body_size, DLF_SIGNATURE_LINE);
    memset(t.bytes + t.size + 10, 'f', DLF_KEY_ID_HEX);
    t.size += DLF_SIGNATURE_LINE;
    assert_refused(verify(&t, 1, &err), EFBIG, err, "line 19: more than 16 signatures");
}

/* As any manifest reader without keys sees them. */
static void a_manifest_may_be_signed(void **state)
{
    (void)state;
    struct golden_boot g;
    struct dlf_manifest m;
    struct dlf_err err;
    golden_boot_make(&g);
    struct text t = sign(g.text, DLF_SIGNS_MANIFEST, 3);
    assert_works(dlf_manifest_parse(&m, t.bytes, t.size, &err), err);
    assert_string_equal(m.name, "golden-boot");
    assert_int_equal(m.signatures.count, 2);
    char again[sizeof(t.bytes)];
    assert_int_equal(dlf_manifest_format(&m, again, sizeof(again)), t.size);
    assert_memory_equal(again, t.bytes, t.size);
    for (size_t room = 0; room <= t.size; room++)
        assert_int_equal(dlf_manifest_format(&m, again, room), -EINVAL);
    assert_refused(dlf_manifest_parse(&m, t.bytes, t.size - 1, &err), EBADMSG, err,
                   "line 11: not a signature (\"signature KEYID BASE64\" and LF), and nothing else "
                   "may be here");
    /* Only behind the last line of the body. */
    size_t at = g.text_size - 40;
    struct text early = sign("dlfuse-manifest 1\n", DLF_SIGNS_MANIFEST, 1);
    assert_int_equal(dlf_manifest_parse(&m, early.bytes, early.size, &err), -EBADMSG);
    memmove(t.bytes + at, t.bytes + g.text_size, t.size - g.text_size);
    assert_int_equal(dlf_manifest_parse(&m, t.bytes, t.size - 40, &err), -EBADMSG);
}

/* The golden signed manifest, byte for byte; by-hand-signature makes and checks it with openssl. */
static void the_golden_one_is_written_and_verified(void **state)
{
    (void)state;
    struct golden *g = golden_make();
    struct dlf_err err;
    size_t size = 0;
    memcpy(g->manifest.name, "golden-signed", sizeof("golden-signed"));
    struct text t;
    for (unsigned i = 0; i < 2; i++) {
        struct dlf_secret_key key = rfc_key(i);
        assert_works(dlf_manifest_sign(&g->manifest, &key, &err), err);
    }
    size_t body = g->manifest.signatures.body_size;
    int n = dlf_manifest_format(&g->manifest, t.bytes, sizeof(t.bytes));
    assert_int_equal(n, body + 2 * DLF_SIGNATURE_LINE);
    t.size = (size_t)n;
    g->manifest.created = UINT64_MAX;
    struct dlf_secret_key key = rfc_key(0);
    assert_refused(dlf_manifest_sign(&g->manifest, &key, &err), EINVAL, err,
                   "cannot write the manifest of golden-signed");
    golden_free(g);
    if (getenv("DLFUSE_GOLDEN_WRITE")) {
        char path[DLF_OBJECT_PATH_MAX];
        struct dlf_sha256 digest = dlf_sha256(t.bytes, t.size);
        dlf_object_path(path, "manifest", &digest);
        assert_int_equal(golden_write(SIGNED, t.bytes, t.size), 0);
        assert_int_equal(golden_write(path, t.bytes, t.size), 0);
    }
    uint8_t *data = golden_read(SIGNED, &size);
    assert_non_null(data);
    assert_int_equal(size, t.size);
    assert_memory_equal(data, t.bytes, size);
    free(data);
    assert_int_equal(verify(&t, 2, &err), body);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_trusted_signature_is_enough),
        cmocka_unit_test(who_signed_is_told),
        cmocka_unit_test(signing_again_changes_nothing),
        cmocka_unit_test(an_unsigned_text_is_refused),
        cmocka_unit_test(a_stranger_is_refused_by_name),
        cmocka_unit_test(a_borrowed_id_is_refused),
        cmocka_unit_test(a_signature_is_of_these_bytes_only),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_refused),
        cmocka_unit_test(a_flipped_signature_does_not_spoil_the_other),
        cmocka_unit_test(the_form_is_strict),
        cmocka_unit_test(sixteen_signatures_and_no_more),
        cmocka_unit_test(a_manifest_may_be_signed),
        cmocka_unit_test(the_golden_one_is_written_and_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
