/* A libcrypto that makes no digest: nothing fits, and no such digest is written. */
#include "check.h"

#include <errno.h>
#include <openssl/evp.h>

#include "format/digest.h"

/* In place of libcrypto's. */
static bool works;
static int updates;

int EVP_Digest(const void *data, size_t count, unsigned char *md, unsigned int *size,
               const EVP_MD *type, ENGINE *impl)
{
    (void)data;
    (void)count;
    (void)size;
    (void)type;
    (void)impl;
    memset(md, 7, 10); /* and no more */
    return works;
}

int EVP_DigestUpdate(EVP_MD_CTX *ctx, const void *d, size_t cnt)
{
    (void)ctx;
    (void)d;
    (void)cnt;
    return works || ++updates % 2; /* the last one may be right */
}

static void it_fits_nothing(const struct dlf_sha256 *digest)
{
    static const struct dlf_sha256 zeros;
    struct dlf_err err = {""};
    struct dlf_sha256 same = *digest;
    assert_false(dlf_sha256_fits(digest, &same));
    assert_false(dlf_sha256_fits(digest, &zeros));
    assert_int_equal(dlf_sha256_check(digest, &err), -EIO);
    assert_true(err.msg[0]);
    assert_int_equal(dlf_sha256_check(digest, NULL), -EIO);
}

static void a_digest_that_is_not_made(void **state)
{
    (void)state;
    struct dlf_sha256 digest = dlf_sha256("abc", 3);
    it_fits_nothing(&digest);
}

static void in_pieces(void **state)
{
    (void)state;
    struct dlf_sha256_ctx *ctx = dlf_sha256_begin();
    assert_non_null(ctx);
    dlf_sha256_add(ctx, "a", 1);
    dlf_sha256_add(ctx, "b", 1);
    dlf_sha256_add(ctx, "c", 1);
    struct dlf_sha256 digest = dlf_sha256_end(ctx);
    it_fits_nothing(&digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_that_is_not_made),
        cmocka_unit_test(in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
