/* Error lines: results are negative for any code, lines are cut, new lines can contain old ones. */
#include "check.h"

#include <errno.h>

static void codes_are_negative(void **state)
{
    (void)state;
    struct dlf_err err;
    assert_refused(dlf_fail(&err, EBADMSG, "page %d", 7), EBADMSG, err, "page 7");
    assert_int_equal(dlf_fail(NULL, ENOTSUP, "nobody listens"), -ENOTSUP);
    assert_refused(dlf_fail(&err, 0, "no errno"), EIO, err, "no errno");
    assert_refused(dlf_fail(&err, -EBADMSG, "wrong sign"), EIO, err, "wrong sign");
}

static void the_code_is_taken_before_the_line_is_written(void **state)
{
    (void)state;
    struct dlf_err err;
    errno = ENOENT;
    assert_refused(dlf_fail(&err, errno, "%s", strerror(errno)), ENOENT, err,
                   "No such file or directory");
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    struct dlf_err err;
    char text[2000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    assert_int_equal(dlf_fail(&err, EFBIG, "%s", text), -EFBIG);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void the_line_before_can_be_an_argument(void **state)
{
    (void)state;
    struct dlf_err err;
    dlf_fail(&err, EIO, "timeout");
    assert_refused(dlf_fail(&err, EIO, "http://a/b: %s, tried %d times", err.msg, 3), EIO, err,
                   "http://a/b: timeout, tried 3 times");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_negative),
        cmocka_unit_test(the_code_is_taken_before_the_line_is_written),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(the_line_before_can_be_an_argument),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
