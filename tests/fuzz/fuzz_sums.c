/*
 * Any bytes as checksums of files, in which the name "a" is looked for. Found or refused with a
 * word.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/sums.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlf_sha256 digest;
    struct dlf_err err = {""};
    char hex[DLF_SHA256_HEX + 1];
    if (dlf_sums_find((const char *)data, size, "a", &digest, &err) < 0) {
        if (!err.msg[0])
            abort();
        return 0;
    }
    /* It is somewhere in there, as it would be written. */
    dlf_sha256_hex(&digest, hex);
    if (!memmem(data, size, hex, DLF_SHA256_HEX))
        abort();
    return 0;
}
