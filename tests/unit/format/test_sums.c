/* Checksums of files: the lines that sha256sum prints, and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/sums.h"

#define ONES "1111111111111111111111111111111111111111111111111111111111111111"
#define TWOS "2222222222222222222222222222222222222222222222222222222222222222"

/* Returns the code; *first is the digest's first byte if the name was found, else 7. */
static int find(const char *text, const char *name, uint8_t *first)
{
    struct dlf_sha256 digest = {{7}};
    struct dlf_err err = {""};
    int rc = dlf_sums_find(text, strlen(text), name, &digest, &err);
    assert_true(rc == 0 || err.msg[0]);
    assert_true(rc == 0 || digest.bytes[0] == 7);
    *first = digest.bytes[0];
    return rc;
}

static void test_found(void **state)
{
    uint8_t first;
    (void)state;
    assert_int_equal(find(ONES "  a\n" TWOS "  b\n", "a", &first), 0);
    assert_int_equal(first, 0x11);
    assert_int_equal(find(ONES "  a\n" TWOS " *b c\n", "b c", &first), 0);
    assert_int_equal(first, 0x22);
}

static void test_not_there(void **state)
{
    uint8_t first;
    (void)state;
    assert_int_equal(find("", "a", &first), -ENOENT);
    assert_int_equal(find(ONES "  ab\n", "a", &first), -ENOENT);
    assert_int_equal(find(ONES "  a\n", "ab", &first), -ENOENT);
    assert_int_equal(find(ONES "  ./a\n", "a", &first), -ENOENT);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        ONES "  a",                /* no end */
        ONES "  \n",               /* no name */
        ONES " a\n",               /* one blank */
        ONES "\ta\n",              /* another separator */
        ONES "  a\r\n",            /* CR LF */
        "A" ONES "  a\n",          /* a digit too many */
        "\\" ONES "  a\n",         /* an escaped name */
        "SHA256 (a) = " ONES "\n", /* --tag */
        "\n" ONES "  a\n",         /* an empty line */
        ONES "  a\n\n",            /* behind it */
        ONES "  a\nsignature x\n", /* not a body */
        ONES "  a\n" TWOS "  a\n", /* two of a name */
        ONES "  a\n" ONES "  a\n", /* even the same */
    };
    uint8_t first;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(find(bad[i], "a", &first), -EBADMSG);
    char upper[] = ONES "  a\n";
    upper[3] = 'A';
    assert_int_equal(find(upper, "a", &first), -EBADMSG);

    struct dlf_sha256 digest;
    struct dlf_err err;
    const char nul[] = ONES "  a\0b\n";
    assert_int_equal(dlf_sums_find(nul, sizeof(nul) - 1, "a", &digest, &err), -EBADMSG);
    assert_non_null(strstr(err.msg, "line 1 "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
