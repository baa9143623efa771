/* Keys: those of openssl are read; anything else is refused by name. */
#include "check.h"

#include <errno.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "format/digest.h"
#include "keys.h"

#define ROOM 8192

static void a_public_key_is_read(void **state)
{
    (void)state;
    static const uint8_t wanted[] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7,
                                     0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a};
    struct dlf_public_key key;
    struct dlf_err err;
    char pem[ROOM];
    char hex[DLF_SHA256_HEX + 1];
    size_t n = rfc_pem(0, 0, pem, sizeof(pem));
    assert_works(dlf_public_key_read(&key, pem, n, &err), err);
    assert_memory_equal(key.bytes, wanted, sizeof(wanted));
    struct dlf_sha256 digest = dlf_sha256(key.bytes, sizeof(key.bytes));
    dlf_sha256_hex(&digest, hex);
    assert_int_equal(strlen(key.id), 16);
    assert_memory_equal(key.id, hex, 16);
}

static void a_secret_key_has_its_public_one(void **state)
{
    (void)state;
    struct dlf_public_key public;
    struct dlf_secret_key key;
    struct dlf_err err;
    char pem[ROOM];
    size_t n = rfc_pem(1, 1, pem, sizeof(pem));
    assert_works(dlf_secret_key_read(&key, pem, n, &err), err);
    assert_memory_equal(key.seed, rfc_seeds[1], DLF_KEY_SIZE);
    n = rfc_pem(1, 0, pem, sizeof(pem));
    assert_works(dlf_public_key_read(&public, pem, n, &err), err);
    assert_string_equal(key.public.id, public.id);
    assert_memory_equal(key.public.bytes, public.bytes, DLF_KEY_SIZE);
    dlf_secret_key_wipe(&key);
    assert_int_equal(key.seed[0] | key.seed[31] | key.public.id[0], 0);
}

static void a_comment_in_front_is_allowed(void **state)
{
    (void)state;
    struct dlf_public_key key;
    struct dlf_err err;
    char pem[ROOM] = "the key of 2026\n\n";
    size_t at = strlen(pem);
    size_t n = rfc_pem(0, 0, pem + at, sizeof(pem) - at);
    assert_works(dlf_public_key_read(&key, pem, at + n, &err), err);
}

static void keys_of_the_wrong_kind_are_refused_by_name(void **state)
{
    (void)state;
    struct dlf_public_key public;
    struct dlf_secret_key secret;
    struct dlf_err err;
    char pem[ROOM];
    size_t n = rfc_pem(0, 1, pem, sizeof(pem));
    assert_refused(dlf_public_key_read(&public, pem, n, &err), EBADMSG, err,
                   "it holds a private key, which must stay where images are signed: a public one "
                   "is needed (openssl pkey -pubout)");
    n = rfc_pem(0, 0, pem, sizeof(pem));
    assert_refused(dlf_secret_key_read(&secret, pem, n, &err), EBADMSG, err,
                   "it holds \"PUBLIC KEY\", not \"PRIVATE KEY\"");
    /* Two: which one is meant? */
    memcpy(pem + n, pem, n);
    assert_refused(dlf_public_key_read(&public, pem, 2 * n, &err), EBADMSG, err,
                   "it holds more than one key: one file for each, please");
    /* The second one cut short is no reason to take the first. */
    assert_refused(dlf_public_key_read(&public, pem, 2 * n - 20, &err), EBADMSG, err,
                   "there is a damaged block behind the key");
    static const char encrypted[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n"
                                    "-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_refused(dlf_secret_key_read(&secret, encrypted, sizeof(encrypted) - 1, &err), EBADMSG,
                   err,
                   "the key is encrypted, and nobody can be asked for its passphrase: decrypt it "
                   "(openssl pkey)");
}

/* A key of another type that libcrypto makes. */
static EVP_PKEY *other_key(int type)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(type, NULL);
    assert_non_null(ctx);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    if (type == EVP_PKEY_RSA)
        assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 1024) > 0);
    assert_int_equal(EVP_PKEY_keygen(ctx, &pkey), 1);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static void keys_of_another_type_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        int type;
        const char *text;
    } types[] = {
        {EVP_PKEY_RSA, "rsaEncryption"}, {EVP_PKEY_ED448, "ED448"}, {EVP_PKEY_X25519, "X25519"}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct dlf_public_key public;
        struct dlf_secret_key secret;
        struct dlf_err err;
        char pem[ROOM];
        char wanted[200];
        EVP_PKEY *pkey = other_key(types[i].type);
        snprintf(wanted, sizeof(wanted),
                 "a key of type %s; Ed25519 is needed (openssl genpkey -algorithm ed25519)",
                 types[i].text);
        size_t n = key_pem(pkey, 0, pem, sizeof(pem));
        assert_refused(dlf_public_key_read(&public, pem, n, &err), ENOTSUP, err, wanted);
        n = key_pem(pkey, 1, pem, sizeof(pem));
        assert_refused(dlf_secret_key_read(&secret, pem, n, &err), ENOTSUP, err, wanted);
        EVP_PKEY_free(pkey);
    }
}

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    static char large[DLF_KEY_FILE_MAX + 1];
    struct dlf_public_key key;
    struct dlf_err err;
    char pem[ROOM];
    assert_refused(dlf_public_key_read(&key, "", 0, &err), EBADMSG, err,
                   "not a PEM file with a key");
    assert_refused(dlf_public_key_read(&key, "hello\n", 6, &err), EBADMSG, err,
                   "not a PEM file with a key");
    memset(large, 'x', sizeof(large));
    assert_refused(dlf_public_key_read(&key, large, sizeof(large), &err), EBADMSG, err,
                   "not a key: it has over 16384 bytes");
    static const char broken[] = "-----BEGIN PUBLIC KEY-----\nMAAA\n-----END PUBLIC KEY-----\n";
    assert_refused(dlf_public_key_read(&key, broken, sizeof(broken) - 1, &err), EBADMSG, err,
                   "the key is damaged, or of a type that libcrypto lacks");
    /* Cut anywhere, it is never read as a key; only the last LF may be missing. */
    size_t n = rfc_pem(0, 0, pem, sizeof(pem));
    for (size_t cut = 0; cut < n - 1; cut++)
        assert_true(dlf_public_key_read(&key, pem, cut, NULL) < 0);
}

static void a_key_is_trusted_once(void **state)
{
    (void)state;
    struct dlf_keys keys = {.count = 0};
    struct dlf_secret_key key = rfc_key(0);
    struct dlf_err err;
    assert_works(dlf_keys_add(&keys, &key.public, &err), err);
    assert_works(dlf_keys_add(&keys, &key.public, &err), err);
    assert_int_equal(keys.count, 1);
    for (unsigned i = 1; i < DLF_KEYS_MAX; i++) {
        key.public.bytes[0]++;
        assert_works(dlf_keys_add(&keys, &key.public, &err), err);
    }
    key.public.bytes[1]++;
    assert_refused(dlf_keys_add(&keys, &key.public, &err), EFBIG, err, "at most 64 keys");
    assert_int_equal(keys.count, DLF_KEYS_MAX);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_public_key_is_read),
        cmocka_unit_test(a_secret_key_has_its_public_one),
        cmocka_unit_test(a_comment_in_front_is_allowed),
        cmocka_unit_test(keys_of_the_wrong_kind_are_refused_by_name),
        cmocka_unit_test(keys_of_another_type_are_refused_by_name),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(a_key_is_trusted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
