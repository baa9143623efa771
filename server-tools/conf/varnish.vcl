# Varnish 6.0 or later as a cache between nodes and a mirror. Change: the backend and its probe. Start it with
#
#     varnishd -f /etc/varnish/dlfuse.vcl -a :80 -s malloc,8G -p http_gzip_support=off
#
# Varnish fetches whole objects: a range of a pack costs the whole pack, 8 MiB, once. Answers begin before the object is
# complete. nginx with slices fetches less (nginx-cache.conf); Varnish is quicker with objects that it has.
vcl 4.1;

import std;

backend mirror {
    .host = "mirror.example";
    .port = "80";
    .connect_timeout = 5s;
    .first_byte_timeout = 30s;
    # dlfuse-publish keeps this file at the top of every mirror.
    .probe = {
        .url = "/images/history";
        .interval = 2s;
        .timeout = 2s;
        .window = 4;
        .threshold = 2;
    }
}

sub vcl_recv {
    if (req.method != "GET" && req.method != "HEAD") {
        return (synth(405));
    }
    unset req.http.Cookie;
    unset req.http.Authorization;
    # While the mirror is up, no stale file is served; while it is down, machines boot from the last version.
    if (std.healthy(req.backend_hint)) {
        set req.grace = 0s;
    }
    return (hash);
}

# A mirror with several names is one mirror.
sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_fetch {
    unset bereq.http.Accept-Encoding;
}

sub vcl_backend_response {
    unset beresp.http.Set-Cookie;
    if (beresp.status != 200 && beresp.status != 304) {
        # The object is not there yet, or the mirror has trouble: the next request goes to the mirror again.
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
        return (deliver);
    }
    if (bereq.url ~ "/(pack|index|boot|manifest)/[0-9a-f]{64}$" || bereq.url ~ "/releases/[^/]+/") {
        # Immutable: kept until there is no room.
        set beresp.ttl = 365d;
    } else {
        # Manifests and groups: requested again after a second, by If-None-Match.
        set beresp.ttl = 1s;
        set beresp.grace = 30d;
    }
    return (deliver);
}

sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.X-Cache-Status = "HIT";
    } else {
        set resp.http.X-Cache-Status = "MISS";
    }
}
