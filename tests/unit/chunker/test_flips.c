/*
 * verify finds every flipped bit. In the golden store, it flips all bits of all files of the small
 * image with a boot pack, one after the other. The large image has full index pages: there it flips
 * one bit of every few bytes.
 */
#include "check.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "chunker/audit.h"
#include "chunker/io.h"

struct fixture {
    char *directory;
    char path[256];
    struct store store;
    const char *flipped; /* name of the file */
    unsigned named;      /* damages that name it */
};

static void report(void *context, const char *line)
{
    struct fixture *f = context;
    f->named += strstr(line, f->flipped) != NULL;
}

/* Copies the objects that the manifest of name reaches. It finds packs by their digests in the
 * index. */
static void copy(struct fixture *f, const char *name)
{
    char command[2048];
    snprintf(command, sizeof(command),
             "set -e; cd '" DLFUSE_GOLDEN_DIR "'; s='%s'; mkdir -p \"$s\"; "
             "cp --parents -t \"$s\" %s.dlfuse manifest/$(sha256sum <%s.dlfuse | cut -d' ' -f1) "
             "$(sed -n 's/^\\(index\\|boot\\) \\([0-9a-f]*\\) .*/\\1\\/\\2/p' %s.dlfuse) pack/*; "
             "cd \"$s\"; for p in pack/*; do "
             "od -v -An -tx1 index/* | tr -d ' \n' | grep -q ${p#*/} || rm $p; done",
             f->path, name, name, name);
    assert_int_equal(system(command), 0); // NOLINT(*-env33-c)
}

static uint64_t damages(struct fixture *f)
{
    struct audit audit = {.store = &f->store, .report = report, .context = f};
    struct dlf_err err;
    f->named = 0;
    assert_works(audit_store(&audit, NULL, &err), err);
    uint64_t found = audit.counts.damages;
    audit_free(&audit);
    return found;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->directory = make_directory();
    f->flipped = "";
    snprintf(f->path, sizeof(f->path), "%s/store", f->directory);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(&f->store);
    remove_directory(f->directory);
    free(f);
    return 0;
}

static void try_bit(struct fixture *f, int fd, uint64_t at, uint8_t whole, unsigned bit)
{
    uint8_t byte = whole ^ (uint8_t)(1U << bit);
    assert_int_equal(io_pwrite(fd, &byte, 1, at), 0);
    uint64_t found = damages(f);
    if (!found || !f->named)
        fail_msg("%s, byte %u, bit %u: %u damages, %u of them name it", f->flipped, (unsigned)at,
                 bit, (unsigned)found, f->named);
    assert_int_equal(io_pwrite(fd, &whole, 1, at), 0);
}

/* A sanitizer makes each audit many times slower: one bit of some bytes suffices there. */
#ifdef __SANITIZE_ADDRESS__
#define SPARSE 17u
#else
#define SPARSE 1u
#endif

/* Flips in every step-th byte of a file: all bits for a step of 1, else one. Returns the number of
 * flips. */
static unsigned try_file(struct fixture *f, const char *kind, const char *name, unsigned step)
{
    char path[512];
    struct stat st;
    unsigned tried = 0;
    snprintf(path, sizeof(path), "%s/%s/%s", f->path, kind, name);
    int fd = open(path, O_RDWR);
    memset(&st, 0, sizeof(st));
    step *= SPARSE;
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    f->flipped = name;
    for (uint64_t at = 0; at < (uint64_t)st.st_size; at += step) {
        uint8_t whole;
        assert_int_equal(io_pread(fd, &whole, 1, at), 0);
        for (unsigned bit = 0; bit < 8; bit++) {
            if (step > 1 && bit != at % 8)
                continue;
            try_bit(f, fd, at, whole, bit);
            tried++;
        }
    }
    close(fd);
    return tried;
}

static void try_kind(struct fixture *f, const char *kind, unsigned step)
{
    struct store_list names;
    struct dlf_err err;
    assert_works(store_list(&f->store, kind, &names, &err), err);
    for (size_t i = 0; i < names.count; i++) {
        if (strlen(names.names[i]) == DLF_SHA256_HEX || strstr(names.names[i], ".dlfuse"))
            print_message("%s/%s: %u flips found\n", kind, names.names[i],
                          try_file(f, kind, names.names[i], step));
    }
    store_list_free(&names);
}

static void try_store(struct fixture *f, const char *name, const char *const *kinds, unsigned step)
{
    struct dlf_err err;
    copy(f, name);
    assert_works(store_open(&f->store, f->path, false, &err), err);
    assert_int_equal(damages(f), 0);
    for (size_t i = 0; kinds[i]; i++)
        try_kind(f, kinds[i], step);
    assert_int_equal(damages(f), 0);
}

static void test_with_boot_pack(void **state)
{
    static const char *const kinds[] = {".", "manifest", "index", "boot", "pack", NULL};
    try_store(*state, "golden-boot", kinds, 1);
}

static void test_with_full_pages(void **state)
{
    static const char *const kinds[] = {".", "manifest", "index", "pack", NULL};
    try_store(*state, "golden", kinds, 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_with_boot_pack, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_with_full_pages, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
