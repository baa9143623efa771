/* Writes JSON to a stream: objects, arrays, and members in the order of the calls. One thread. */
#ifndef DLFUSE_CHUNKER_JSON_H
#define DLFUSE_CHUNKER_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *out;
    bool need_comma;
};

/* key is NULL for the outermost value and for those in an array. */
void json_open(struct json *json, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json *json, char bracket);                 /* '}' or ']' */
void json_u64(struct json *json, const char *key, uint64_t value);
void json_double(struct json *json, const char *key, double value); /* three decimals */
void json_bool(struct json *json, const char *key, bool value);
void json_string(struct json *json, const char *key, const char *value);

/* Ends the document with a newline. */
void json_end(struct json *json);

#endif
