/* Heads of HTTP responses: the test of whether one answers a request. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fuse/answer.h"

static void take(struct dlf_answer *a, const char *line)
{
    dlf_answer_line(a, line, strlen(line));
}

/* The result of a 206 with this line, for bytes 100-199. */
static int check_range(const char *line)
{
    const struct dlf_question q = {.offset = 100, .length = 100};
    struct dlf_answer a = {0};
    struct dlf_err err;
    uint64_t position = 7;
    bool whole = true;
    take(&a, "HTTP/1.1 206 Partial Content\r\n");
    take(&a, line);
    int rc = dlf_answer_check(&a, 206, &q, &position, &whole, &err);
    assert_true(rc < 0 ? position == 7 && whole : position == 100 && !whole);
    return rc;
}

static void test_ranges(void **state)
{
    (void)state;
    assert_int_equal(check_range("Content-Range: bytes 100-199/1000\r\n"), 0);
    assert_int_equal(check_range("content-range:bytes 100-199/*\r\n"), 0);
    assert_int_equal(check_range("Content-Range: bytes 100-198/1000\r\n"), -EBADMSG);
    assert_int_equal(check_range("Content-Range: bytes 0-99/1000\r\n"), -EBADMSG);
    assert_int_equal(check_range("Content-Range: bytes 199-100/1000\r\n"), -EBADMSG);
    assert_int_equal(check_range("Content-Range: bytes 100-199\r\n"), -EBADMSG);
    assert_int_equal(check_range("Content-Range: lines 100-199/1000\r\n"), -EBADMSG);
    assert_int_equal(check_range("Content-Range-Of: bytes 100-199/1000\r\n"), -EBADMSG);
    assert_int_equal(check_range("Content-Range\r\n"), -EBADMSG);
    assert_int_equal(check_range(""), -EBADMSG);
}

static void test_a_new_status_line_forgets(void **state)
{
    struct dlf_answer a = {0};
    (void)state;
    take(&a, "Content-Range: bytes 1-2/3\r\n");
    take(&a, "Content-Encoding: gzip\r\n");
    take(&a, "Retry-After: 3\r\n");
    take(&a, "Content-Length: 3\r\n");
    take(&a, "ETag: \"x\"\r\n");
    assert_true(a.has_length && a.has_total && a.etag[0]);
    assert_true(a.has_range && a.coding[0] && dlf_answer_retry_after_ms(&a) == 3000);
    take(&a, "HTTP/1.1 200 OK\r\n");
    assert_true(!a.has_length && !a.has_total && !a.etag[0]);
    assert_true(!a.has_range && !a.coding[0] && dlf_answer_retry_after_ms(&a) == 0);
}

static int check_status(long status, uint64_t length, bool encoded, bool *whole)
{
    const struct dlf_question q = {.offset = 0, .length = length};
    struct dlf_answer a = {0};
    snprintf(a.coding, sizeof(a.coding), "%s", encoded ? "gzip" : "");
    struct dlf_err err = {""};
    uint64_t position;
    int rc = dlf_answer_check(&a, status, &q, &position, whole, &err);
    assert_true(rc == 0 || err.msg[0]);
    return rc;
}

static void test_statuses(void **state)
{
    bool whole = false;
    (void)state;
    assert_int_equal(check_status(200, 0, false, &whole), 0);
    assert_false(whole);
    assert_int_equal(check_status(200, 10, false, &whole), 0);
    assert_true(whole);
    assert_int_equal(check_status(200, 0, true, &whole), -EBADMSG);
    assert_int_equal(check_status(206, 0, false, &whole), -EBADMSG);
    assert_int_equal(check_status(404, 10, false, &whole), -ENOENT);
    assert_int_equal(check_status(403, 10, false, &whole), -ENOENT);
    assert_int_equal(check_status(410, 10, false, &whole), -ENOENT);
    assert_int_equal(check_status(416, 10, false, &whole), -EBADMSG);
    static const long broken[] = {0, 100, 204, 302, 304, 400, 401, 407, 429, 500, 503, 999};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        assert_int_equal(check_status(broken[i], 10, false, &whole), -EIO);
    assert_true(dlf_status_redirects(301) && dlf_status_redirects(308));
    assert_false(dlf_status_redirects(304) || dlf_status_redirects(300));
}

/* The result of a plain file's response; a 206 is from offset 100 on. */
static int check_named(long status, const char *name, uint64_t offset, const char *lines[],
                       struct dlf_plain_file *file)
{
    struct dlf_answer a = {0};
    struct dlf_err err = {""};
    uint64_t position = 7;
    for (; *lines; lines++)
        take(&a, *lines);
    *file = (struct dlf_plain_file){.size = 7};
    int rc = dlf_answer_check_plain(&a, status, name, offset, &position, file, &err);
    if (rc < 0)
        assert_true(position == 7 && file->size == 7 && err.msg[0]);
    else
        assert_int_equal(position, status == 206 ? offset : 0);
    return rc;
}

