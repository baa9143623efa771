/* Starts the threads, joins them, and sees to it that the first error wins and ends all. */
#include "chunker/build.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/log.h"
#include "chunker/queue.h"
#include "chunker/scanner.h"

/* Bytes for the content and stored bytes of chunks under way. */
#define QUEUE_MEMORY_BYTES ((uint32_t)64 << 20)
#define WORKERS_MAX 64
#define JOBS_PER_WORKER 4

struct build {
    const struct build_options *options;
    struct library *library;
    struct scanner scanner; /* reader thread */
    struct queue *queue;
    struct placer placer; /* calling thread */
    uint32_t max_bytes;

    pthread_mutex_t lock; /* guards the two below */
    int error;
    struct dlf_err error_text;
};

/* Remembers the first error and ends everybody's work. */
static void fail(struct build *build, int rc, const struct dlf_err *err)
{
    pthread_mutex_lock(&build->lock);
    if (build->error == 0) {
        build->error = rc;
        build->error_text = *err;
    }
    pthread_mutex_unlock(&build->lock);
    queue_abort(build->queue);
}

static void *reader_thread(void *context)
{
    struct build *build = context;
    struct scanned_chunk chunk;
    struct dlf_err err;
    int rc;
    while ((rc = scanner_next(&build->scanner, &chunk, &err)) > 0) {
        struct job *job = queue_reserve(build->queue);
        if (!job)
            return NULL;
        job->offset = chunk.offset;
        job->length = chunk.length;
        memcpy(job->content, chunk.data, chunk.length);
        queue_submit(build->queue, job);
    }
    if (rc < 0)
        fail(build, rc, &err);
    else
        queue_end(build->queue);
    return NULL;
}

static void do_job(struct library_reader *reader, struct dlf_encoder *encoder, struct job *job)
{
    uint64_t xxh3 = dlf_xxh3(job->content, job->length);
    job->library_chunk = library_find(reader, xxh3, job->content, job->length, &job->record);
    if (job->library_chunk != DEDUP_NONE)
        return;
    memset(&job->record, 0, sizeof(job->record));
    job->record.length = job->length;
    job->record.xxh3 = xxh3;
    job->record.stored_length =
        dlf_encode(encoder, job->content, job->length, job->stored, &job->record.codec);
    job->record.sha256 = dlf_sha256(job->stored, job->record.stored_length);
}

static void *worker_thread(void *context)
{
    struct build *build = context;
    struct library_reader reader;
    struct dlf_err err;
    struct job *job;
    struct dlf_encoder *encoder = dlf_encoder_new(build->options->codec, build->options->level);
    int rc = library_reader_init(&reader, build->library, &err);
    if (rc == 0 && !encoder)
        rc = dlf_fail(&err, ENOMEM, "out of memory for the encoder");
    if (rc < 0) {
        fail(build, rc, &err);
    } else {
        while ((job = queue_take(build->queue)) != NULL) {
            do_job(&reader, encoder, job);
            queue_done(build->queue, job);
        }
        library_reader_free(&reader);
    }
    dlf_encoder_free(encoder);
    return NULL;
}

static void place_all(struct build *build)
{
    struct job *job;
    struct dlf_err err;
    while ((job = queue_collect(build->queue)) != NULL) {
        int rc = placer_put(&build->placer, job, &err);
        log_progress(job->offset + job->length);
        queue_release(build->queue, job);
        if (rc < 0) {
            fail(build, rc, &err);
            return;
        }
    }
}

/* Runs all threads to their end. */
static int run_threads(struct build *build, unsigned workers, struct dlf_err *err)
{
    pthread_t threads[WORKERS_MAX + 1];
    unsigned started = 0;
    struct dlf_err why;
    while (started <= workers &&
           pthread_create(&threads[started], NULL, started ? worker_thread : reader_thread,
                          build) == 0)
        started++;
    if (started <= workers)
        fail(build,
             dlf_fail(&why, EAGAIN, "cannot start %u threads; try a smaller --jobs", workers + 1),
             &why);
    place_all(build);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (build->error < 0 && err)
        *err = build->error_text;
    return build->error;
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
    unsigned jobs = QUEUE_MEMORY_BYTES / (2 * build->max_bytes);
    unsigned workers = build->options->jobs < WORKERS_MAX ? build->options->jobs : WORKERS_MAX;
    if (workers > jobs / 2)
        workers = jobs / 2;
    if (jobs > workers * JOBS_PER_WORKER)
        jobs = workers * JOBS_PER_WORKER;
    build->queue = queue_new(jobs, build->max_bytes);
    if (!build->queue)
        return dlf_fail(err, ENOMEM, "out of memory for %u chunks of %u bytes", jobs,
                        build->max_bytes);
    rc = run_threads(build, workers, err);
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
        pthread_mutex_init(&build.lock, NULL);
        log_progress_start("chunking", input->size_known ? input->size_bytes : 0);
        rc = run(&build, input, result, err);
        log_progress_stop();
        queue_free(build.queue);
        placer_free(&build.placer);
        pthread_mutex_destroy(&build.lock);
    }
    scanner_free(&build.scanner);
    return rc;
}
