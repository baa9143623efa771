/* The arguments of create: parsed, checked, with defaults. */
#ifndef DLFUSE_CHUNKER_CREATE_OPTIONS_H
#define DLFUSE_CHUNKER_CREATE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "chunker/build.h"
#include "chunker/signer.h"

/* Traces that one create takes. */
#define CREATE_PROFILES_MAX 64

struct create_options {
    const char *store_path; /* borrowed from argv, like all pointers here */
    const char *name;
    const char *image_path;
    const char *partition;                     /* number or name; NULL: all of the input */
    bool force;                                /* any contents are fine */
    const char *profiles[CREATE_PROFILES_MAX]; /* traces */
    unsigned profile_count;
    bool profile_none; /* no boot pack, also when the version before has one */
    bool boot_chosen;  /* the arguments chose the boot pack's codec or level */
    enum dlf_codec boot_codec;
    int boot_level;
    struct build_options build;
    struct signer_paths sign; /* secret keys */
    bool sign_none;           /* unsigned, also when the version before is signed */
    const char *mirrors[DLF_MIRROR_LINES_MAX]; /* URLs */
    unsigned mirror_count;
    bool mirror_none; /* no mirrors, also when the version before has some */
    bool json;
    uint64_t created; /* seconds since 1970; SOURCE_DATE_EPOCH makes the manifest reproducible */
};

/* EXIT_OK, or EXIT_USAGE after an error line. */
int create_options_parse(struct create_options *options, int argc, char **argv);

#endif
