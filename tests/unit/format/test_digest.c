/* Digests against published values, and the hexadecimal form. */
#include "check.h"

#include "format/digest.h"

static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty_hex[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void sha256_has_the_published_values(void **state)
{
    (void)state;
    char hex[DLF_SHA256_HEX + 1];
    struct dlf_sha256 digest = dlf_sha256("abc", 3);
    dlf_sha256_hex(&digest, hex);
    assert_string_equal(hex, abc_hex);
    digest = dlf_sha256("", 0);
    dlf_sha256_hex(&digest, hex);
    assert_string_equal(hex, empty_hex);
}

static void sha256_in_pieces_is_the_same(void **state)
{
    (void)state;
    struct dlf_sha256_ctx *ctx = dlf_sha256_begin();
    assert_non_null(ctx);
    dlf_sha256_add(ctx, "a", 1);
    dlf_sha256_add(ctx, "", 0);
    dlf_sha256_add(ctx, "bc", 2);
    struct dlf_sha256 pieces = dlf_sha256_end(ctx);
    struct dlf_sha256 whole = dlf_sha256("abc", 3);
    assert_true(dlf_sha256_equal(&pieces, &whole));
    pieces.bytes[DLF_SHA256_SIZE - 1] ^= 1;
    assert_false(dlf_sha256_equal(&pieces, &whole));
}

static void hex_reads_back(void **state)
{
    (void)state;
    struct dlf_sha256 digest;
    struct dlf_sha256 whole = dlf_sha256("abc", 3);
    assert_true(dlf_sha256_parse(&digest, abc_hex));
    assert_true(dlf_sha256_equal(&digest, &whole));
}

static void hex_refuses_all_but_64_lower_case_digits(void **state)
{
    (void)state;
    struct dlf_sha256 before = dlf_sha256("abc", 3);
    struct dlf_sha256 digest = before;
    char text[DLF_SHA256_HEX + 2];
    for (size_t i = 0; i < DLF_SHA256_HEX; i++) {
        static const char wrong[] = {'g', 'A', ' ', '/', ':', '`', 0, '\n', (char)0xff};
        for (size_t n = 0; n < sizeof(wrong); n++) {
            memcpy(text, empty_hex, sizeof(empty_hex));
            text[i] = wrong[n];
            assert_false(dlf_sha256_parse(&digest, text));
        }
    }
    snprintf(text, sizeof(text), "%s0", empty_hex);
    assert_false(dlf_sha256_parse(&digest, text));
    assert_false(dlf_sha256_parse(&digest, ""));
    assert_memory_equal(&digest, &before, sizeof(digest));
}

static void xxh3_has_the_published_values(void **state)
{
    (void)state;
    /* XXH3_64bits of nothing, seed 0, as the xxHash specification's vectors have it. */
    assert_true(dlf_xxh3("", 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(dlf_xxh3("abc", 3) == UINT64_C(0x78af5f94892f3950));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_has_the_published_values),
        cmocka_unit_test(sha256_in_pieces_is_the_same),
        cmocka_unit_test(hex_reads_back),
        cmocka_unit_test(hex_refuses_all_but_64_lower_case_digits),
        cmocka_unit_test(xxh3_has_the_published_values),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
