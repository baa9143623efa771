/* dlfuse-chunker: finds the command, and helps the commands with their arguments. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/command.h"
#include "chunker/log.h"
#include "format/manifest.h"

#define DURATION_MAX_S (UINT64_C(1000000) * 86400)

static const char help[] =
    "dlfuse-chunker: image files into a store of chunks, and back\n"
    "\n"
    "  dlfuse-chunker create  --store DIR --name NAME [OPTIONS] IMAGE   add an image or its next "
    "version\n"
    "  dlfuse-chunker verify  --store DIR [--json] [NAME]               read and check every "
    "object\n"
    "  dlfuse-chunker extract --store DIR NAME IMAGE                    put an image together "
    "again\n"
    "  dlfuse-chunker info    --store DIR [--json] NAME                 sizes, ratios, what is "
    "shared\n"
    "  dlfuse-chunker gc      --store DIR [OPTIONS]                     delete what no kept "
    "version "
    "needs\n"
    "  dlfuse-chunker sign    --store DIR --name NAME --sign KEY.pem    sign what is published\n"
    "  dlfuse-chunker sign    --sums FILE --sign KEY.pem                sign a file of checksums\n"
    "\n"
    "IMAGE is a file, a block device (create), or - for standard input or output.\n"
    "\n"
    "Options of create:\n"
    "  --codec lz4|zstd|raw    how chunks are stored (lz4)\n"
    "  --level N               lz4: 1 is LZ4 fast, 3 to 12 are LZ4HC (1); zstd: 1 to 19 (3)\n"
    "  --profile FILE          a trace of a boot (dlfuse trace): write a boot pack in its order; "
    "again "
    "for more\n"
    "                          traces. Without it the profile of the version before is kept; none "
    "drops it\n"
    "  --boot-codec C          how the boot pack's chunks are stored (zstd, or lz4 where it is not "
    "built in)\n"
    "  --boot-level N          (19 for zstd, 12 for lz4)\n"
    "  --chunk-size N          average, a power of two from 8K to 256K (64K)\n"
    "  --cut auto|blocks|bytes where chunks end: by looking at the image, at 4 KiB blocks, "
    "anywhere "
    "(auto)\n"
    "  --jobs N                worker threads (all cores); the result is the same\n"
    "  --sign KEY.pem          sign the manifest with this Ed25519 key; again for more keys. none: "
    "leave\n"
    "                          it unsigned, though the version before was signed\n"
    "  --mirror URL            another place of the store, http://HOST/PATH/, that nodes may ask; "
    "again\n"
    "                          for more. Without it those of the version before are kept; none "
    "drops them\n"
    "  --partition N|NAME      only this partition of a disk, by number, name or file system "
    "label\n"
    "  --force                 also what nodes cannot mount: a disk with partitions, qcow2, LVM, "
    "a cut-off\n"
    "                          file system; and no warning where no file system is recognised\n"
    "  --json                  a summary as JSON on standard output\n"
    "  --quiet                 only warnings and errors\n"
    "\n"
    "Options of verify:\n"
    "  --key PUB.pem           each current manifest must be signed by this key; again for others "
    "that\n"
    "                          may have signed instead\n"
    "\n"
    "Options of gc:\n"
    "  --keep N|DURATION       of each image the last N versions, or those in use in this time "
    "(7d)\n"
    "  --grace DURATION        nothing that was written in this time goes (1d)\n"
    "  --dry-run               say what would go\n"
    "  --json, --quiet         as above\n"
    "A DURATION is a number and s, m, h or d.\n"
    "\n"
    "Exit status: 0 done, 1 failed or damage found, 2 wrong usage. See dlfuse-chunker(1).\n";

int command_usage(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_error("%s (dlfuse-chunker --help says more)", text);
    return EXIT_USAGE;
}

int command_bad_option(int value, char **argv)
{
    const char *what = argv[optind - 1];
    if (value == ':')
        return command_usage("%s needs a value", what);
    return command_usage("%s is not an option of %s, or not in this form", what, argv[0]);
}

bool command_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno || *end || n < min || n > max)
        return false;
    *number = n;
    return true;
}

bool command_parse_size(const char *text, uint64_t *bytes)
{
    static const char suffixes[] = "KMG";
    char digits[24];
    size_t length = strlen(text);
    unsigned shift = 0;
    uint64_t number;
    if (length == 0 || length >= sizeof(digits))
        return false;
    memcpy(digits, text, length + 1);
    const char *suffix = strchr(suffixes, digits[length - 1]);
    if (suffix) {
        shift = 10 * (unsigned)(suffix - suffixes + 1);
        digits[length - 1] = 0;
    }
    if (!command_parse_number(digits, 0, UINT64_MAX >> shift, &number))
        return false;
    *bytes = number << shift;
    return true;
}

bool command_parse_duration(const char *text, int64_t *seconds)
{
    static const struct {
        char unit;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char digits[24];
    size_t length = strlen(text);
    uint64_t number;
    if (length < 2 || length >= sizeof(digits))
        return false;
    memcpy(digits, text, length - 1);
    digits[length - 1] = 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].unit != text[length - 1])
            continue;
        if (!command_parse_number(digits, 0, DURATION_MAX_S / units[i].seconds, &number))
            return false;
        *seconds = (int64_t)(number * units[i].seconds);
        return true;
    }
    return false;
}

bool command_name_ok(const char *name)
{
    if (dlf_name_valid(name))
        return true;
    command_usage("\"%.160s\" is not a valid name: 1 to %d letters, digits, '.', '_' or '-', not "
                  "beginning with '.' or '-'",
                  name, DLF_NAME_MAX);
    return false;
}

int command_flush(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    log_error("cannot write to standard output: %s", strerror(errno));
    return EXIT_FAILED;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"create", command_create}, {"verify", command_verify}, {"extract", command_extract},
    {"info", command_info},     {"gc", command_gc},         {"sign", command_sign},
};

int main(int argc, char **argv)
{
    /* A closed pipe is then an error to report, and does not kill the program. */
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2)
        return command_usage("a command is needed: create, verify, extract, info, gc or sign");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(help, stdout);
        return command_flush(EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("dlfuse-chunker " DLFUSE_VERSION);
        return command_flush(EXIT_OK);
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        if (argc == 3 && strcmp(argv[2], "--help") == 0) {
            fputs(help, stdout);
            return command_flush(EXIT_OK);
        }
        opterr = 0;
        return commands[i].run(argc - 1, argv + 1);
    }
    return command_usage("\"%.64s\" is not a command", argv[1]);
}
