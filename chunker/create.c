/* dlfuse-chunker create: options, the build, the manifest, the summary. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chunker/build.h"
#include "chunker/command.h"
#include "chunker/json.h"
#include "chunker/log.h"

/* 9999-12-31T23:59:59Z, the last second that a manifest can say. */
#define CREATED_MAX UINT64_C(253402300799)

struct create {
    const char *store_path;
    const char *name;
    const char *image_path;
    struct build_options build;
    bool json;

    uint64_t created;
    bool changed; /* a new manifest was published */
    struct dlf_manifest manifest;
    struct dlf_sha256 manifest_digest;
    double seconds;
};

enum { OPT_STORE = 256, OPT_NAME, OPT_CODEC, OPT_LEVEL, OPT_CHUNK_SIZE, OPT_JOBS, OPT_CUT };
enum { OPT_JSON = 300, OPT_QUIET };

static const struct option options[] = {
    {"store", required_argument, NULL, OPT_STORE},
    {"name", required_argument, NULL, OPT_NAME},
    {"codec", required_argument, NULL, OPT_CODEC},
    {"level", required_argument, NULL, OPT_LEVEL},
    {"chunk-size", required_argument, NULL, OPT_CHUNK_SIZE},
    {"jobs", required_argument, NULL, OPT_JOBS},
    {"cut", required_argument, NULL, OPT_CUT},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {NULL, 0, NULL, 0},
};

static int parse_codec(struct create *c, const char *value)
{
    int codec = dlf_codec_by_name(value);
    if (codec < 0)
        return command_usage("codec \"%.32s\" is not in this build; lz4 and raw are", value);
    c->build.codec = (enum dlf_codec)codec;
    return EXIT_OK;
}

static int parse_cut(struct create *c, const char *value)
{
    c->build.cut_auto = strcmp(value, "auto") == 0;
    c->build.cut = strcmp(value, "bytes") == 0 ? CUT_BYTES : CUT_BLOCKS;
    if (c->build.cut_auto || strcmp(value, cut_kind_name(c->build.cut)) == 0)
        return EXIT_OK;
    return command_usage("--cut is auto, blocks or bytes, not \"%.32s\"", value);
}

static int parse_numbers(struct create *c, int option, const char *value)
{
    uint64_t number;
    switch (option) {
    case OPT_LEVEL:
        if (!command_parse_number(value, DLF_LEVEL_MIN, DLF_LEVEL_MAX, &number))
            return command_usage("--level is %d to %d, not \"%.32s\"", DLF_LEVEL_MIN, DLF_LEVEL_MAX,
                                 value);
        c->build.level = (int)number;
        return EXIT_OK;
    case OPT_CHUNK_SIZE:
        if (!command_parse_size(value, &number) || !cutter_average_valid(number))
            return command_usage("--chunk-size is a power of two from 8K to 256K, not \"%.32s\"",
                                 value);
        c->build.average_bytes = (uint32_t)number;
        return EXIT_OK;
    default:
        if (!command_parse_number(value, 1, 4096, &number))
            return command_usage("--jobs is a number from 1 to 4096, not \"%.32s\"", value);
        c->build.jobs = (unsigned)number;
        return EXIT_OK;
    }
}

static int parse_option(struct create *c, int option, char **argv)
{
    switch (option) {
    case OPT_STORE:
        c->store_path = optarg;
        return EXIT_OK;
    case OPT_NAME:
        c->name = optarg;
        return EXIT_OK;
    case OPT_CODEC:
        return parse_codec(c, optarg);
    case OPT_CUT:
        return parse_cut(c, optarg);
    case OPT_JSON:
        c->json = true;
        return EXIT_OK;
    case OPT_QUIET:
        log_quiet(true);
        return EXIT_OK;
    case OPT_LEVEL:
    case OPT_CHUNK_SIZE:
    case OPT_JOBS:
        return parse_numbers(c, option, optarg);
    default:
        return command_bad_option(option, argv);
    }
}

/* SOURCE_DATE_EPOCH makes the manifest reproducible. */
static int find_created(struct create *c)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    c->created = (uint64_t)time(NULL);
    if (epoch && !command_parse_number(epoch, 0, CREATED_MAX, &c->created))
        return command_usage("SOURCE_DATE_EPOCH is seconds since 1970, not \"%.32s\"", epoch);
    return EXIT_OK;
}

static int parse(struct create *c, int argc, char **argv)
{
    int option;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    c->build = (struct build_options){.codec = DLF_CODEC_LZ4,
                                      .level = DLF_LEVEL_MIN,
                                      .average_bytes = CUT_AVERAGE_DEFAULT,
                                      .cut_auto = true,
                                      .jobs = cores > 0 ? (unsigned)cores : 1};
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        int status = parse_option(c, option, argv);
        if (status != EXIT_OK)
            return status;
    }
    if (!c->store_path || !c->name)
        return command_usage("create needs --store DIR and --name NAME");
    if (!command_name_ok(c->name))
        return EXIT_USAGE;
    if (argc - optind != 1)
        return command_usage("create needs one IMAGE (- for standard input), not %d",
                             argc - optind);
    c->image_path = argv[optind];
    return find_created(c);
}

/* The version before this one: 1, 0 when there is none, or an error. */
static int read_previous(struct create *c, const struct store *store, struct dlf_manifest *previous,
                         struct dlf_sha256 *digest, struct dlf_err *err)
{
    struct dlf_err why;
    int rc = store_read_manifest(store, c->name, previous, digest, &why);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return dlf_fail(err, -rc,
                        "%s; put its last copy from %s/manifest back, or remove it to "
                        "begin with serial 1 again",
                        why.msg, store->path);
    if (previous->serial == UINT64_MAX)
        return dlf_fail(err, EOVERFLOW, "%s has the last serial that there is", c->name);
    return 1;
}

