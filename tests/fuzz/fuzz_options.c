/*
 * Any bytes as the arguments of mount: separated by NUL, at most 64. They come from kernel
 * arguments and fstab, so by way of whoever boots the machine. Refused with a word, or in range.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/options.h"

#define ARGUMENTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct dlf_options *o)
{
    if (o->url_count < 1 || o->url_count > DLF_OPTION_URLS_MAX || !o->target ||
        o->cache_bytes == 0 || o->timeout_ms > UINT64_C(86400000) || o->fill_delay_ms > 86400000)
        abort();
    for (unsigned i = 0; i < o->url_count; i++) {
        if (!o->urls[i])
            abort();
    }
}

static void take(char *text, size_t size)
{
    char *argv[ARGUMENTS_MAX + 1];
    int argc = 0;
    struct dlf_options options;
    struct dlf_err err = {""};
    uint64_t bytes;
    for (char *p = text; p < text + size && argc < ARGUMENTS_MAX; p += strlen(p) + 1) {
        dlf_parse_size(p, &bytes);
        argv[argc++] = p;
    }
    argv[argc] = NULL;
    if (dlf_options_parse(&options, argc, argv, &err) == 0)
        check(&options);
    else if (!err.msg[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = 0;
    take(text, size);
    free(text);
    return 0;
}
