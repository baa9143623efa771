/* PEM and DER by libcrypto. Owns nothing; any thread. */
#include "format/key.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "format/digest.h"

#define PUBLIC_LABEL "PUBLIC KEY"
#define SECRET_LABEL "PRIVATE KEY"

/* One block of a PEM text: -----BEGIN label-----, bytes, end. */
struct block {
    char *label;
    char *header;
    unsigned char *der;
    long size;
};

static void block_free(struct block *b)
{
    OPENSSL_free(b->label);
    OPENSSL_free(b->header);
    if (b->der)
        OPENSSL_clear_free(b->der, (size_t)b->size);
}

/* Explains a key file with another label. */
static int wrong_label(const struct block *b, const char *wanted, struct dlf_err *err)
{
    if (strcmp(wanted, PUBLIC_LABEL) == 0 && strstr(b->label, SECRET_LABEL))
        return dlf_fail(err, EBADMSG,
                        "it holds a private key, which must stay where images are signed: a "
                        "public one is needed (openssl pkey -pubout)");
    if (strcmp(b->label, "ENCRYPTED " SECRET_LABEL) == 0)
        return dlf_fail(err, EBADMSG,
                        "the key is encrypted, and nobody can be asked for its passphrase: "
                        "decrypt it (openssl pkey)");
    return dlf_fail(err, EBADMSG, "it holds \"%.40s\", not \"%s\"", b->label, wanted);
}

/* The first block must be the only one and have the label. */
static int read_block(struct block *b, const char *label, const char *pem, size_t size,
                      struct dlf_err *err)
{
    struct block more = {0};
    int rc = 0;
    if (size > DLF_KEY_FILE_MAX)
        return dlf_fail(err, EBADMSG, "not a key: it has over %zu bytes", DLF_KEY_FILE_MAX);
    BIO *bio = BIO_new_mem_buf(pem, (int)size);
    if (!bio)
        return dlf_fail(err, ENOMEM, "out of memory");
    ERR_clear_error();
    if (PEM_read_bio(bio, &b->label, &b->header, &b->der, &b->size) != 1)
        rc = dlf_fail(err, EBADMSG, "not a PEM file with a key");
    else if (strcmp(b->label, label) != 0)
        rc = wrong_label(b, label, err);
    else if (PEM_read_bio(bio, &more.label, &more.header, &more.der, &more.size) == 1)
        rc = dlf_fail(err, EBADMSG, "it holds more than one key: one file for each, please");
    else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        rc = dlf_fail(err, EBADMSG, "there is a damaged block behind the key");
    block_free(&more);
    BIO_free(bio);
    ERR_clear_error();
    return rc;
}

static int check_type(EVP_PKEY *pkey, struct dlf_err *err)
{
    if (EVP_PKEY_id(pkey) == EVP_PKEY_ED25519)
        return 0;
    const char *type = OBJ_nid2sn(EVP_PKEY_id(pkey));
    return dlf_fail(err, ENOTSUP,
                    "a key of type %s; Ed25519 is needed (openssl genpkey "
                    "-algorithm ed25519)",
                    type ? type : "unknown");
}

static int take_public(struct dlf_public_key *key, EVP_PKEY *pkey, struct dlf_err *err)
{
    char hex[DLF_SHA256_HEX + 1];
    size_t size = sizeof(key->bytes);
    if (EVP_PKEY_get_raw_public_key(pkey, key->bytes, &size) != 1 || size != sizeof(key->bytes))
        return dlf_fail(err, EBADMSG, "the key is damaged");
    struct dlf_sha256 digest = dlf_sha256(key->bytes, sizeof(key->bytes));
    int rc = dlf_sha256_check(&digest, err);
    if (rc < 0)
        return rc;
    dlf_sha256_hex(&digest, hex);
    memcpy(key->id, hex, DLF_KEY_ID_HEX);
    key->id[DLF_KEY_ID_HEX] = 0;
    return 0;
}

int dlf_public_key_read(struct dlf_public_key *key, const char *pem, size_t size,
                        struct dlf_err *err)
{
    struct block b = {0};
    struct dlf_public_key found;
    EVP_PKEY *pkey = NULL;
    int rc = read_block(&b, PUBLIC_LABEL, pem, size, err);
    if (rc == 0) {
        const unsigned char *p = b.der;
        pkey = d2i_PUBKEY(NULL, &p, b.size);
        if (!pkey || p != b.der + b.size)
            rc = dlf_fail(err, EBADMSG, "the key is damaged, or of a type that libcrypto lacks");
    }
    if (rc == 0)
        rc = check_type(pkey, err);
    if (rc == 0)
        rc = take_public(&found, pkey, err);
    if (rc == 0)
        *key = found;
    EVP_PKEY_free(pkey);
    block_free(&b);
    ERR_clear_error();
    return rc;
}

int dlf_secret_key_read(struct dlf_secret_key *key, const char *pem, size_t size,
                        struct dlf_err *err)
{
    struct block b = {0};
    struct dlf_secret_key found;
    EVP_PKEY *pkey = NULL;
    size_t seed_size = sizeof(found.seed);
    int rc = read_block(&b, SECRET_LABEL, pem, size, err);
    if (rc == 0) {
        const unsigned char *p = b.der;
        pkey = d2i_AutoPrivateKey(NULL, &p, b.size);
        if (!pkey || p != b.der + b.size)
            rc = dlf_fail(err, EBADMSG, "the key is damaged, or of a type that libcrypto lacks");
    }
    if (rc == 0)
        rc = check_type(pkey, err);
    if (rc == 0)
        rc = take_public(&found.public, pkey, err);
    if (rc == 0 && (EVP_PKEY_get_raw_private_key(pkey, found.seed, &seed_size) != 1 ||
                    seed_size != sizeof(found.seed)))
        rc = dlf_fail(err, EBADMSG, "the key is damaged");
    if (rc == 0)
        *key = found;
    dlf_secret_key_wipe(&found);
    EVP_PKEY_free(pkey);
    block_free(&b);
    ERR_clear_error();
    return rc;
}

void dlf_secret_key_wipe(struct dlf_secret_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

int dlf_keys_add(struct dlf_keys *keys, const struct dlf_public_key *key, struct dlf_err *err)
{
    for (unsigned i = 0; i < keys->count; i++)
        if (memcmp(keys->list[i].bytes, key->bytes, DLF_KEY_SIZE) == 0)
            return 0;
    if (keys->count == DLF_KEYS_MAX)
        return dlf_fail(err, EFBIG, "at most %d keys", DLF_KEYS_MAX);
    keys->list[keys->count++] = *key;
    return 0;
}
