/*
 * URLs of mirrors: their parts, and how they may be shown: without the user name, the password and
 * the query that they may carry. Pure.
 */
#ifndef DLFUSE_FUSE_URL_H
#define DLFUSE_FUSE_URL_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a URL, NUL included. */
#define DLF_URL_MAX 2048

struct dlf_url {
    char scheme[6]; /* "http" or "https" */
    char host[256]; /* an IPv6 address has its brackets */
    char port[6];   /* also where the URL gives none */
    char user[256]; /* decoded; empty: none */
    char password[256];
};

/* False when url is not http:// or https:// with a host, or has parts that no such URL has. */
bool dlf_url_split(struct dlf_url *parts, const char *url);

/* Is url of the same scheme, host and port? */
bool dlf_url_same_server(const struct dlf_url *parts, const char *url);

/*
 * The part of url below the store: the name behind its last '/'. But a manifest in releases/ID/ or
 * groups/GROUP/ belongs to the store that has these directories (docs/FORMAT.md): then they belong
 * to the part. url is accepted by dlf_url_split, and has a path and no query. Points into url.
 */
const char *dlf_url_below_store(const char *url);

/* Copies url without "user:password@" and without the part behind '?' or '#', which may be a token;
 * cut off where out has no more room. */
void dlf_url_shown(char *out, size_t room, const char *url);

#endif
