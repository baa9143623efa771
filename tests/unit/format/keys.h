/* Keys for tests: those of RFC 8032, section 7.1, and PEM texts of any key that libcrypto makes. */
#ifndef DLFUSE_TESTS_FORMAT_KEYS_H
#define DLFUSE_TESTS_FORMAT_KEYS_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "format/key.h"

static const uint8_t rfc_seeds[2][DLF_KEY_SIZE] = {
    {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
     0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
     0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60},
    {0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
     0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
     0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb},
};

/* The PEM text of a key, NUL-terminated, into out; its length. */
static inline size_t key_pem(EVP_PKEY *pkey, int secret, char *out, size_t room)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (secret)
        PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    else
        PEM_write_bio_PUBKEY(bio, pkey);
    int n = BIO_read(bio, out, (int)room - 1);
    BIO_free(bio);
    out[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

static inline size_t rfc_pem(unsigned number, int secret, char *out, size_t room)
{
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, rfc_seeds[number], DLF_KEY_SIZE);
    size_t n = key_pem(pkey, secret, out, room);
    EVP_PKEY_free(pkey);
    return n;
}

/* The key, by way of its PEM text. */
static inline struct dlf_secret_key rfc_key(unsigned number)
{
    struct dlf_secret_key key = {{0}, {{0}, {0}}};
    char pem[512];
    size_t n = rfc_pem(number, 1, pem, sizeof(pem));
    dlf_secret_key_read(&key, pem, n, NULL);
    return key;
}

#endif
