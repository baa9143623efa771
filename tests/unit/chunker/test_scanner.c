/* The scanner: the same chunks for any read size, for holes and written zeros, for pipes. */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>

#include "chunker/io.h"
#include "chunker/scanner.h"

#define IMAGE_BYTES (((size_t)5 << 20) + 1234)
#define CHUNKS_MAX 4096

struct chunks {
    size_t count;
    struct {
        uint64_t offset;
        uint32_t length;
    } at[CHUNKS_MAX];
};

struct fixture {
    char *directory;
    char path[256];
    uint8_t *image;
};

/* An image with runs of data and of zeros of many sizes, some not aligned. */
static void make_image(uint8_t *image)
{
    fill_random(image, IMAGE_BYTES, 11);
    memset(image, 0, 3 * (size_t)CUT_BLOCK);
    memset(image + 100000, 0, 50000);
    memset(image + (1 << 20), 0, 1 << 20);
    memset(image + (3 << 20) + 5000, 0, 4096);
    memset(image + (size_t)30 * CUT_BLOCK * 31, 0, CUT_BLOCK);
    memset(image + IMAGE_BYTES - 1000, 0, 1000);
}

static void write_image(const struct fixture *f, bool sparse)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    for (size_t at = 0; at < IMAGE_BYTES; at += CUT_BLOCK) {
        size_t size = IMAGE_BYTES - at < CUT_BLOCK ? IMAGE_BYTES - at : CUT_BLOCK;
        if (!sparse || !cut_is_zero(f->image + at, size))
            assert_int_equal(io_pwrite(fd, f->image + at, size, at), 0);
    }
    assert_int_equal(ftruncate(fd, (off_t)IMAGE_BYTES), 0);
    close(fd);
}

/* Scans an open input and checks each chunk against the image. */
static void scan(const struct fixture *f, struct input *input, size_t read_bytes,
                 enum cut_kind kind, struct chunks *chunks)
{
    struct scanner scanner;
    struct scanned_chunk chunk;
    struct cutter cutter;
    const uint8_t *start;
    struct dlf_err err;
    int rc;
    assert_works(scanner_init(&scanner, input, read_bytes, &err), err);
    cutter_init(&cutter, kind, CUT_AVERAGE_MIN);
    assert_works(scanner_peek(&scanner, &start, &err), err);
    scanner_set_cutter(&scanner, &cutter);
    chunks->count = 0;
    while ((rc = scanner_next(&scanner, &chunk, &err)) > 0) {
        assert_true(chunks->count < CHUNKS_MAX);
        assert_memory_equal(chunk.data, f->image + chunk.offset, chunk.length);
        chunks->at[chunks->count].offset = chunk.offset;
        chunks->at[chunks->count++].length = chunk.length;
    }
    assert_works(rc, err);
    assert_true(input->size_known);
    assert_int_equal(input->size_bytes, IMAGE_BYTES);
    scanner_free(&scanner);
}

static void scan_file(const struct fixture *f, size_t read_bytes, enum cut_kind kind,
                      struct chunks *chunks)
{
    struct input input;
    struct dlf_err err;
    assert_works(input_open(&input, f->path, &err), err);
    scan(f, &input, read_bytes, kind, chunks);
    input_close(&input);
}

static void *write_pipe(void *context)
{
    const struct fixture *f = context;
    int fd = open(f->path, O_WRONLY);
    size_t part = 1;
    for (size_t at = 0; at < IMAGE_BYTES; at += part, part = part * 3 % 65521 + 1) {
        if (part > IMAGE_BYTES - at)
            part = IMAGE_BYTES - at;
        if (io_write(fd, f->image + at, part) < 0)
            break;
    }
    close(fd);
    return NULL;
}

static void assert_same(const struct chunks *a, const struct chunks *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->at, b->at, a->count * sizeof(a->at[0]));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->directory = make_directory();
    f->image = malloc(IMAGE_BYTES);
    snprintf(f->path, sizeof(f->path), "%s/image", f->directory);
    make_image(f->image);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    remove_directory(f->directory);
    free(f->image);
    free(f);
    return 0;
}

static void test_read_sizes(void **state)
{
    static const size_t sizes[] = {
        511, 4096, 4097, 65536, 100003, SCANNER_READ_BYTES, (size_t)1 << 30};
    static struct chunks first;
    static struct chunks again;
    const struct fixture *f = *state;
    write_image(f, false);
    for (int kind = CUT_BLOCKS; kind <= CUT_BYTES; kind++) {
        scan_file(f, 12345, (enum cut_kind)kind, &first);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            scan_file(f, sizes[i], (enum cut_kind)kind, &again);
            assert_same(&first, &again);
        }
    }
}

static void test_holes(void **state)
{
    static struct chunks written;
    static struct chunks sparse;
    const struct fixture *f = *state;
    for (int kind = CUT_BLOCKS; kind <= CUT_BYTES; kind++) {
        write_image(f, false);
        scan_file(f, SCANNER_READ_BYTES, (enum cut_kind)kind, &written);
        write_image(f, true);
        scan_file(f, SCANNER_READ_BYTES, (enum cut_kind)kind, &sparse);
        assert_same(&written, &sparse);
    }
}

static void test_pipe(void **state)
{
    static struct chunks file;
    static struct chunks pipe_chunks;
    struct fixture *f = *state;
    struct fixture fifo = *f;
    pthread_t writer;
    struct input input;
    struct dlf_err err;
    write_image(f, false);
    scan_file(f, SCANNER_READ_BYTES, CUT_BYTES, &file);
    snprintf(fifo.path, sizeof(fifo.path), "%s/fifo", f->directory);
    assert_int_equal(mkfifo(fifo.path, 0600), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_pipe, &fifo), 0);
    assert_works(input_open(&input, fifo.path, &err), err);
    scan(&fifo, &input, 7777, CUT_BYTES, &pipe_chunks);
    input_close(&input);
    pthread_join(writer, NULL);
    assert_same(&file, &pipe_chunks);
}

/* Chunks cover every block that is not zero and no zero block; chunks of a run touch. */
static void test_coverage(void **state)
{
    static struct chunks chunks;
    const struct fixture *f = *state;
    uint8_t *covered = calloc(IMAGE_BYTES, 1);
    uint64_t end = 0;
    write_image(f, false);
    scan_file(f, SCANNER_READ_BYTES, CUT_BYTES, &chunks);
    for (size_t i = 0; i < chunks.count; i++) {
        assert_true(chunks.at[i].offset >= end);
        end = chunks.at[i].offset + chunks.at[i].length;
        memset(covered + chunks.at[i].offset, 1, chunks.at[i].length);
    }
    for (size_t at = 0; at < IMAGE_BYTES; at++) {
        size_t block = at / CUT_BLOCK * CUT_BLOCK;
        size_t size = IMAGE_BYTES - block < CUT_BLOCK ? IMAGE_BYTES - block : CUT_BLOCK;
        if (covered[at] == cut_is_zero(f->image + block, size))
            fail_msg("byte %zu: covered %d", at, covered[at]);
        at = block + size - 1;
    }
    free(covered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_holes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pipe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_coverage, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
