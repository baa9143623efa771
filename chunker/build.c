/* The reader, the workers and the writer of an image. */
#include "chunker/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/crew.h"
#include "chunker/log.h"
#include "chunker/scanner.h"

struct build {
    const struct build_options *options;
    struct library *library;
    struct scanner scanner; /* reader thread */
    struct crew crew;
    struct placer placer; /* calling thread */
    uint32_t max_bytes;
};

static void read_image(void *context)
{
    struct build *build = context;
    struct scanned_chunk chunk;
    struct dlf_err err;
    int rc;
    while ((rc = scanner_next(&build->scanner, &chunk, &err)) > 0) {
        struct job *job = queue_reserve(build->crew.queue);
        if (!job)
            return;
        job->offset = chunk.offset;
        job->length = chunk.length;
        memcpy(job->content, chunk.data, chunk.length);
        queue_submit(build->crew.queue, job);
    }
    if (rc < 0)
        crew_fail(&build->crew, rc, &err);
    else
        queue_end(build->crew.queue);
}

static int do_job(struct library_reader *reader, struct dlf_encoder *encoder, struct job *job,
                  struct dlf_err *err)
{
    uint64_t xxh3 = dlf_xxh3(job->content, job->length);
    job->library_chunk = library_find(reader, xxh3, job->content, job->length, &job->record);
    if (job->library_chunk != DEDUP_NONE)
        return 0;
    memset(&job->record, 0, sizeof(job->record));
    job->record.length = job->length;
    job->record.xxh3 = xxh3;
    job->record.stored_length =
        dlf_encode(encoder, job->content, job->length, job->stored, &job->record.codec);
    job->record.sha256 = dlf_sha256(job->stored, job->record.stored_length);
    return dlf_sha256_check(&job->record.sha256, err);
}

static void do_jobs(void *context)
{
    struct build *build = context;
    struct library_reader reader;
    struct dlf_err err;
    struct job *job;
    struct dlf_encoder *encoder = dlf_encoder_new(build->options->codec, build->options->level);
    int rc = library_reader_init(&reader, build->library, &err);
    if (rc == 0 && !encoder)
        rc = dlf_fail(&err, ENOMEM, "out of memory for the encoder");
    bool ready = rc == 0;
    while (rc == 0 && (job = queue_take(build->crew.queue)) != NULL) {
        rc = do_job(&reader, encoder, job, &err);
        if (rc == 0)
            queue_done(build->crew.queue, job);
    }
    if (rc < 0)
        crew_fail(&build->crew, rc, &err);
    if (ready)
        library_reader_free(&reader);
    dlf_encoder_free(encoder);
}

static void place_all(void *context)
{
    struct build *build = context;
    struct job *job;
    struct dlf_err err;
    while ((job = queue_collect(build->crew.queue)) != NULL) {
        int rc = placer_put(&build->placer, job, &err);
        log_progress(job->offset + job->length);
        queue_release(build->crew.queue, job);
        if (rc < 0) {
            crew_fail(&build->crew, rc, &err);
            return;
        }
    }
}

/* Looks at the image's start and chooses the cutter. */
static int choose_cutter(struct build *build, struct build_result *result, struct dlf_err *err)
{
    const struct build_options *options = build->options;
    const uint8_t *start = NULL;
    struct cutter cutter;
    ssize_t size = scanner_peek(&build->scanner, &start, err);
    if (size < 0)
        return (int)size;
    result->filesystem = size > 0 ? filesystem_detect(start, (size_t)size) : FS_UNKNOWN;
    result->cut = options->cut_auto ? filesystem_cut(result->filesystem) : options->cut;
    cutter_init(&cutter, result->cut, options->average_bytes);
    scanner_set_cutter(&build->scanner, &cutter);
    build->max_bytes = cutter.max_bytes;
    return 0;
}

static int run(struct build *build, struct input *input, struct build_result *result,
               struct dlf_err *err)
{
    int rc = choose_cutter(build, result, err);
    if (rc < 0)
        return rc;
    const struct crew_work work = {
        .read = read_image, .work = do_jobs, .write = place_all, .context = build};
    rc = crew_init(&build->crew, build->options->jobs, build->max_bytes, err);
    if (rc == 0)
        rc = crew_run(&build->crew, &work, err);
    if (rc == 0)
        rc = input_unchanged(input, err);
    if (rc == 0)
        rc = placer_finish(&build->placer, input->size_bytes, &result->manifest, err);
    result->counts = build->placer.counts;
    result->data_bytes = build->placer.index.data_bytes;
    return rc;
}

int build_image(struct store *store, struct library *library, struct input *input,
                const struct build_options *options, struct build_result *result,
                struct dlf_err *err)
{
    struct build build = {.options = options, .library = library};
    memset(result, 0, sizeof(*result));
    int rc = scanner_init(&build.scanner, input, SCANNER_READ_BYTES, err);
    if (rc < 0)
        return rc;
    rc = placer_init(&build.placer, store, library, err);
    if (rc == 0) {
        log_progress_start("chunking", input->size_known ? input->size_bytes : 0);
        rc = run(&build, input, result, err);
        log_progress_stop();
        crew_free(&build.crew);
        placer_free(&build.placer);
    }
    scanner_free(&build.scanner);
    return rc;
}
