/*
 * Any bytes as a signed text: refused with a word, or read and written again as the same bytes; and
 * never verified. No input of this program was signed by the key that it trusts.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                              "-----END PUBLIC KEY-----\n";

static void check_round_trip(const struct dlf_signatures *s, const uint8_t *data, size_t size)
{
    char again[DLF_SIGNATURES_TEXT_MAX + 1];
    int n = dlf_signatures_write(s, again, sizeof(again));
    if (n < 0 || s->body_size > size || (size_t)n != size - s->body_size ||
        memcmp(again, data + s->body_size, (size_t)n) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dlf_keys keys;
    struct dlf_signatures s;
    struct dlf_err err = {""};
    char by[DLF_KEY_ID_HEX + 1];
    struct dlf_public_key key;
    if (keys.count == 0 && (dlf_public_key_read(&key, key_pem, sizeof(key_pem) - 1, &err) < 0 ||
                            dlf_keys_add(&keys, &key, &err) < 0))
        abort();
    if (dlf_signatures_read(&s, (const char *)data, size, &err) == 0)
        check_round_trip(&s, data, size);
    else if (!err.msg[0])
        abort();
    err.msg[0] = 0;
    if (dlf_signed_verify(&keys, DLF_SIGNS_SUMS, (const char *)data, size, by, &err) >= 0 ||
        !err.msg[0])
        abort();
    return 0;
}
