/* Reads and writes the container; libcrypto does Ed25519 and base64. Owns nothing; any thread. */
#include "format/signature.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char word[] = "signature ";
#define WORD_SIZE (sizeof(word) - 1)
#define BASE64_SIZE 88

static bool begins_signature(const char *line, size_t left)
{
    return left >= WORD_SIZE && memcmp(line, word, WORD_SIZE) == 0;
}

/* The offset of the first line that begins like a signature, or the end. *line is its number, from
 * 1. */
static size_t find_body_end(const char *text, size_t size, unsigned *line)
{
    size_t at = 0;
    *line = 1;
    while (at < size && !begins_signature(text + at, size - at)) {
        const char *end = memchr(text + at, '\n', size - at);
        at = end ? (size_t)(end - text) + 1 : size;
        (*line)++;
    }
    return at;
}

static bool read_key_id(const char *digits, char id[DLF_KEY_ID_HEX + 1])
{
    for (size_t i = 0; i < DLF_KEY_ID_HEX; i++) {
        char c = digits[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        id[i] = c;
    }
    id[DLF_KEY_ID_HEX] = 0;
    return true;
}

/* 64 bytes have exactly one text: encoded again, they must give the same digits. */
static bool read_base64(const char *digits, uint8_t bytes[DLF_SIGNATURE_SIZE])
{
    unsigned char out[BASE64_SIZE / 4 * 3];
    unsigned char again[BASE64_SIZE + 1];
    /* "==" stands for the two extra bytes. */
    if (EVP_DecodeBlock(out, (const unsigned char *)digits, BASE64_SIZE) != (int)sizeof(out) ||
        EVP_EncodeBlock(again, out, DLF_SIGNATURE_SIZE) != BASE64_SIZE ||
        memcmp(again, digits, BASE64_SIZE) != 0)
        return false;
    memcpy(bytes, out, DLF_SIGNATURE_SIZE);
    return true;
}

static bool read_line(struct dlf_signature *s, const char *line, size_t left)
{
    return left >= DLF_SIGNATURE_LINE && begins_signature(line, left) &&
           read_key_id(line + WORD_SIZE, s->key_id) && line[WORD_SIZE + DLF_KEY_ID_HEX] == ' ' &&
           read_base64(line + WORD_SIZE + DLF_KEY_ID_HEX + 1, s->bytes) &&
           line[DLF_SIGNATURE_LINE - 1] == '\n';
}

static struct dlf_signature *find_signature(struct dlf_signatures *s, const char *key_id)
{
    for (unsigned i = 0; i < s->count; i++)
        if (strcmp(s->list[i].key_id, key_id) == 0)
            return &s->list[i];
    return NULL;
}

int dlf_signatures_read(struct dlf_signatures *signatures, const char *text, size_t size,
                        struct dlf_err *err)
{
    struct dlf_signatures s = {.count = 0};
    unsigned line;
    s.body_size = find_body_end(text, size, &line);
    if (s.body_size == 0 && size)
        return dlf_fail(err, EBADMSG, "line 1: a signature, but nothing that it could sign");
    for (size_t at = s.body_size; at < size; at += DLF_SIGNATURE_LINE, line++) {
        struct dlf_signature next;
        if (s.count == DLF_SIGNATURES_MAX)
            return dlf_fail(err, EFBIG, "line %u: more than %d signatures", line,
                            DLF_SIGNATURES_MAX);
        if (!read_line(&next, text + at, size - at))
            return dlf_fail(err, EBADMSG,
                            "line %u: not a signature (\"signature KEYID BASE64\" and LF), and "
                            "nothing else may be here",
                            line);
        if (find_signature(&s, next.key_id))
            return dlf_fail(err, EBADMSG, "line %u: a second signature by key %s", line,
                            next.key_id);
        s.list[s.count++] = next;
    }
    *signatures = s;
    return 0;
}

int dlf_signatures_write(const struct dlf_signatures *signatures, char *out, size_t room)
{
    size_t size = 0;
    if (room < (size_t)signatures->count * DLF_SIGNATURE_LINE + 1)
        return -EINVAL;
    for (unsigned i = 0; i < signatures->count; i++) {
        const struct dlf_signature *s = &signatures->list[i];
        unsigned char base64[BASE64_SIZE + 1];
        EVP_EncodeBlock(base64, s->bytes, DLF_SIGNATURE_SIZE);
        size += (size_t)snprintf(out + size, room - size, "%s%s %s\n", word, s->key_id,
                                 (const char *)base64);
    }
    out[size] = 0;
    return (int)size;
}

/* The signed bytes in one piece, as Ed25519 requires; the caller frees them. */
static uint8_t *signed_bytes(const char *prefix, const char *body, size_t body_size, size_t *size)
{
    size_t prefix_size = strlen(prefix);
    uint8_t *bytes = malloc(prefix_size + body_size);
    if (!bytes)
        return NULL;
    memcpy(bytes, prefix, prefix_size);
    memcpy(bytes + prefix_size, body, body_size);
    *size = prefix_size + body_size;
    return bytes;
}

static bool make(const struct dlf_secret_key *key, const uint8_t *bytes, size_t size,
                 uint8_t out[DLF_SIGNATURE_SIZE])
{
    size_t made = DLF_SIGNATURE_SIZE;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->seed, DLF_KEY_SIZE);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = pkey && md && EVP_DigestSignInit(md, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestSign(md, out, &made, bytes, size) == 1 && made == DLF_SIGNATURE_SIZE;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return ok;
}

static bool is_right(const struct dlf_public_key *key, const uint8_t *bytes, size_t size,
                     const uint8_t signature[DLF_SIGNATURE_SIZE])
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, DLF_KEY_SIZE);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    /* Exactly 1: other values are an error or a wrong signature. */
    bool ok = pkey && md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestVerify(md, signature, DLF_SIGNATURE_SIZE, bytes, size) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return ok;
}

