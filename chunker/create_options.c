/* Reads argv with getopt_long. Levels are checked last: their range depends on the codec. */
#include "chunker/create_options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chunker/command.h"
#include "chunker/log.h"

/* 9999-12-31T23:59:59Z, the last second that a manifest can say. */
#define CREATED_MAX UINT64_C(253402300799)

/* The default levels. */
#define LZ4_LEVEL 1
#define ZSTD_LEVEL 3
#define BOOT_LZ4_LEVEL 12
#define BOOT_ZSTD_LEVEL 19

enum { OPT_STORE = 256, OPT_NAME, OPT_CODEC, OPT_LEVEL, OPT_CHUNK_SIZE, OPT_JOBS, OPT_CUT };
enum {
    OPT_JSON = 300,
    OPT_QUIET,
    OPT_PROFILE,
    OPT_BOOT_CODEC,
    OPT_BOOT_LEVEL,
    OPT_SIGN,
    OPT_MIRROR,
    OPT_PARTITION,
    OPT_FORCE
};

static const struct option long_options[] = {
    {"store", required_argument, NULL, OPT_STORE},
    {"name", required_argument, NULL, OPT_NAME},
    {"codec", required_argument, NULL, OPT_CODEC},
    {"level", required_argument, NULL, OPT_LEVEL},
    {"chunk-size", required_argument, NULL, OPT_CHUNK_SIZE},
    {"jobs", required_argument, NULL, OPT_JOBS},
    {"cut", required_argument, NULL, OPT_CUT},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"boot-codec", required_argument, NULL, OPT_BOOT_CODEC},
    {"boot-level", required_argument, NULL, OPT_BOOT_LEVEL},
    {"sign", required_argument, NULL, OPT_SIGN},
    {"mirror", required_argument, NULL, OPT_MIRROR},
    {"partition", required_argument, NULL, OPT_PARTITION},
    {"force", no_argument, NULL, OPT_FORCE},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {NULL, 0, NULL, 0},
};

/* Values of argv that are checked when all arguments are known. */
struct parsing {
    struct create_options *options;
    const char *level; /* NULL: not given */
    const char *boot_level;
};

static int parse_codec(const char *option, const char *value, enum dlf_codec *out)
{
    int codec = dlf_codec_by_name(value);
    if (codec < 0)
        return command_usage("%s \"%.32s\" is not in this build; %slz4 and raw are", option, value,
                             dlf_codec_available(DLF_CODEC_ZSTD) ? "zstd, " : "");
    *out = (enum dlf_codec)codec;
    return EXIT_OK;
}

static int parse_level(const char *option, const char *value, enum dlf_codec codec, int *out)
{
    int min;
    int max;
    uint64_t number;
    if (!value)
        return EXIT_OK;
    if (!dlf_codec_level_range(codec, &min, &max))
        return command_usage("%s: codec %s has no levels", option, dlf_codec_name((uint8_t)codec));
    if (!command_parse_number(value, (uint64_t)min, (uint64_t)max, &number))
        return command_usage("%s is %d to %d for codec %s, not \"%.32s\"", option, min, max,
                             dlf_codec_name((uint8_t)codec), value);
    *out = (int)number;
    return EXIT_OK;
}

static int parse_cut(struct create_options *o, const char *value)
{
    o->build.cut_auto = strcmp(value, "auto") == 0;
    o->build.cut = strcmp(value, "bytes") == 0 ? CUT_BYTES : CUT_BLOCKS;
    if (o->build.cut_auto || strcmp(value, cut_kind_name(o->build.cut)) == 0)
        return EXIT_OK;
    return command_usage("--cut is auto, blocks or bytes, not \"%.32s\"", value);
}

static int parse_profile(struct create_options *o, const char *value)
{
    if (strcmp(value, "none") == 0) {
        o->profile_none = true;
        return EXIT_OK;
    }
    if (o->profile_count == CREATE_PROFILES_MAX)
        return command_usage("more than %d times --profile", CREATE_PROFILES_MAX);
    o->profiles[o->profile_count++] = value;
    return EXIT_OK;
}

static int parse_sign(struct create_options *o, const char *value)
{
    if (strcmp(value, "none") == 0)
        o->sign_none = true;
    else if (!signer_paths_add(&o->sign, value))
        return command_usage("more than %d times --sign", DLF_SIGNATURES_MAX);
    return EXIT_OK;
}

static int parse_mirror(struct create_options *o, const char *value)
{
    if (strcmp(value, "none") == 0) {
        o->mirror_none = true;
        return EXIT_OK;
    }
    if (!dlf_mirror_valid(value))
        return command_usage("--mirror is the URL of a store, http://HOST/PATH/ with a / at its "
                             "end, without a password, not \"%.300s\"",
                             value);
    if (o->mirror_count == DLF_MIRROR_LINES_MAX)
        return command_usage("more than %d times --mirror", DLF_MIRROR_LINES_MAX);
    o->mirrors[o->mirror_count++] = value;
    return EXIT_OK;
}

