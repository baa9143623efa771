/* dlfuse-chunker extract: writes an image from its chunks, and checks every one. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunker/command.h"
#include "chunker/io.h"
#include "chunker/log.h"
#include "chunker/pack_reader.h"
#include "chunker/stored_index.h"

#define ZERO_BYTES 65536

/* The destination: a new file that gets its name last, or standard output. */
struct output {
    const char *path;
    char *temp_path; /* NULL for standard output */
    int fd;
    uint64_t position; /* standard output: bytes written */
};

struct extraction {
    const struct stored_index *index;
    struct pack_reader reader;
    struct output out;
    struct dlf_err *err;
};

static int output_open(struct output *out, const char *path, struct dlf_err *err)
{
    struct stat st;
    memset(out, 0, sizeof(*out));
    out->path = path;
    out->fd = STDOUT_FILENO;
    if (strcmp(path, "-") == 0)
        return 0;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return dlf_fail(err, EEXIST,
                        "%s is not a regular file; \"-\" writes to standard output instead", path);
    if (asprintf(&out->temp_path, "%s.tmp-%ld", path, (long)getpid()) < 0) {
        out->temp_path = NULL;
        return dlf_fail(err, ENOMEM, "out of memory");
    }
    out->fd = open(out->temp_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out->fd < 0) {
        int rc = dlf_fail(err, errno, "cannot write %s: %s", out->temp_path, strerror(errno));
        free(out->temp_path);
        out->temp_path = NULL;
        return rc;
    }
    return 0;
}

static int output_failed(const struct output *out, int code, struct dlf_err *err)
{
    return dlf_fail(err, code, "cannot write %s: %s",
                    out->temp_path ? out->path : "standard output", strerror(code));
}

/* Writes zeros up to offset to standard output. */
static int output_zeros(struct output *out, uint64_t offset)
{
    static const uint8_t zeros[ZERO_BYTES];
    int rc = 0;
    while (rc == 0 && out->position < offset) {
        uint64_t left = offset - out->position;
        size_t size = left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;
        rc = io_write(out->fd, zeros, size);
        out->position += size;
    }
    return rc;
}

static int output_write(struct output *out, const uint8_t *data, uint32_t size, uint64_t offset)
{
    if (out->temp_path)
        return io_pwrite(out->fd, data, size, offset);
    int rc = output_zeros(out, offset);
    if (rc == 0)
        rc = io_write(out->fd, data, size);
    out->position += size;
    return rc;
}

/* Makes the directory entry durable. */
static int sync_parent(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
    if (fd >= 0)
        close(fd);
    free(copy);
    return rc;
}

/* Sets the size, syncs, and gives the file its name. */
static int output_finish(struct output *out, uint64_t image_size, struct dlf_err *err)
{
    int rc = 0;
    if (!out->temp_path)
        rc = output_zeros(out, image_size);
    else if (ftruncate(out->fd, (off_t)image_size) < 0 || fsync(out->fd) < 0 ||
             rename(out->temp_path, out->path) < 0)
        rc = -errno;
    else
        rc = sync_parent(out->path);
    return rc < 0 ? output_failed(out, -rc, err) : 0;
}

/* failed: removes the incomplete file. */
static void output_close(struct output *out, bool failed)
{
    if (!out->temp_path)
        return;
    close(out->fd);
    if (failed)
        unlink(out->temp_path);
    free(out->temp_path);
}

static int extract_record(void *context, uint64_t number, const struct dlf_record *record)
{
    struct extraction *x = context;
    (void)number;
    int rc = pack_reader_read(&x->reader, &x->index->head.packs[record->pack], record, x->err);
    if (rc < 0)
        return rc;
    rc = output_write(&x->out, x->reader.content, record->length, record->offset);
    log_progress(record->offset);
    return rc < 0 ? output_failed(&x->out, -rc, x->err) : 0;
}

static int extract_index(const struct store *store, const struct stored_index *index,
                         const char *path, struct dlf_err *err)
{
    struct extraction x = {.index = index, .err = err};
    int rc = pack_reader_init(&x.reader, store, err);
    if (rc < 0)
        return rc;
    rc = output_open(&x.out, path, err);
    if (rc == 0) {
        log_progress_start("extracting", index->head.image_size);
        rc = stored_index_each(index, extract_record, &x, err);
        if (rc == 0)
            rc = output_finish(&x.out, index->head.image_size, err);
        log_progress_stop();
        output_close(&x.out, rc < 0);
    }
    pack_reader_free(&x.reader);
    return rc;
}

static int extract(const char *store_path, const char *name, const char *path, struct dlf_err *err)
{
    struct store store;
    struct dlf_manifest manifest;
    struct stored_index index;
    int rc = store_open(&store, store_path, false, err);
    if (rc < 0)
        return rc;
    rc = store_read_manifest(&store, name, &manifest, NULL, err);
    if (rc == 0)
        rc = stored_index_open(&index, &store, &manifest, err);
    if (rc == 0) {
        rc = extract_index(&store, &index, path, err);
        stored_index_close(&index);
    }
    store_close(&store);
    return rc;
}

int command_extract(int argc, char **argv)
{
    static const struct option options[] = {{"store", required_argument, NULL, 's'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {NULL, 0, NULL, 0}};
    const char *store_path = NULL;
    struct dlf_err err;
    int option;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option == 's')
            store_path = optarg;
        else if (option == 'q')
            log_quiet(true);
        else
            return command_bad_option(option, argv);
    }
    if (!store_path || argc - optind != 2)
        return command_usage("extract needs --store DIR, NAME and IMAGE");
    if (!command_name_ok(argv[optind]))
        return EXIT_USAGE;
    if (extract(store_path, argv[optind], argv[optind + 1], &err) < 0) {
        log_error("%s", err.msg);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}
