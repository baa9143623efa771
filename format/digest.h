/*
 * The two hashes of the format. A manifest vouches for the SHA-256 of stored bytes. The XXH3 of
 * content is a chunk's identity for dedup and the end-to-end check after decompression.
 *
 * All functions are pure and may be called from any thread.
 *
 * A SHA-256 that libcrypto failed to make, mostly for lack of memory, is all zeros. It fits
 * nothing; a caller that is about to store a digest asks dlf_sha256_check first.
 */
#ifndef DLFUSE_FORMAT_DIGEST_H
#define DLFUSE_FORMAT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/err.h"

#define DLF_SHA256_SIZE 32
#define DLF_SHA256_HEX (2 * DLF_SHA256_SIZE)

struct dlf_sha256 {
    uint8_t bytes[DLF_SHA256_SIZE];
};

/* An incremental SHA-256; NULL when out of memory. dlf_sha256_end frees it. */
struct dlf_sha256_ctx;
struct dlf_sha256_ctx *dlf_sha256_begin(void);
void dlf_sha256_add(struct dlf_sha256_ctx *ctx, const void *data, size_t size);
struct dlf_sha256 dlf_sha256_end(struct dlf_sha256_ctx *ctx);

struct dlf_sha256 dlf_sha256(const void *data, size_t size);

/* True when both have the same bytes. */
bool dlf_sha256_equal(const struct dlf_sha256 *a, const struct dlf_sha256 *b);

/* True when found was made and equals wanted. */
bool dlf_sha256_fits(const struct dlf_sha256 *found, const struct dlf_sha256 *wanted);

/* -EIO when libcrypto failed to make it. */
int dlf_sha256_check(const struct dlf_sha256 *digest, struct dlf_err *err);

/* Lower-case hexadecimal; out has room for DLF_SHA256_HEX + 1 characters. */
void dlf_sha256_hex(const struct dlf_sha256 *digest, char out[DLF_SHA256_HEX + 1]);

/* Reads exactly DLF_SHA256_HEX lower-case characters; false for anything else. */
bool dlf_sha256_parse(struct dlf_sha256 *digest, const char *hex);

/* XXH3, 64 bits, seed 0. */
uint64_t dlf_xxh3(const void *data, size_t size);

#endif
