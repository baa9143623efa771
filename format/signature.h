/*
 * A signed text: any lines (the body), then one line for each signature, up to the end:
 *
 *      signature KEYID BASE64
 *
 * Each is an Ed25519 signature over a prefix and the raw bytes of the body. The prefix names the
 * kind of text, so a signature of one kind of text never passes as one of another. Several
 * signatures let keys rotate: one by a trusted key is enough. docs/FORMAT.md has the grammar and
 * how to make and check one with the openssl program.
 *
 * To read any text that must be signed:
 *
 *      int64_t body = dlf_signed_verify(&keys, PREFIX, text, size, signed_by, &err);
 *      if (body < 0) refuse;        otherwise parse text[0] to text[body - 1], and nothing else
 *
 * Before the signature is verified, only the body's end is looked for. All functions are pure and
 * may be called from any thread.
 */
#ifndef DLFUSE_FORMAT_SIGNATURE_H
#define DLFUSE_FORMAT_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "format/err.h"
#include "format/key.h"

#define DLF_SIGNATURE_SIZE 64
#define DLF_SIGNATURES_MAX 16

/* "signature ", a key's id, a space, 88 digits of base64, LF. */
#define DLF_SIGNATURE_LINE (10 + DLF_KEY_ID_HEX + 1 + 88 + 1)
#define DLF_SIGNATURES_TEXT_MAX (DLF_SIGNATURES_MAX * DLF_SIGNATURE_LINE)

/* One prefix for each kind of text: a manifest; lines "SHA256 NAME", as sha256sum prints them. */
#define DLF_SIGNS_MANIFEST "dlfuse-manifest-signature 1\n"
#define DLF_SIGNS_SUMS "dlfuse-sums-signature 1\n"

struct dlf_signature {
    char key_id[DLF_KEY_ID_HEX + 1];
    uint8_t bytes[DLF_SIGNATURE_SIZE];
};

struct dlf_signatures {
    size_t body_size; /* bytes before the first signature line */
    unsigned count;   /* 0: not signed */
    struct dlf_signature list[DLF_SIGNATURES_MAX];
};

/*
 * Finds the body's end and reads the lines behind it; verifies nothing. -EBADMSG with the line's
 * number for a line that is not exactly a signature (also CR LF, base64 that is not canonical, a
 * missing LF at the end). The same for any other text behind the first signature, for two
 * signatures by one key, and for signatures without a body. -EFBIG for more than
 * DLF_SIGNATURES_MAX.
 */
int dlf_signatures_read(struct dlf_signatures *signatures, const char *text, size_t size,
                        struct dlf_err *err);

/* Writes the lines, and a NUL behind. Returns their length, or -EINVAL when room is too small. */
int dlf_signatures_write(const struct dlf_signatures *signatures, char *out, size_t room);

/*
 * Signs the body, which must end in LF, of signatures->body_size bytes: adds the key's signature,
 * or replaces its earlier one. The same key and bytes give the same signature. -EFBIG when
 * DLF_SIGNATURES_MAX are there, -ENOMEM, -EIO when libcrypto fails.
 */
int dlf_signatures_add(struct dlf_signatures *signatures, const struct dlf_secret_key *key,
                       const char *prefix, const char *body, struct dlf_err *err);

/*
 * The body's length when one of the keys has signed prefix and body; signed_by gets that key's id.
 * -EKEYREJECTED when there is no signature, none by a trusted key, or only wrong ones;
 * dlf_signatures_read's codes; -ENOMEM.
 */
int64_t dlf_signed_verify(const struct dlf_keys *keys, const char *prefix, const char *text,
                          size_t size, char signed_by[DLF_KEY_ID_HEX + 1], struct dlf_err *err);

#endif