static int check_plain(long status, uint64_t offset, const char *lines[],
                       struct dlf_plain_file *file)
{
    return check_named(status, "root.img", offset, lines, file);
}

static int plain(long status, uint64_t offset, const char *line)
{
    struct dlf_plain_file file;
    const char *lines[] = {line, NULL};
    int rc = check_plain(status, offset, lines, &file);
    if (rc == 0)
        assert_int_equal(file.size, 1000);
    return rc;
}

static void test_plain_files(void **state)
{
    (void)state;
    assert_int_equal(plain(200, 0, "Content-Length: 1000\r\n"), 0);
    assert_int_equal(plain(200, 100, "content-length:1000\r\n"), 0);
    assert_int_equal(plain(206, 100, "Content-Range: bytes 100-999/1000\r\n"), 0);
    /* There is no way to tell when they are complete. */
    assert_int_equal(plain(200, 0, ""), -EBADMSG);
    assert_int_equal(plain(200, 0, "Content-Length: -5\r\n"), -EBADMSG);
    assert_int_equal(plain(200, 0, "Content-Length: 1000, 1000\r\n"), -EBADMSG);
    assert_int_equal(plain(200, 0, "Content-Length: 99999999999999999999999\r\n"), -EBADMSG);
    assert_int_equal(plain(206, 100, "Content-Length: 900\r\n"), -EBADMSG);
    assert_int_equal(plain(206, 100, "Content-Range: bytes 100-999/*\r\n"), -EBADMSG);
    assert_int_equal(plain(206, 100, "Content-Range: bytes 100-999/1000x\r\n"), -EBADMSG);
    /* Not the rest of the file. */
    assert_int_equal(plain(206, 100, "Content-Range: bytes 100-998/1000\r\n"), -EBADMSG);
    assert_int_equal(plain(206, 100, "Content-Range: bytes 99-999/1000\r\n"), -EBADMSG);
    assert_int_equal(plain(206, 100, "Content-Range: bytes 100-1999/1000\r\n"), -EBADMSG);
    assert_int_equal(plain(206, 100, "Content-Range: bytes 100-18446744073709551615/0\r\n"),
                     -EBADMSG);
    assert_int_equal(plain(206, 0, "Content-Range: bytes 0-999/1000\r\n"), -EBADMSG);
    assert_int_equal(plain(404, 0, "Content-Length: 1000\r\n"), -ENOENT);
    assert_int_equal(plain(416, 100, "Content-Range: bytes */50\r\n"), -EBADMSG);
    assert_int_equal(plain(503, 0, "Content-Length: 1000\r\n"), -EIO);
    assert_int_equal(plain(403, 0, "Content-Length: 1000\r\n"), -ENOENT);
}

/* The last chunk marks the end; a Content-Length beside chunks is ignored. */
static void test_chunked_files(void **state)
{
    struct dlf_plain_file file;
    const char *chunked[] = {"Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n", NULL};
    const char *capital[] = {"transfer-encoding: Chunked \r\n", NULL};
    const char *packed[] = {"Content-Length: 1000\r\n", "Transfer-Encoding: gzip\r\n", NULL};
    const char *both[] = {"Transfer-Encoding: gzip, chunked\r\n", NULL};
    const char *rest[] = {"Content-Range: bytes 100-999/1000\r\n", "Transfer-Encoding: chunked\r\n",
                          NULL};
    (void)state;
    assert_int_equal(check_plain(200, 0, chunked, &file), 0);
    assert_true(file.size == DLF_SIZE_UNKNOWN);
    assert_int_equal(check_plain(200, 0, capital, &file), 0);
    assert_true(file.size == DLF_SIZE_UNKNOWN);
    assert_int_equal(check_plain(200, 0, packed, &file), -EBADMSG);
    assert_int_equal(check_plain(200, 0, both, &file), -EBADMSG);
    assert_int_equal(check_plain(206, 100, rest, &file), 0);
    assert_int_equal(file.size, 1000);
}

/* The result of a Content-Encoding for a file of this name. */
static int coded(const char *name, const char *line)
{
    struct dlf_plain_file file;
    const char *lines[] = {"Content-Length: 1000\r\n", line, NULL};
    return check_named(200, name, 0, lines, &file);
}

