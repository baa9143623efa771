/* Commas, quotes and escapes. Owns nothing. */
#include "chunker/json.h"

#include <inttypes.h>

static void put_string(struct json *json, const char *text)
{
    fputc('"', json->out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(json->out, "\\%c", *p);
        else if (*p < ' ')
            fprintf(json->out, "\\u%04x", *p);
        else
            fputc(*p, json->out);
    }
    fputc('"', json->out);
}

static void begin_value(struct json *json, const char *key)
{
    if (json->need_comma)
        fputc(',', json->out);
    json->need_comma = true;
    if (key) {
        put_string(json, key);
        fputc(':', json->out);
    }
}

void json_open(struct json *json, const char *key, char bracket)
{
    begin_value(json, key);
    fputc(bracket, json->out);
    json->need_comma = false;
}

void json_close(struct json *json, char bracket)
{
    fputc(bracket, json->out);
    json->need_comma = true;
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_double(struct json *json, const char *key, double value)
{
    begin_value(json, key);
    fprintf(json->out, "%.3f", value);
}

void json_bool(struct json *json, const char *key, bool value)
{
    begin_value(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_string(struct json *json, const char *key, const char *value)
{
    begin_value(json, key);
    put_string(json, value);
}

void json_end(struct json *json)
{
    fputc('\n', json->out);
}
