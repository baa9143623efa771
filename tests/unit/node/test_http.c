/* Files of certificates and header lines: accepted ones, and the message of each refusal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/http.h"

static char path[] = "/tmp/dlfuse-http.XXXXXX";

static int make_file(void **state)
{
    (void)state;
    memcpy(strrchr(path, '.') + 1, "XXXXXX", 6);
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const char *text, size_t size, mode_t mode)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, size, out), size);
    fclose(out);
    assert_int_equal(chmod(path, mode), 0);
}

/* The line is "-o OPTION=FILE" with this behind it. */
static void refused(const char *option, int code, const char *says)
{
    struct dlf_http http = {.proxy = NULL};
    struct dlf_err err;
    char wanted[300];
    if (strcmp(option, "ca") == 0)
        http.ca_from = path;
    else
        http.headers_from = path;
    snprintf(wanted, sizeof(wanted), "-o %s=%s: %s", option, path, says);
    assert_int_equal(dlf_http_open(&http, &err), -code);
    assert_string_equal(err.msg, wanted);
    assert_null(http.ca);
    assert_null(http.headers);
    assert_null(http.header_lines[0]);
}

static void refused_headers(const char *text, int code, const char *says)
{
    put(text, strlen(text), 0600);
    refused("headers", code, says);
}

static void nothing_is_asked_for(void **state)
{
    struct dlf_http http = {.proxy = NULL};
    struct dlf_err err;
    (void)state;
    assert_int_equal(dlf_http_open(&http, &err), 0);
    assert_null(http.ca);
    assert_null(http.header_lines[0]);
    dlf_http_close(&http);
}

static void header_lines(void **state)
{
    static const char text[] = "Authorization: Bearer s3cret\n\nX-Two:2\n";
    struct dlf_http http = {.headers_from = path};
    struct dlf_err err;
    (void)state;
    put(text, sizeof(text) - 1, 0400);
    assert_int_equal(dlf_http_open(&http, &err), 0);
    assert_string_equal(http.header_lines[0], "Authorization: Bearer s3cret");
    assert_string_equal(http.header_lines[1], "X-Two:2");
    assert_null(http.header_lines[2]);
    dlf_http_close(&http);
    assert_null(http.headers);
    assert_null(http.header_lines[0]);
}

static void sixteen_header_lines(void **state)
{
    struct dlf_http http = {.headers_from = path};
    struct dlf_err err;
    char text[17 * 5 + 1] = "";
    (void)state;
    for (unsigned i = 0; i < 17; i++)
        memcpy(text + 5 * (size_t)i, "A: b\n", 5);
    put(text, 16 * 5, 0600);
    assert_int_equal(dlf_http_open(&http, &err), 0);
    assert_string_equal(http.header_lines[15], "A: b");
    assert_null(http.header_lines[16]);
    dlf_http_close(&http);
    refused_headers(text, EFBIG, "more than 16 header lines");
}

static void header_lines_of_no_use(void **state)
{
    static const char secret[] = "A: s3cret\nnonsense s3cret\n";
    (void)state;
    refused_headers(secret, EBADMSG, "line 2 is not \"Name: value\"");
    refused_headers(": x\n", EBADMSG, "line 1 is not \"Name: value\"");
    refused_headers("A B: x\n", EBADMSG, "line 1 is not \"Name: value\"");
    refused_headers("A;\n", EBADMSG, "line 1 is not \"Name: value\"");
    refused_headers("A: \t\n", EBADMSG, "line 1 has no value");
    refused_headers("A: x\r\n", EBADMSG, "line 1 has a control character");
    refused_headers("\nRANGE: bytes=0-1\n", EBADMSG, "line 2 is a header that dlfuse sets itself");
    refused_headers("\n\n", EBADMSG, "no header line in it");
    refused_headers("", EBADMSG, "no header line in it");
    put("A: b\0\n", 6, 0600);
    refused("headers", EBADMSG, "not a text file");
}

static void header_lines_for_all_to_read(void **state)
{
    (void)state;
    put("A: b\n", 5, 0640);
    refused("headers", EACCES, "others than its owner may use it (mode 640); chmod 600");
    put("A: b\n", 5, 0604);
    refused("headers", EACCES, "others than its owner may use it (mode 604); chmod 600");
    put("A: b\n", 5, 0620);
    refused("headers", EACCES, "others than its owner may use it (mode 620); chmod 600");
}

static void files_of_no_use(void **state)
{
    struct dlf_http http = {.headers_from = "/nonexistent/file"};
    struct dlf_err err;
    char *large = calloc(1, DLF_HTTP_HEADERS_MAX + 1);
    (void)state;
    assert_non_null(large);
    memset(large, 'a', DLF_HTTP_HEADERS_MAX + 1);
    put(large, DLF_HTTP_HEADERS_MAX + 1, 0600);
    refused("headers", EFBIG, "larger than 16384 bytes");
    free(large);
    assert_int_equal(dlf_http_open(&http, &err), -ENOENT);
    assert_string_equal(err.msg, "-o headers=/nonexistent/file: No such file or directory");
    http = (struct dlf_http){.ca_from = "/tmp"};
    assert_int_equal(dlf_http_open(&http, &err), -EINVAL);
    assert_string_equal(err.msg, "-o ca=/tmp: not a regular file");
}

static void certificates(void **state)
{
    static const char pem[] = "about it\n-----BEGIN CERTIFICATE-----\nAAAA\n";
    struct dlf_http http = {.ca_from = path};
    struct dlf_err err;
    (void)state;
    put(pem, sizeof(pem) - 1, 0644);
    assert_int_equal(dlf_http_open(&http, &err), 0);
    assert_int_equal(http.ca_size, sizeof(pem) - 1);
    assert_string_equal(http.ca, pem);
    dlf_http_close(&http);
    put("", 0, 0644);
    refused("ca", EBADMSG, "no PEM certificate (-----BEGIN CERTIFICATE-----) in it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_asked_for),
        cmocka_unit_test(header_lines),
        cmocka_unit_test(sixteen_header_lines),
        cmocka_unit_test(header_lines_of_no_use),
        cmocka_unit_test(header_lines_for_all_to_read),
        cmocka_unit_test(files_of_no_use),
        cmocka_unit_test(certificates),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
