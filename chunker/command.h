/*
 * The commands, and their shared helpers. A command gets the arguments from its own name on, prints
 * its errors, and returns the program's exit status.
 */
#ifndef DLFUSE_CHUNKER_COMMAND_H
#define DLFUSE_CHUNKER_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#define EXIT_OK 0
#define EXIT_FAILED 1 /* or damage found */
#define EXIT_USAGE 2

int command_create(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_extract(int argc, char **argv);
int command_info(int argc, char **argv);
int command_sign(int argc, char **argv);
int command_gc(int argc, char **argv);

/* Prints the line and a pointer to --help; returns EXIT_USAGE. */
int command_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * For a getopt_long return value that is no option of the command: '?' or ':' with optopt and argv
 * as getopt left them. Returns EXIT_USAGE.
 */
int command_bad_option(int value, char **argv);

/* "64K", "1M", "65536": digits and at most one of K, M, G (powers of 1024). */
bool command_parse_size(const char *text, uint64_t *bytes);

/* Decimal digits only, from min to max. */
bool command_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number);

/* "90s", "30m", "12h", "7d": digits and a unit; at most 1,000,000 days. */
bool command_parse_duration(const char *text, int64_t *seconds);

/* Prints the usage line and returns false when name is not a valid image name. */
bool command_name_ok(const char *name);

/* Flushes standard output; prints the line and returns EXIT_FAILED when that fails. */
int command_flush(int status);

#endif
