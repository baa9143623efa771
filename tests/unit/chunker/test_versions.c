/* The versions that a rule keeps. */
#include "check.h"

#include "chunker/versions.h"

#define DAY 86400
#define NOW (1000 * (int64_t)DAY)

static void add(struct versions *versions, const char *name, uint64_t serial, int64_t published_day,
                bool is_current)
{
    static struct version items[16];
    versions->items = items;
    struct version *v = &items[versions->count++];
    memset(v, 0, sizeof(*v));
    snprintf(v->manifest.name, sizeof(v->manifest.name), "%s", name);
    v->manifest.serial = serial;
    v->digest.bytes[0] = (uint8_t)versions->count;
    v->published = published_day * DAY;
    v->is_current = is_current;
}

/* The kept ones as "a3 a2 b1", in the order of the list. */
static const char *kept(struct versions *versions, const struct versions_rule *rule)
{
    static char text[256];
    size_t length = 0;
    versions_sort(versions);
    versions_keep(versions, rule);
    text[0] = 0;
    for (size_t i = 0; i < versions->count; i++) {
        const struct version *v = &versions->items[i];
        if (v->is_kept)
            length +=
                (size_t)snprintf(text + length, sizeof(text) - length, "%s%s%d", length ? " " : "",
                                 v->manifest.name, (int)v->manifest.serial);
    }
    return text;
}

static struct versions_rule last(uint32_t count)
{
    return (struct versions_rule){.count = count, .in_use_from = NOW, .young_from = NOW};
}

static struct versions_rule in_use(int64_t days)
{
    return (struct versions_rule){.in_use_from = NOW - days * DAY, .young_from = NOW};
}

static void test_by_count(void **state)
{
    struct versions versions = {0};
    struct versions_rule one = last(1);
    struct versions_rule two = last(2);
    (void)state;
    add(&versions, "b", 1, 999, true);
    add(&versions, "a", 1, 900, false);
    add(&versions, "a", 10, 902, true);
    add(&versions, "a", 9, 901, false);
    assert_string_equal(kept(&versions, &one), "a10 b1");
    assert_string_equal(kept(&versions, &two), "a10 a9 b1");
}

/* Two manifests of one serial, as signing again makes them, are one version. */
static void test_same_serial(void **state)
{
    struct versions versions = {0};
    struct versions_rule two = last(2);
    (void)state;
    add(&versions, "a", 1, 900, false);
    add(&versions, "a", 2, 901, false);
    add(&versions, "a", 3, 902, false);
    add(&versions, "a", 3, 903, true);
    assert_string_equal(kept(&versions, &two), "a3 a3 a2");
}

/* Versions in use in the last days stay, though they were published long before. */
static void test_by_time(void **state)
{
    struct versions versions = {0};
    struct versions_rule week = in_use(7);
    struct versions_rule nothing = in_use(0);
    (void)state;
    add(&versions, "a", 1, 900, false); /* in use until day 950 */
    add(&versions, "a", 2, 950, false); /* until day 995 */
    add(&versions, "a", 3, 995, false);
    add(&versions, "a", 4, 999, true);
    add(&versions, "b", 7, 100, true);
    assert_string_equal(kept(&versions, &week), "a4 a3 a2 b7");
    assert_string_equal(kept(&versions, &nothing), "a4 b7");
}

static void test_young(void **state)
{
    struct versions versions = {0};
    struct versions_rule rule = {.count = 1, .young_from = NOW - 3 * DAY};
    (void)state;
    add(&versions, "a", 1, 996, false);
    add(&versions, "a", 2, 998, false);
    add(&versions, "a", 3, 999, true);
    assert_string_equal(kept(&versions, &rule), "a3 a2");
}

/* An image without NAME.dlfuse keeps its newest version. An image that went back keeps both its
 * current and its newest version. */
static void test_current(void **state)
{
    struct versions versions = {0};
    struct versions_rule one = last(1);
    struct versions_rule nothing = in_use(0);
    (void)state;
    add(&versions, "lost", 1, 100, false);
    add(&versions, "lost", 2, 101, false);
    add(&versions, "back", 1, 100, false);
    add(&versions, "back", 2, 101, true);
    add(&versions, "back", 3, 102, false);
    add(&versions, "back", 4, 103, false);
    assert_string_equal(kept(&versions, &one), "back4 back2 lost2");
    assert_string_equal(kept(&versions, &nothing), "back4 back2 lost2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_count), cmocka_unit_test(test_same_serial),
        cmocka_unit_test(test_by_time),  cmocka_unit_test(test_young),
        cmocka_unit_test(test_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