int dlf_signatures_add(struct dlf_signatures *signatures, const struct dlf_secret_key *key,
                       const char *prefix, const char *body, struct dlf_err *err)
{
    struct dlf_signature *place = find_signature(signatures, key->public.id);
    struct dlf_signature made;
    size_t size;
    if (!place && signatures->count == DLF_SIGNATURES_MAX)
        return dlf_fail(err, EFBIG, "it has %d signatures, and more are not allowed",
                        DLF_SIGNATURES_MAX);
    uint8_t *bytes = signed_bytes(prefix, body, signatures->body_size, &size);
    if (!bytes)
        return dlf_fail(err, ENOMEM, "out of memory");
    memcpy(made.key_id, key->public.id, sizeof(made.key_id));
    bool ok = make(key, bytes, size, made.bytes);
    free(bytes);
    if (!ok)
        return dlf_fail(err, EIO, "libcrypto cannot sign with key %s", key->public.id);
    if (!place)
        place = &signatures->list[signatures->count++];
    *place = made;
    return 0;
}

/* "A, B and 3 more" */
static void list_ids(char *out, size_t room, const char *first_id, size_t stride, unsigned count)
{
    unsigned shown = count > 4 ? 3 : count;
    int n = 0;
    out[0] = 0;
    for (unsigned i = 0; i < shown; i++)
        n += snprintf(out + n, room - (size_t)n, "%s%s", i ? ", " : "", first_id + i * stride);
    if (shown < count)
        snprintf(out + n, room - (size_t)n, " and %u more", count - shown);
}

static int by_nobody_trusted(const struct dlf_keys *keys, const struct dlf_signatures *s,
                             struct dlf_err *err)
{
    char theirs[128];
    char ours[128];
    list_ids(theirs, sizeof(theirs), s->list[0].key_id, sizeof(s->list[0]), s->count);
    list_ids(ours, sizeof(ours), keys->list[0].id, sizeof(keys->list[0]), keys->count);
    return dlf_fail(err, EKEYREJECTED, "it is signed by key %s, and trusted is only %s", theirs,
                    keys->count ? ours : "nobody");
}

int64_t dlf_signed_verify(const struct dlf_keys *keys, const char *prefix, const char *text,
                          size_t size, char signed_by[DLF_KEY_ID_HEX + 1], struct dlf_err *err)
{
    struct dlf_signatures s;
    size_t bytes_size;
    const char *wrong = NULL;
    const char *right = NULL;
    int rc = dlf_signatures_read(&s, text, size, err);
    if (rc < 0)
        return rc;
    if (s.count == 0)
        return dlf_fail(err, EKEYREJECTED, "it is not signed, and only signed ones are trusted");
    uint8_t *bytes = signed_bytes(prefix, text, s.body_size, &bytes_size);
    if (!bytes)
        return dlf_fail(err, ENOMEM, "out of memory");
    for (unsigned i = 0; !right && i < s.count * keys->count; i++) {
        const struct dlf_signature *signature = &s.list[i / keys->count];
        const struct dlf_public_key *key = &keys->list[i % keys->count];
        if (strcmp(signature->key_id, key->id) != 0)
            continue;
        if (is_right(key, bytes, bytes_size, signature->bytes))
            right = key->id;
        else
            wrong = key->id;
    }
    free(bytes);
    if (right) {
        memcpy(signed_by, right, DLF_KEY_ID_HEX + 1);
        return (int64_t)s.body_size;
    }
    if (wrong)
        return dlf_fail(
            err, EKEYREJECTED,
            "the signature by key %s is wrong: these are not the bytes that were signed", wrong);
    return by_nobody_trusted(keys, &s, err);
}
