/* URLs of mirrors: parts, equal servers, and the form for messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fuse/url.h"

static void expect(const char *url, const char *host, const char *port, const char *user,
                   const char *password)
{
    struct dlf_url u;
    assert_true(dlf_url_split(&u, url));
    assert_string_equal(u.host, host);
    assert_string_equal(u.port, port);
    assert_string_equal(u.user, user);
    assert_string_equal(u.password, password);
}

static void test_parts(void **state)
{
    (void)state;
    expect("http://h/a/", "h", "80", "", "");
    expect("HTTPS://h.example/a/", "h.example", "443", "", "");
    expect("http://h:8080/", "h", "8080", "", "");
    expect("http://[fe80::1]/", "[fe80::1]", "80", "", "");
    expect("http://[::1]:81/x", "[::1]", "81", "", "");
    expect("http://me:secret@h/", "h", "80", "me", "secret");
    expect("http://me@h:1/", "h", "1", "me", "");
    expect("http://me:a:b@c%40d@[::1]:81/", "[::1]", "81", "me", "a:b@c@d");
    expect("http://h/a@b:c", "h", "80", "", "");
}

static void test_refusals(void **state)
{
    static const char *const bad[] = {"",
                                      "h/",
                                      "ftp://h/",
                                      "http:///a",
                                      "http://",
                                      "http://:1/",
                                      "http://h:x/",
                                      "http://h:123456/",
                                      "http://h\\@evil/",
                                      "http://h h/",
                                      "http://[::1/",
                                      "http://[::1]x/",
                                      "http://a%4@h/",
                                      "http://a%00@h/"};
    struct dlf_url u;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (dlf_url_split(&u, bad[i]))
            fail_msg("%s: was taken", bad[i]);
}

static void test_same_server(void **state)
{
    struct dlf_url u;
    (void)state;
    assert_true(dlf_url_split(&u, "http://me:secret@h.example/store/"));
    assert_true(dlf_url_same_server(&u, "http://h.example/elsewhere"));
    assert_true(dlf_url_same_server(&u, "HTTP://H.example:80/"));
    assert_false(dlf_url_same_server(&u, "https://h.example/"));
    assert_false(dlf_url_same_server(&u, "http://h.example:81/"));
    assert_false(dlf_url_same_server(&u, "http://h.example.evil/"));
    assert_false(dlf_url_same_server(&u, "http://h.example@evil/"));
    assert_false(dlf_url_same_server(&u, "http://h.example\\@evil/"));
}

static void test_shown(void **state)
{
    static const char *const pairs[][2] = {
        {"http://h/a", "http://h/a"},
        {"http://me:secret@h/a", "http://h/a"},
        {"http://me:se@cret@h:1/a@b", "http://h:1/a@b"},
        {"https://me@[::1]/", "https://[::1]/"},
        {"me:secret@h/a", "h/a"},
        {"https://h/a.dlfuse?sig=secret/x@y", "https://h/a.dlfuse"},
        {"https://me:secret@h/a#b?c", "https://h/a"},
        {"https://h?sig=secret", "https://h"},
    };
    char out[100];
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        dlf_url_shown(out, sizeof(out), pairs[i][0]);
        assert_string_equal(out, pairs[i][1]);
    }
}

static void test_below_store(void **state)
{
    static const char *const pairs[][2] = {
        {"http://h/n.dlfuse", "n.dlfuse"},
        {"http://h/a/n.dlfuse", "n.dlfuse"},
        {"http://h/a/b/c/n.dlfuse", "n.dlfuse"},
        {"http://h/groups/canary/n.dlfuse", "groups/canary/n.dlfuse"},
        {"http://h/releases/7/n.dlfuse", "releases/7/n.dlfuse"},
        {"http://me:a@h:1/store/groups/a/n.dlfuse", "groups/a/n.dlfuse"},
        {"http://h/groups/groups/n.dlfuse", "groups/groups/n.dlfuse"},
        {"http://h/groups/a/b/n.dlfuse", "n.dlfuse"},
        {"http://h/groups/n.dlfuse", "n.dlfuse"},
        {"http://h/groups//n.dlfuse", "n.dlfuse"},
        {"http://h/mygroups/a/n.dlfuse", "n.dlfuse"},
        {"http://h/groupsx/a/n.dlfuse", "n.dlfuse"},
        {"http://groups/a/n.dlfuse", "n.dlfuse"},
        {"http://h//n.dlfuse", "n.dlfuse"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        assert_string_equal(dlf_url_below_store(pairs[i][0]), pairs[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_same_server), cmocka_unit_test(test_shown),
        cmocka_unit_test(test_below_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
