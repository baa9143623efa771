/* Lines of nsswitch.conf: those of distributions, and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fuse/names.h"

static void assert_modules(const char *line, const char *expected)
{
    char all[256] = "";
    char module[DLF_NAMES_MODULE_MAX];
    const char *at = dlf_names_hosts(line);
    while (at && dlf_names_next(&at, module))
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s ", module);
    assert_string_equal(all, expected);
}

static void test_lines(void **state)
{
    (void)state;
    assert_modules("hosts: files dns\n", "libnss_files.so.2 libnss_dns.so.2 ");
    assert_modules("hosts:files", "libnss_files.so.2 ");
    assert_modules("  hosts:\tmymachines resolve [!UNAVAIL=return] files\n",
                   "libnss_mymachines.so.2 libnss_resolve.so.2 libnss_files.so.2 ");
    assert_modules("hosts: mdns4_minimal [NOTFOUND=return SUCCESS=return]dns [x=y] # wins\n",
                   "libnss_mdns4_minimal.so.2 libnss_dns.so.2 ");
    assert_modules("hosts: [a=b][c=d] dns#wins", "libnss_dns.so.2 ");
}

static void test_none(void **state)
{
    char line[256];
    (void)state;
    assert_modules("", "");
    assert_modules("hosts:", "");
    assert_modules("hosts: \n", "");
    assert_modules("passwd: files systemd\n", "");
    assert_modules("# hosts: files\n", "");
    assert_modules("hosts: files [NOTFOUND=return", "libnss_files.so.2 ");
    assert_modules("hosts: ../../tmp/x dns", "");
    memset(line, 'x', sizeof(line));
    memcpy(line, "hosts: ", 7);
    line[sizeof(line) - 1] = 0;
    assert_modules(line, "");
    line[7 + DLF_NAMES_MODULE_MAX - sizeof("libnss_.so.2")] = 0;
    assert_non_null(dlf_names_hosts(line));
    char module[DLF_NAMES_MODULE_MAX];
    const char *at = dlf_names_hosts(line);
    assert_int_equal(dlf_names_next(&at, module), 1);
    assert_int_equal(strlen(module), DLF_NAMES_MODULE_MAX - 1);
}

static void test_load(void **state)
{
    (void)state;
    dlf_names_load("/nowhere/nsswitch.conf");
    dlf_names_load("/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
