/*
 * Messages to the user and the progress line, on stderr.
 *
 * One line each, which begins with the program's name. Any thread may call these; only the write
 * itself can block. The program's only mutable file-scope state lives behind this header.
 */
#ifndef DLFUSE_CHUNKER_LOG_H
#define DLFUSE_CHUNKER_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* An error or a warning: always printed. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* For information; not printed after log_quiet(true). */
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_quiet(bool quiet);

/* Starts a progress line when stderr is a terminal and the log is not quiet. total_bytes may be 0:
 * not known. */
void log_progress_start(const char *what, uint64_t total_bytes);

/* Reports the work done so far. Cheap: draws at most ten times a second. One thread at a time. */
void log_progress(uint64_t done_bytes);

/* Removes the line. */
void log_progress_stop(void);

#endif
