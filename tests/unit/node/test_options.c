/* Command-line arguments of mount and download. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fuse/options.h"

#define OPTIONS_MAX 256

/* Parses one -o list with a URL and a target. */
static int parse(const char *list, struct dlf_options *o, struct dlf_err *err, char *copy)
{
    /* The options point into the arguments. */
    static char dash[] = "-o";
    static char url[] = "http://h/a.dlfuse";
    static char dir[] = "/mnt";
    char *argv[] = {url, dir, dash, copy};
    snprintf(copy, OPTIONS_MAX, "%s", list);
    return dlf_options_parse(o, 4, argv, err);
}

static void test_sizes(void **state)
{
    uint64_t n = 7;
    uint64_t half = 0;
    (void)state;
    assert_true(dlf_parse_size("0", &n));
    assert_int_equal(n, 0);
    assert_true(dlf_parse_size("24M", &n));
    assert_int_equal(n, 24 << 20);
    assert_true(dlf_parse_size("3K", &n));
    assert_int_equal(n, 3072);
    assert_true(dlf_parse_size("2T", &n));
    assert_int_equal(n, (uint64_t)2 << 40);
    assert_true(dlf_parse_size("18446744073709551615", &n));
    assert_true(dlf_parse_size("100%", &n));
    assert_true(dlf_parse_size("50%", &half));
    assert_in_range(half, n / 2 - 100, n / 2 + 100);
    static const char *const bad[] = {"",
                                      "M",
                                      "-1",
                                      " 1",
                                      "1 ",
                                      "1m",
                                      "1MB",
                                      "0%",
                                      "101%",
                                      "1%%",
                                      "x",
                                      "0x10",
                                      "18446744073709551616",
                                      "18446744073709551615K"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(dlf_parse_size(bad[i], &n));
}

static void test_values(void **state)
{
    struct dlf_options o;
    struct dlf_err err;
    char copy[OPTIONS_MAX];
    (void)state;
    assert_int_equal(parse("ro,_netdev,x-systemd.automount,cache=24M,fill=0,prefetch=0,timeout=9,"
                           "log=kmsg,rootfs,chroot=/run/dlfuse,allow_other,debug,"
                           "trouble=/trouble,room=3K,ending=45,"
                           "mirror=http://m/a\\,b/a.dlfuse",
                           &o, &err, copy),
                     0);
    assert_int_equal(o.cache_bytes, 24 << 20);
    assert_false(o.fill);
    assert_false(o.prefetch);
    assert_int_equal(o.timeout_ms, 9000);
    assert_int_equal(o.ending_ms, 45000);
    assert_int_equal(o.log, DLF_LOG_KMSG);
    assert_true(o.rootfs && o.allow_other && o.debug);
    assert_string_equal(o.chroot, "/run/dlfuse");
    assert_string_equal(o.trouble, "/trouble");
    assert_int_equal(o.room_bytes, 3072);
    assert_int_equal(o.url_count, 2);
    assert_string_equal(o.urls[0], "http://h/a.dlfuse");
    assert_string_equal(o.urls[1], "http://m/a,b/a.dlfuse");
    assert_string_equal(o.target, "/mnt");
}

static void test_trust(void **state)
{
    struct dlf_options o;
    struct dlf_err err;
    char copy[OPTIONS_MAX];
    (void)state;
    assert_int_equal(parse("ro", &o, &err, copy), 0);
    assert_true(!o.trust.keys_from && !o.trust.digest_given && o.trust.serial_min == 0);
    assert_int_equal(parse("keys=/etc/dlfuse/keys,serial=18446744073709551615,digest="
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                           &o, &err, copy),
                     0);
    assert_string_equal(o.trust.keys_from, "/etc/dlfuse/keys");
    assert_int_equal(o.trust.keys.count, 0);
    assert_true(o.trust.serial_min == UINT64_MAX);
    assert_true(o.trust.digest_given);
    assert_int_equal(o.trust.digest.bytes[1], 0x23);
    assert_int_equal(
        parse("digest=0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdEF", &o, &err,
              copy),
        0);
    assert_int_equal(o.trust.digest.bytes[5], 0xab);
    assert_int_equal(o.trust.digest.bytes[31], 0xef);
    char *argv[] = {(char[]){"--keys"}, (char[]){"k"}, (char[]){"http://h/a.dlfuse"},
                    (char[]){"/mnt"}};
    assert_int_equal(dlf_options_parse(&o, 4, argv, &err), 0);
    assert_string_equal(o.trust.keys_from, "k");
    assert_int_equal(dlf_options_parse(&o, 1, argv, &err), -EINVAL);
}

static void test_http(void **state)
{
    struct dlf_options o;
    struct dlf_err err;
    char copy[OPTIONS_MAX];
    (void)state;
    assert_int_equal(parse("ro", &o, &err, copy), 0);
    assert_true(!o.http.proxy && !o.http.ca_from && !o.http.headers_from);
    assert_int_equal(parse("proxy=http://u:p@proxy:3128,ca=/c.pem,headers=/h", &o, &err, copy), 0);
    assert_string_equal(o.http.proxy, "http://u:p@proxy:3128");
    assert_string_equal(o.http.ca_from, "/c.pem");
    assert_string_equal(o.http.headers_from, "/h");
    assert_null(o.http.ca);
    /* A refusal may end in a log: no password in it. */
    assert_int_equal(parse("proxy=http://u:p@proxy:x", &o, &err, copy), -EINVAL);
    assert_string_equal(err.msg,
                        "-o proxy=http://proxy:x: not http://HOST:PORT or https://HOST:PORT");
}

static void test_refusals(void **state)
{
    static const char *const bad[] = {
        "cache=1",
        "cache=x",
        "fill=2",
        "fill=",
        "prefetch=yes",
        "timeout=-1",
        "ending=",
        "ending=86401",
        "log=tty",
        "nonsense",
        "cach=5M",
        "timeout=1s",
        "keys=",
        "keys",
        "proxy=",
        "proxy=proxy:3128",
        "proxy",
        "proxy=socks5://proxy",
        "ca=",
        "headers=",
        "room=lots",
        "serial=0",
        "serial=x",
        "serial=1.5",
        "serial=18446744073709551616",
        "serial=",
        "digest=",
        "digest=0123",
        "digest=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
        "digest=0123456789ABCDEG0123456789abcdef0123456789abcdef0123456789abcdef"};
    struct dlf_options o;
    struct dlf_err err;
    char copy[OPTIONS_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i], &o, &err, copy), -EINVAL);
        assert_memory_equal(err.msg, "-o ", 3);
    }
}

static void test_arguments(void **state)
{
    struct dlf_options o;
    struct dlf_err err;
    char f[] = "-f";
    char url[] = "http://h/a.dlfuse";
    char dir[] = "d";
    char *only_url[] = {url};
    char *three[] = {url, dir, dir};
    char *odd[] = {url, dir, (char[]){"-z"}};
    char *good[] = {f, url, dir};
    (void)state;
    assert_int_equal(dlf_options_parse(&o, 0, only_url, &err), -EINVAL);
    assert_string_equal(err.msg, "the URL is missing");
    assert_int_equal(dlf_options_parse(&o, 1, only_url, &err), -EINVAL);
    assert_string_equal(err.msg, "the target is missing");
    assert_int_equal(dlf_options_parse(&o, 3, three, &err), -EINVAL);
    assert_int_equal(dlf_options_parse(&o, 3, odd, &err), -EINVAL);
    assert_string_equal(err.msg, "-z: unknown option");
    assert_int_equal(dlf_options_parse(&o, 3, good, &err), 0);
    assert_true(o.foreground && o.fill && o.prefetch);
    assert_true(o.cache_bytes > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_trust),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_arguments), cmocka_unit_test(test_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