static int parse_numbers(struct create_options *o, int option, const char *value)
{
    uint64_t number;
    if (option == OPT_CHUNK_SIZE) {
        if (!command_parse_size(value, &number) || !cutter_average_valid(number))
            return command_usage("--chunk-size is a power of two from 8K to 256K, not \"%.32s\"",
                                 value);
        o->build.average_bytes = (uint32_t)number;
        return EXIT_OK;
    }
    if (!command_parse_number(value, 1, 4096, &number))
        return command_usage("--jobs is a number from 1 to 4096, not \"%.32s\"", value);
    o->build.jobs = (unsigned)number;
    return EXIT_OK;
}

static int parse_option(struct parsing *parsing, int option, char **argv)
{
    struct create_options *o = parsing->options;
    switch (option) {
    case OPT_STORE:
        o->store_path = optarg;
        return EXIT_OK;
    case OPT_NAME:
        o->name = optarg;
        return EXIT_OK;
    case OPT_CODEC:
        return parse_codec("codec", optarg, &o->build.codec);
    case OPT_LEVEL:
        parsing->level = optarg;
        return EXIT_OK;
    case OPT_BOOT_CODEC:
        o->boot_chosen = true;
        return parse_codec("codec", optarg, &o->boot_codec);
    case OPT_BOOT_LEVEL:
        o->boot_chosen = true;
        parsing->boot_level = optarg;
        return EXIT_OK;
    case OPT_PROFILE:
        return parse_profile(o, optarg);
    case OPT_SIGN:
        return parse_sign(o, optarg);
    case OPT_MIRROR:
        return parse_mirror(o, optarg);
    case OPT_CUT:
        return parse_cut(o, optarg);
    case OPT_PARTITION:
        o->partition = optarg;
        return EXIT_OK;
    case OPT_FORCE:
        o->force = true;
        return EXIT_OK;
    case OPT_JSON:
        o->json = true;
        return EXIT_OK;
    case OPT_QUIET:
        log_quiet(true);
        return EXIT_OK;
    case OPT_CHUNK_SIZE:
    case OPT_JOBS:
        return parse_numbers(o, option, optarg);
    default:
        return command_bad_option(option, argv);
    }
}

static int parse_levels(struct parsing *parsing)
{
    struct create_options *o = parsing->options;
    o->build.level = o->build.codec == DLF_CODEC_ZSTD ? ZSTD_LEVEL : LZ4_LEVEL;
    o->boot_level = o->boot_codec == DLF_CODEC_ZSTD ? BOOT_ZSTD_LEVEL : BOOT_LZ4_LEVEL;
    int status = parse_level("--level", parsing->level, o->build.codec, &o->build.level);
    if (status == EXIT_OK)
        status = parse_level("--boot-level", parsing->boot_level, o->boot_codec, &o->boot_level);
    return status;
}

static int check_operands(struct create_options *o, int argc, char **argv)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    if (!o->store_path || !o->name)
        return command_usage("create needs --store DIR and --name NAME");
    if (!command_name_ok(o->name))
        return EXIT_USAGE;
    if (o->profile_none && o->profile_count)
        return command_usage("--profile none and --profile FILE exclude each other");
    if (o->sign_none && o->sign.count)
        return command_usage("--sign none and --sign KEY.pem exclude each other");
    if (o->mirror_none && o->mirror_count)
        return command_usage("--mirror none and --mirror URL exclude each other");
    if (argc - optind != 1)
        return command_usage("create needs one IMAGE (- for standard input), not %d",
                             argc - optind);
    o->image_path = argv[optind];
    o->created = (uint64_t)time(NULL);
    if (epoch && !command_parse_number(epoch, 0, CREATED_MAX, &o->created))
        return command_usage("SOURCE_DATE_EPOCH is seconds since 1970, not \"%.32s\"", epoch);
    return EXIT_OK;
}

int create_options_parse(struct create_options *options, int argc, char **argv)
{
    struct parsing parsing = {.options = options};
    int option;
    int status = EXIT_OK;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    memset(options, 0, sizeof(*options));
    options->build = (struct build_options){.codec = DLF_CODEC_LZ4,
                                            .average_bytes = CUT_AVERAGE_DEFAULT,
                                            .cut_auto = true,
                                            .jobs = cores > 0 ? (unsigned)cores : 1};
    options->boot_codec = dlf_codec_available(DLF_CODEC_ZSTD) ? DLF_CODEC_ZSTD : DLF_CODEC_LZ4;
    while (status == EXIT_OK && (option = getopt_long(argc, argv, ":", long_options, NULL)) != -1)
        status = parse_option(&parsing, option, argv);
    if (status == EXIT_OK)
        status = parse_levels(&parsing);
    return status == EXIT_OK ? check_operands(options, argc, argv) : status;
}
