/*
 * Ed25519 keys as PEM files: a public key (SubjectPublicKeyInfo, "PUBLIC KEY") that a reader
 * trusts, a secret one (PKCS#8 without a passphrase, "PRIVATE KEY") that a writer signs with.
 * `openssl genpkey` and `openssl pkey -pubout` write both. Reading the file is the caller's.
 *
 * All functions are pure and may be called from any thread.
 */
#ifndef DLFUSE_FORMAT_KEY_H
#define DLFUSE_FORMAT_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "format/err.h"

#define DLF_KEY_SIZE 32

/* Bytes of a PEM file; one has about 120, or more with a comment in front. */
#define DLF_KEY_FILE_MAX ((size_t)16 << 10)

/* A key's short name: the first 16 hexadecimal digits of the SHA-256 of its 32 public bytes. It
 * selects the key to try, and proves nothing. */
#define DLF_KEY_ID_HEX 16

struct dlf_public_key {
    uint8_t bytes[DLF_KEY_SIZE];
    char id[DLF_KEY_ID_HEX + 1];
};

struct dlf_secret_key {
    uint8_t seed[DLF_KEY_SIZE];
    struct dlf_public_key public;
};

/*
 * Read the one key of a PEM text. -EBADMSG when the text holds something else, two keys, or a
 * broken key; -ENOTSUP for a key of another type, which err names. *key is untouched on failure.
 */
int dlf_public_key_read(struct dlf_public_key *key, const char *pem, size_t size,
                        struct dlf_err *err);
int dlf_secret_key_read(struct dlf_secret_key *key, const char *pem, size_t size,
                        struct dlf_err *err);

/* Overwrites the key; compilers do not optimise that away. */
void dlf_secret_key_wipe(struct dlf_secret_key *key);

/* Keys that a reader trusts: any one of them is enough. */
#define DLF_KEYS_MAX 64
struct dlf_keys {
    unsigned count;
    struct dlf_public_key list[DLF_KEYS_MAX];
};

/* Adds a key, once; -EFBIG when there are DLF_KEYS_MAX already. */
int dlf_keys_add(struct dlf_keys *keys, const struct dlf_public_key *key, struct dlf_err *err);

#endif