/* manifest/SHA256 first, then NAME.dlfuse: the moment from which nodes see the new version. */
static int publish(struct create *c, struct store *store, struct dlf_err *err)
{
    char text[DLF_MANIFEST_MAX];
    char path[DLF_OBJECT_PATH_MAX];
    char name[DLF_NAME_MAX + sizeof(DLF_MANIFEST_SUFFIX)];
    int size = dlf_manifest_format(&c->manifest, text, sizeof(text));
    if (size < 0)
        return dlf_fail(err, -size, "cannot write the manifest of %s", c->name);
    c->manifest_digest = dlf_sha256(text, (size_t)size);
    dlf_object_path(path, "manifest", &c->manifest_digest);
    snprintf(name, sizeof(name), "%s" DLF_MANIFEST_SUFFIX, c->name);
    int rc = store_put(store, "manifest", path, text, (size_t)size, err);
    if (rc == 0)
        rc = store_sync(store, "manifest", err);
    if (rc == 0)
        rc = store_put(store, NULL, name, text, (size_t)size, err);
    if (rc == 0)
        rc = store_sync(store, NULL, err);
    return rc;
}

static int build_and_publish(struct create *c, struct store *store, struct input *input,
                             struct build_result *result, struct dlf_err *err)
{
    struct dlf_manifest previous = {0};
    struct library library;
    int known = read_previous(c, store, &previous, &c->manifest_digest, err);
    if (known < 0)
        return known;
    int rc = library_open(&library, store, c->name, err);
    if (rc < 0)
        return rc;
    rc = build_image(store, &library, input, &c->build, result, err);
    library_close(&library);
    if (rc < 0)
        return rc;
    if (known && dlf_sha256_equal(&previous.index, &result->manifest.index)) {
        c->manifest = previous;
        return 0;
    }
    c->changed = true;
    c->manifest = result->manifest;
    memcpy(c->manifest.name, c->name, strlen(c->name) + 1);
    c->manifest.serial = previous.serial + 1;
    c->manifest.created = c->created;
    return publish(c, store, err);
}

static void print_json(const struct create *c, const struct build_result *r)
{
    struct json json = {.out = stdout};
    char hex[DLF_SHA256_HEX + 1];
    dlf_sha256_hex(&c->manifest_digest, hex);
    json_open(&json, NULL, '{');
    json_string(&json, "name", c->name);
    json_u64(&json, "serial", c->manifest.serial);
    json_string(&json, "manifest", hex);
    json_bool(&json, "changed", c->changed);
    json_u64(&json, "image_bytes", c->manifest.image_size);
    json_u64(&json, "data_bytes", r->data_bytes);
    json_u64(&json, "hole_bytes", c->manifest.image_size - r->data_bytes);
    json_u64(&json, "stored_bytes", r->counts.stored_bytes);
    json_u64(&json, "chunks", r->counts.chunks);
    json_u64(&json, "new_chunks", r->counts.new_chunks);
    json_u64(&json, "deduped_chunks", r->counts.chunks - r->counts.new_chunks);
    json_u64(&json, "new_bytes", r->counts.new_bytes);
    json_u64(&json, "packs", r->counts.packs);
    json_u64(&json, "new_packs", r->counts.new_packs);
    json_u64(&json, "index_bytes", c->manifest.index_size);
    json_string(&json, "filesystem", filesystem_name(r->filesystem));
    json_string(&json, "cut", cut_kind_name(r->cut));
    json_double(&json, "seconds", c->seconds);
    json_close(&json, '}');
    json_end(&json);
}

static void print_summary(const struct create *c, const struct build_result *r)
{
    double mb = 1e6;
    if (!c->changed) {
        log_note("%s is unchanged: serial %" PRIu64 " stays, nothing was published", c->name,
                 c->manifest.serial);
        return;
    }
    log_note("%s serial %" PRIu64 ": image %.1f MB, data %.1f MB in %" PRIu64
             " chunks; new: %" PRIu64 " chunks, %.1f MB in %u packs; %.1f s",
             c->name, c->manifest.serial, (double)c->manifest.image_size / mb,
             (double)r->data_bytes / mb, r->counts.chunks, r->counts.new_chunks,
             (double)r->counts.new_bytes / mb, r->counts.new_packs, c->seconds);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Everything behind the arguments. */
static int create(struct create *c, struct build_result *result, struct dlf_err *err)
{
    struct store store;
    struct input input;
    int rc = input_open(&input, c->image_path, err);
    if (rc < 0)
        return rc;
    rc = store_open(&store, c->store_path, true, err);
    if (rc == 0) {
        rc = store_lock(&store, err);
        if (rc == 0)
            rc = build_and_publish(c, &store, &input, result, err);
        store_close(&store);
    }
    input_close(&input);
    return rc;
}

int command_create(int argc, char **argv)
{
    struct create c = {0};
    struct build_result result = {0};
    struct dlf_err err = {{0}};
    int status = parse(&c, argc, argv);
    if (status != EXIT_OK)
        return status;
    double start = now();
    if (create(&c, &result, &err) < 0) {
        log_error("%s", err.msg);
        return EXIT_FAILED;
    }
    c.seconds = now() - start;
    if (c.json)
        print_json(&c, &result);
    print_summary(&c, &result);
    return command_flush(EXIT_OK);
}
