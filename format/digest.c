/* SHA-256 by libcrypto, XXH3 by libxxhash. Owns nothing; any thread. */
#include "format/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct dlf_sha256_ctx {
    EVP_MD_CTX *md;
    bool failed;
};

static const struct dlf_sha256 unmade;

struct dlf_sha256_ctx *dlf_sha256_begin(void)
{
    struct dlf_sha256_ctx *ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return NULL;
    ctx->md = EVP_MD_CTX_new();
    if (!ctx->md || EVP_DigestInit_ex(ctx->md, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(ctx->md);
        free(ctx);
        return NULL;
    }
    return ctx;
}

void dlf_sha256_add(struct dlf_sha256_ctx *ctx, const void *data, size_t size)
{
    ctx->failed |= EVP_DigestUpdate(ctx->md, data, size) != 1;
}

struct dlf_sha256 dlf_sha256_end(struct dlf_sha256_ctx *ctx)
{
    struct dlf_sha256 digest;
    bool made = !ctx->failed && EVP_DigestFinal_ex(ctx->md, digest.bytes, NULL) == 1;
    EVP_MD_CTX_free(ctx->md);
    free(ctx);
    return made ? digest : unmade;
}

struct dlf_sha256 dlf_sha256(const void *data, size_t size)
{
    struct dlf_sha256 digest;
    return EVP_Digest(data, size, digest.bytes, NULL, EVP_sha256(), NULL) == 1 ? digest : unmade;
}

bool dlf_sha256_equal(const struct dlf_sha256 *a, const struct dlf_sha256 *b)
{
    return memcmp(a->bytes, b->bytes, DLF_SHA256_SIZE) == 0;
}

bool dlf_sha256_fits(const struct dlf_sha256 *found, const struct dlf_sha256 *wanted)
{
    return !dlf_sha256_equal(found, &unmade) && dlf_sha256_equal(found, wanted);
}

int dlf_sha256_check(const struct dlf_sha256 *digest, struct dlf_err *err)
{
    if (!dlf_sha256_equal(digest, &unmade))
        return 0;
    return dlf_fail(err, EIO, "libcrypto made no SHA-256: out of memory?");
}

void dlf_sha256_hex(const struct dlf_sha256 *digest, char out[DLF_SHA256_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DLF_SHA256_SIZE; i++) {
        out[2 * i] = digits[digest->bytes[i] >> 4];
        out[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    out[DLF_SHA256_HEX] = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool dlf_sha256_parse(struct dlf_sha256 *digest, const char *hex)
{
    struct dlf_sha256 read;
    for (size_t i = 0; i < DLF_SHA256_SIZE; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0)
            return false;
        read.bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (hex[DLF_SHA256_HEX])
        return false;
    *digest = read;
    return true;
}

uint64_t dlf_xxh3(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}
