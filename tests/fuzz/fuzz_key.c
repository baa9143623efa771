/* Any bytes as a key file: refused with a word, or a key with its id. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlf_public_key public;
    struct dlf_secret_key secret;
    struct dlf_err err = {""};
    if (dlf_public_key_read(&public, (const char *)data, size, &err) == 0
            ? strlen(public.id) != DLF_KEY_ID_HEX
            : !err.msg[0])
        abort();
    err.msg[0] = 0;
    if (dlf_secret_key_read(&secret, (const char *)data, size, &err) == 0
            ? strlen(secret.public.id) != DLF_KEY_ID_HEX
            : !err.msg[0])
        abort();
    return 0;
}