/* Servers name a file's own compression this way; with any other the body differs from the file. */
static void test_coded_files(void **state)
{
    const struct dlf_question q = {.length = 100};
    struct dlf_answer a = {0};
    struct dlf_err err;
    uint64_t position;
    bool whole;
    (void)state;
    assert_int_equal(coded("root.img.gz", "Content-Encoding: gzip\r\n"), 0);
    assert_int_equal(coded("root.img.gz?sig=a.b", "content-encoding:x-gzip\r\n"), 0);
    assert_int_equal(coded("ROOT.IMG.GZ", "Content-Encoding: GZIP \r\n"), 0);
    assert_int_equal(coded("root.img.zst", "Content-Encoding: zstd\r\n"), 0);
    assert_int_equal(coded("root.img", "Content-Encoding: identity\r\n"), 0);
    assert_int_equal(coded("root.img", "Content-Encoding: gzip\r\n"), -EBADMSG);
    assert_int_equal(coded("root.img?x=.gz", "Content-Encoding: gzip\r\n"), -EBADMSG);
    assert_int_equal(coded("root.img.zst", "Content-Encoding: gzip\r\n"), -EBADMSG);
    assert_int_equal(coded("root.img.gz", "Content-Encoding: gzip, gzip\r\n"), -EBADMSG);
    assert_int_equal(coded("root.img.gz", "Content-Encoding: identity, gzip\r\n"), -EBADMSG);
    assert_int_equal(coded(".gz", "Content-Encoding: gzip\r\n"), -EBADMSG);
    take(&a, "Content-Range: bytes 0-99/1000\r\n");
    take(&a, "Content-Encoding: gzip\r\n");
    assert_int_equal(dlf_answer_check(&a, 206, &q, &position, &whole, &err), -EBADMSG);
}

/* Checks the If-Range value after these lines. */
static void check_validator(const char *etag, const char *modified, const char *expected)
{
    struct dlf_plain_file file;
    const char *lines[] = {"Content-Length: 1000\r\n", etag, modified, NULL};
    assert_int_equal(check_plain(200, 0, lines, &file), 0);
    assert_string_equal(file.validator, expected);
}

static void test_validators(void **state)
{
    static const char day[] = "Last-Modified: Fri, 02 Jan 2015 10:00:00 GMT \r\n";
    static const char date[] = "Fri, 02 Jan 2015 10:00:00 GMT";
    char longest[200] = "ETag: \"";
    (void)state;
    check_validator("ETag: \"abc\"\r\n", day, "\"abc\"");
    check_validator("etag:\t\"\"\r\n", day, "\"\"");
    check_validator("ETag: W/\"abc\"\r\n", day, date);
    check_validator("ETag: abc\r\n", day, date);
    check_validator("ETag: \"\r\n", day, date);
    check_validator("ETag: \"a\x01z\"\r\n", day, date);
    check_validator("", day, date);
    check_validator("", "", "");
    memset(longest + 7, 'x', 150);
    memcpy(longest + 157, "\"\r\n", 4);
    check_validator(longest, day, date);
}

static uint64_t retry_after(const char *date, const char *value)
{
    struct dlf_answer a = {0};
    take(&a, date);
    take(&a, value);
    return dlf_answer_retry_after_ms(&a);
}

static void test_retry_after(void **state)
{
    static const char date[] = "Date: Fri, 02 Jan 2015 10:00:00 GMT\r\n";
    (void)state;
    assert_int_equal(retry_after("", "Retry-After: 120\r\n"), 120000);
    assert_int_equal(retry_after("", "retry-after:0\r\n"), 0);
    assert_int_equal(retry_after("", "Retry-After: -5\r\n"), 0);
    assert_int_equal(retry_after("", "Retry-After: soon\r\n"), 0);
    assert_int_equal(retry_after("", "Retry-After: 99999999999999999999999\r\n"), 86400000);
    /* By the server's clock, years away from this machine's. */
    assert_int_equal(retry_after(date, "Retry-After: Fri, 02 Jan 2015 10:00:30 GMT\r\n"), 30000);
    assert_int_equal(retry_after(date, "Retry-After: Fri, 02 Jan 2015 09:00:00 GMT\r\n"), 0);
    assert_int_equal(retry_after("", "Retry-After: Fri, 02 Jan 2015 10:00:30 GMT\r\n"), 0);
}

static void test_long_lines(void **state)
{
    static char line[100000];
    struct dlf_answer a = {0};
    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "Content-Encoding: ", 18);
    dlf_answer_line(&a, line, sizeof(line));
    assert_true(a.coding[0]);
    dlf_answer_line(&a, line, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),        cmocka_unit_test(test_a_new_status_line_forgets),
        cmocka_unit_test(test_statuses),      cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_long_lines),    cmocka_unit_test(test_plain_files),
        cmocka_unit_test(test_chunked_files), cmocka_unit_test(test_coded_files),
        cmocka_unit_test(test_validators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
