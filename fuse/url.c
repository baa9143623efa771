/* Takes URLs apart, strictly: an odd one is refused, because another program may read it in another
 * way. */
#include "fuse/url.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A stretch of a URL. */
struct span {
    const char *begin;
    const char *end;
};

static size_t length_of(struct span s)
{
    return (size_t)(s.end - s.begin);
}

/* The part between "://" and the path, in two: before the last '@', and behind it. */
static void find_authority(const char *url, struct span *credentials, struct span *server)
{
    const char *scheme = strstr(url, "://");
    const char *begin = scheme ? scheme + 3 : url;
    const char *end = begin + strcspn(begin, "/?#");
    *credentials = (struct span){begin, begin};
    *server = (struct span){begin, end};
    for (const char *p = begin; p < end; p++)
        if (*p == '@') { /* a password may have one too: the last counts */
            credentials->end = p;
            server->begin = p + 1;
        }
}

void dlf_url_shown(char *out, size_t room, const char *url)
{
    struct span credentials;
    struct span server;
    find_authority(url, &credentials, &server);
    snprintf(out, room, "%.*s%.*s", (int)(credentials.begin - url), url,
             (int)strcspn(server.begin, "?#"), server.begin);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies a stretch, %XX decoded. False when it does not fit or is not decodable. */
static bool decode(char *out, size_t room, struct span from)
{
    size_t n = 0;
    for (const char *p = from.begin; p < from.end; p++) {
        char c = *p;
        if ((unsigned char)c <= ' ' || c == '\\')
            return false;
        if (c == '%') {
            int high = p + 2 < from.end ? hex_digit(p[1]) : -1;
            int low = high < 0 ? -1 : hex_digit(p[2]);
            if (low < 0 || high * 16 + low == 0)
                return false;
            c = (char)(high * 16 + low);
            p += 2;
        }
        if (n + 1 == room)
            return false;
        out[n++] = c;
    }
    out[n] = 0;
    return true;
}

static bool copy(char *out, size_t room, struct span from)
{
    if (length_of(from) >= room)
        return false;
    memcpy(out, from.begin, length_of(from));
    out[length_of(from)] = 0;
    return true;
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT */
static bool split_server(struct dlf_url *u, struct span server)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-._~%";
    static const char address[] = "[]abcdef0123456789:.%";
    bool literal = server.begin < server.end && *server.begin == '[';
    const char *colon = NULL;
    for (const char *p = server.end; p > server.begin && p[-1] != ']'; p--)
        if (p[-1] == ':')
            colon = p - 1;
    struct span host = {server.begin, colon ? colon : server.end};
    struct span port = {colon ? colon + 1 : server.end, server.end};
    if (!length_of(host) || (literal && host.end[-1] != ']'))
        return false;
    for (const char *p = host.begin; p < host.end; p++)
        if (!strchr(literal ? address : plain, tolower((unsigned char)*p)))
            return false;
    for (const char *p = port.begin; p < port.end; p++)
        if (*p < '0' || *p > '9')
            return false;
    if (!length_of(port))
        snprintf(u->port, sizeof(u->port), "%s", strcmp(u->scheme, "https") == 0 ? "443" : "80");
    else if (!copy(u->port, sizeof(u->port), port))
        return false;
    return copy(u->host, sizeof(u->host), host);
}

bool dlf_url_split(struct dlf_url *parts, const char *url)
{
    struct dlf_url u = {.scheme = ""};
    struct span credentials;
    struct span server;
    if (strncasecmp(url, "http://", 7) == 0)
        strcpy(u.scheme, "http");
    else if (strncasecmp(url, "https://", 8) == 0)
        strcpy(u.scheme, "https");
    else
        return false;
    find_authority(url, &credentials, &server);
    const char *colon = memchr(credentials.begin, ':', length_of(credentials));
    struct span user = {credentials.begin, colon ? colon : credentials.end};
    struct span password = {colon ? colon + 1 : credentials.end, credentials.end};
    if (!decode(u.user, sizeof(u.user), user) ||
        !decode(u.password, sizeof(u.password), password) || !split_server(&u, server))
        return false;
    *parts = u;
    return true;
}

bool dlf_url_same_server(const struct dlf_url *parts, const char *url)
{
    struct dlf_url other;
    return dlf_url_split(&other, url) && strcmp(parts->scheme, other.scheme) == 0 &&
           strcasecmp(parts->host, other.host) == 0 && strcmp(parts->port, other.port) == 0;
}

/* The beginning of the path segment that ends where end points to, a '/'; path is the first '/'. */
static const char *segment_before(const char *path, const char *end)
{
    while (end > path && end[-1] != '/')
        end--;
    return end;
}

const char *dlf_url_below_store(const char *url)
{
    static const char *const inside[] = {"releases/", "groups/"};
    const char *path = strchr(strstr(url, "://") + 3, '/');
    const char *slash = strrchr(url, '/');
    const char *id = segment_before(path, slash);
    if (id <= path || id == slash)
        return slash + 1;
    const char *directory = segment_before(path, id - 1);
    size_t length = (size_t)(id - directory);
    for (size_t i = 0; directory > path && i < sizeof(inside) / sizeof(inside[0]); i++)
        if (length == strlen(inside[i]) && strncmp(directory, inside[i], length) == 0)
            return directory;
    return slash + 1;
}
