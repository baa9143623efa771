"""The faults, each with what the node must do. run says how that is checked.

What a case expects (Case.kind):
    right     every byte right, no read fails, within the bound: the fault passes, or does no harm
    eio       the fault stays: with timeout=2 each read fails with EIO within READ_S, none is wrong; then
              the server is healed and all is right within the bound; or, with heal=False, the node can
              be unmounted while the fault is there
    refused   the mount fails within the bound with one line that names the URL and the cause
    download  `dlfuse download` makes the right file within the bound
    no-download  it fails with such a line, and leaves no file

In rules, {pack}, {gone} and the like are filled in by run's Store.
"""

import dataclasses

MIB = 1 << 20
IMAGE_MIB = 12
TIMEOUT_S = 2  # of reads that a lasting fault must fail
READ_S = 2 * TIMEOUT_S + 2  # until they have failed: the kernel asks twice, with read-ahead and without
STALL_S = 10  # the node's own limit, where timeout= does not say less
STALL_STANDBY_S = 4  # the same where another mirror is up
PEAK_MIB = 24 + IMAGE_MIB  # the node (docs/ARCHITECTURE.md, Memory) and its cache
REQUESTS = 150  # at most while two reads fail: a bad server is not hammered


@dataclasses.dataclass
class Case:
    name: str
    kind: str
    rules: tuple
    within: float
    image: str = "plain"
    options: str = ""
    says: str = ""  # a regular expression for the log, or the refusal
    moved: tuple = ()  # counters of the status that cannot be 0; "a|b": not both
    still: tuple = ()  # counters that must be 0
    idle: float = 0  # seconds between the mount and the reads
    settle: float = 0  # and between the reads and a look at the status
    boot: str = ""  # what the status says of the boot pack
    mirror: tuple = None  # the rules of a second server
    tls: str = ""  # the name of the first server's certificate
    host: str = "127.0.0.1"
    at: int = 0  # where the reads of an eio case begin
    reads: int = 2  # of an eio case, 5 MiB from each other
    heal: bool = True
    nginx: str = ""  # directives of a real server of the case's own
    group: str = ""


CASES = []
GROUP = [""]
FAILED = ("failed_attempts",)
DIGESTS = ("bad_digests",)
EITHER = ("failed_attempts|bad_digests",)
# The words of curl, of 7.88 and of 8.14.
HUGE_HEADER = "header|[Tt]oo large|Out of memory|larger than allowed"
TRUNCATED = "transfer closed|bytes remaining|bytes missing"


def case(name, kind, *rules, within=8, **more):
    CASES.append(Case(name, kind, rules, within, group=GROUP[0], **more))


def passing(name, *rules, within=8, moved=FAILED, **more):
    """The fault is over after a while: it costs failed attempts, no read."""
    case(name, "right", *rules, within=within, moved=moved, **more)


def harmless(name, *rules, **more):
    """The answers are unusual, and right."""
    case(name, "right", *rules, still=("failed_attempts", "bad_digests"), **more)


def hedged(name, *rules):
    """The answer is not awaited to its end: somebody waits, and a second request brings it."""
    case(name, "right", *rules, within=5, moved=("hedged_requests", "hedges_won"))


def lasting(name, *rules, says, moved=FAILED, **more):
    """The fault stays until the server is healed."""
    case(name, "eio", *rules, says=says, moved=moved, within=12, **more)


def both(name, fault, says, moved=FAILED, within=8):
    passing(name, f"pack nth=1-2 {fault}", says=says, moved=moved, within=within)
    lasting(name + "-for-ever", f"pack {fault}", says=says, moved=moved)


def refused(name, *rules, says, within=5, **more):
    case(name, "refused", *rules, says=says, within=within, **more)


# The connection.
GROUP[0] = "connection"
SHUT = "onnect|reset|Empty reply"
passing("refused", "pack nth=1 away seconds=3", within=12, says=SHUT)
lasting("refused-for-ever", "pack nth=1 away", says=SHUT)
lasting("refused-unmounted", "pack nth=1 away", says=SHUT, heal=False)
passing("reset-at-connect", "page,pack close-after", "connect nth=2-4 reset", says=SHUT)
passing("closed-at-connect", "page,pack close-after", "connect nth=2-4 close", says=SHUT)
passing("silent", "pack nth=1 stall", options="hedge=0", within=STALL_S + 6, says="too slow|no byte")
hedged("silent-hedged", "pack nth=1 stall")
lasting("silent-for-ever", "pack stall", says="too slow|no byte|time is up")
lasting("silent-unmounted", "pack stall", says="too slow|no byte|time is up", heal=False)
case("one-connection-others-wait", "right", "connect limit n=1 then=wait", within=6 * STALL_S)
case("one-connection-others-reset", "right", "connect limit n=1 then=reset", within=12)
case("two-connections-others-reset", "right", "connect limit n=2 then=reset", within=12)
harmless("closed-after-each-answer", "any close-after")
harmless("http-1.0", "any http10")

# The head of an answer.
GROUP[0] = "header"
both("no-answer", "no-answer", "Empty reply")
both("no-answer-but-reset", "no-answer-reset", "reset")
both("reset-in-header", "reset-header", "reset")
passing("stall-in-header", "pack nth=1 stall-header", options="hedge=0", within=STALL_S + 6, says="too slow|no byte")
hedged("stall-in-header-hedged", "pack nth=1 stall-header")
lasting("stall-in-header-for-ever", "pack stall-header", says="too slow|no byte|time is up")
both("header-truncated", "truncate-header", "HTTP|header|Empty reply|Content-Range|status")
harmless("drip-in-header", "pack nth=1-2 drip-header rate=150", within=12)
passing("drip-in-header-too-slow", "pack nth=1 drip-header rate=10", options="hedge=0", within=STALL_S + 6, says="too slow|no byte")
hedged("drip-in-header-too-slow-hedged", "pack nth=1 drip-header rate=10")
lasting("drip-in-header-for-ever", "pack drip-header rate=10", says="too slow|no byte|time is up")
both("not-http", "garbage", "HTTP/0.9|Unsupported|Weird|header|protocol|status line")
both("endless-header", "endless-header", "header|Failed writing|[Tt]oo large")
both("huge-header", "huge-header", HUGE_HEADER)
both("endless-1xx", "endless-1xx", "header|Failed writing|[Tt]oo large")
harmless("continue", "any continue")
harmless("many-1xx", "pack nth=1-4 continue n=20")
both("content-length-no-number", "bad-length", "Content-Length|header")
passing("bit-flips-in-header", "pack,page for=2 chance=0.7 flip-header", moved=EITHER, within=STALL_S + 10)

# The body.
GROUP[0] = "body"
both("reset-in-body", "reset-body", "reset")
passing("stall-in-body", "pack nth=1 stall-body", options="hedge=0", within=STALL_S + 10, says="too slow|no byte")
hedged("stall-in-body-hedged", "pack nth=1 stall-body")
lasting("stall-in-body-for-ever", "pack stall-body", says="too slow|no byte|time is up")
lasting("drip-in-body-for-ever", "pack drip-body rate=100", at=4 * MIB, says="time is up|too slow", moved=())
passing("drip-in-body", "pack nth=1 drip-body rate=100", within=STALL_S + 8, says="too slow|no byte")
harmless("slow", "pack nth=1-8 slow rate=500000", within=12)
both("truncated", "truncate", TRUNCATED)
both("truncated-unsaid", "truncate-unsaid", "were expected")
both("shorter-than-asked", "short", "were expected")
passing("longer-than-asked", "pack nth=1-4 longer", moved=())
passing("endless-body", "pack nth=1-4 endless", moved=())
both("empty-body", "empty", "were expected")
both("html-for-a-pack", "html", "were expected|SHA-256")
both("noise-for-a-pack", "noise", "SHA-256", moved=DIGESTS)
both("gzip", "gzip", "Content-Encoded")
harmless("chunked", "any chunked")
both("chunked-broken", "chunked-broken", "chunk|hex")
both("chunked-truncated", "chunked-truncated", "chunk|transfer closed|hex")

# Ranges.
GROUP[0] = "range"
harmless("no-ranges", "any no-range")
harmless("no-ranges-of-nginx", nginx="max_ranges 0;")
harmless("gzip-of-nginx", nginx="gzip on; gzip_types *; gzip_min_length 1;")
# A cache that sends whole what it does not have yet.
harmless("whole-object-once", "pack,page nth=1 no-range")
harmless("whole-objects-now-and-then", "pack,page chance=0.3 no-range")
passing("whole-objects-cut", "pack nth=1-2 no-range-cut", says="reset")
case("no-ranges-download", "download", "any no-range", within=8)
both("content-range-missing", "range-none", "Content-Range")
both("content-range-no-range", "range-garbage", "Content-Range")
both("content-range-of-another-place", "range-other", "Content-Range")
both("content-range-of-less", "range-part", "Content-Range")
both("multipart-ranges", "range-multi", "Content-Range")
case("content-range-other-total", "right", "pack nth=1-2 range-total", within=8)
case("content-range-unknown-total", "right", "pack nth=1-2 range-unknown-total", within=8)
both("bytes-shifted", "shifted", "SHA-256", moved=DIGESTS)
refused("range-not-asked-for", "manifest partial", says="206")
passing("range-not-asked-for-boot-pack", "boot partial", image="boot", says="206|boot pack")
both("status-416", "status code=416", "416")

# Other statuses.
GROUP[0] = "status"
for code in (400, 403, 404, 410, 500, 502, 503):
    both(f"status-{code}", f"status code={code}", f"{code}")
both("status-204", "status code=204", "204")
both("status-503-retry-after-seconds", "status code=503 retry=2", "503", within=12)
both("status-503-retry-after-date", "status code=503 retry=date", "503", within=12)
both("status-429-retry-after-seconds", "status code=429 retry=2", "429", within=12)
passing("status-429-retry-after-garbage", "pack nth=1-2 status code=429 retry=soon", says="429")
passing("status-429-retry-after-a-year", "pack nth=1 status code=429 retry=31536000", says="429", within=80)

# Redirects.
GROUP[0] = "redirect"
harmless("redirected", "any redirect to={second}", mirror=())
passing("redirect-loop", "pack nth=1-24 redirect to=loop", within=14, says="redirects")
lasting("redirect-loop-for-ever", "pack redirect to=loop", says="redirects")
both("redirect-to-nowhere", "redirect to=http://127.0.0.1:9/", SHUT)
both("redirect-to-a-file", "redirect to=file:///etc/passwd", "redirects to file:.*, which is not HTTP")
refused("redirect-from-https-to-http", "manifest redirect to={second}", tls="good", host="localhost", mirror=(), says="redirects from https to http:")
lasting("redirect-of-packs-from-https-to-http", "pack redirect to={second}", tls="good", host="localhost", mirror=(), says="redirects from https to http:")
refused("redirect-loop-of-the-manifest", "manifest redirect to=loop", says="redirects")

# Bits flipped, in each kind of object.
GROUP[0] = "flip"
refused("flip-in-manifest-magic", "manifest flip at=3", says="manifest")
refused("flip-in-manifest-name", "manifest flip at=24", says="name|line|another image")
refused("flip-in-manifest-digest", "manifest flip at={index-digest-at}", says="404|line")
refused("flip-in-index-head", "head flip", says="SHA-256")
case("flip-in-index-head-twice", "right", "head nth=1-2 flip", options="rootfs", moved=DIGESTS, within=8)
passing("flip-in-index-page", "page nth=1-2 flip", moved=DIGESTS, says="SHA-256")
lasting("flip-in-index-page-for-ever", "page flip", moved=DIGESTS, says="SHA-256")
passing("flip-in-boot-table", "boot flip at=100", image="boot", moved=DIGESTS, says="boot pack")
passing("flip-in-boot-chunk", "boot flip at={boot-middle}", image="boot", moved=DIGESTS)
both("flip-in-pack", "flip", "SHA-256", moved=DIGESTS)
lasting("flip-in-one-chunk", "pack flip at=0", reads=1, moved=DIGESTS, says="SHA-256")
case("flip-in-pack-download", "no-download", "pack flip at=70000", says="SHA-256", within=8)
case("flip-in-pack-twice-download", "download", "pack nth=1-2 flip", within=12)

# What a store can be while it is published, copied, cached or damaged.
GROUP[0] = "store"
case("stale-manifest-new-packs", "right", "manifest serve path=/manifest/{old-manifest}", image="old", within=8)
refused("stale-manifest-objects-gone", "manifest serve path=/manifest/{old-manifest}", "/index/{old-index}* status code=404", says="404")
passing("packs-published-late", "/pack/{pack}* for=3 status code=404", within=15, says="404")
case("index-published-late", "right", "index for=3 status code=404", options="rootfs", moved=FAILED, within=15)
refused("index-not-published", "index status code=404", says="404")
lasting("one-pack-gone", "/pack/{pack}* status code=404", says="404")
lasting("all-packs-gone", "pack status code=410", says="410")
lasting("all-packs-gone-unmounted", "pack status code=404", says="404", heal=False)
case("all-packs-gone-download", "no-download", "pack status code=404", says="404", within=8)
passing("boot-pack-gone", "boot status code=404", image="boot", says="boot pack")
passing("boot-pack-truncated", "boot truncate", image="boot", within=12)
# Its clock is that of the last byte: what was quick until it broke goes on.
passing("boot-pack-cut-late", "boot nth=1 slow rate=500000 cut=1900000", image="boot", idle=4.5, boot="done", says="reset", within=12)
passing("boot-pack-cut-again-and-again", "boot slow rate=500000 cut=300000", image="boot", boot="done", says="reset", within=20)
passing("boot-pack-stalls", "boot stall-body", image="boot", within=STALL_S + 8)
# What overtakes it, two seconds later, drips as well after a quick beginning: that is seen in the next half of STALL_S.
passing("boot-pack-drips", "boot drip-body rate=100", image="boot", moved=(), within=2 * STALL_S + 4)
passing("boot-pack-is-another", "boot serve path=/pack/{pack}", image="boot", moved=DIGESTS)
lasting("another-pack-under-its-name", "pack serve path=/pack/{other-pack}", moved=EITHER, says="SHA-256|were expected")
refused("another-index-under-its-name", "head serve path=/index/{old-index}", says="SHA-256")
lasting("index-of-a-page-is-another", "page serve path=/pack/{pack}", moved=DIGESTS, says="SHA-256")
refused("manifest-of-another-image", "manifest serve path=/boot.dlfuse", says="another image")
refused("manifest-empty", "manifest empty", says="manifest")
refused("manifest-html", "manifest html", says="not a dlfuse manifest")
refused("manifest-endless", "manifest endless", says="limit")
refused("manifest-truncated", "manifest truncate", says=TRUNCATED)
refused("manifest-truncated-unsaid", "manifest truncate-unsaid", says="manifest|line")
refused("manifest-stalls", "manifest stall-body", says="too slow|no byte", within=12)
refused("manifest-drips", "manifest drip-body rate=10", says="too slow|no byte", within=8)
refused("manifest-no-answer", "manifest no-answer", says="Empty reply")
refused("manifest-huge-header", "manifest huge-header", says=HUGE_HEADER)
refused("manifest-too-large", "manifest serve path=/pack/{pack}", says="limit")
refused("manifest-503", "manifest status code=503", says="503")
refused("manifest-404", "manifest status code=404", says="404")
case("manifest-late", "right", "manifest for=3 status code=503", options="rootfs", within=12, says="503")

# Certificates. The bundle has the authority "ca" only.
GROUP[0] = "tls"
harmless("https", tls="good", host="localhost")
refused("certificate-expired", tls="expired", host="localhost", says="expired")
refused("certificate-of-another-host", tls="other-host", host="localhost", says="does not match|no alternative|not match")
refused("certificate-of-an-unknown-authority", tls="unknown", host="localhost", says="unable to get local issuer|self-signed|certificate")
refused("http-where-https-was-expected", tls="none", host="localhost", within=10, says="wrong version|SSL|TLS|no byte|timed out")
passing("https-reset-in-body", "pack nth=1-2 reset-body", tls="good", host="localhost", says="reset|SSL|closed|rror")
passing("https-truncated", "pack nth=1-2 truncate", tls="good", host="localhost", says=TRUNCATED + "|closed|SSL|eof|EOF")
passing("https-refused", "pack nth=1 away seconds=3", tls="good", host="localhost", within=12)

# Names.
GROUP[0] = "dns"
refused("name-unknown", host="unknown.test", says="resolve host")
refused("name-server-broken", host="broken.test", says="resolve host", within=10)
refused("name-server-silent", host="silent.test", says="resolve host|Resolving timed out", within=12)
case("name-known-late", "right", host="late.test", options="rootfs", within=12, says="resolve host")
passing("name-lost-and-back", "pack nth=1 away seconds=2", host="lost.test", within=15)
passing("name-moves", "pack nth=1 away", host="moves.test", within=20)

# Two mirrors, the first of them bad.
GROUP[0] = "mirrors"


def first_bad(name, *rules, within=8, moved=("mirrors.0.failures",), **more):
    # The good one is further away: on a busy machine it might look nearer, and be all that is asked.
    case("mirror-" + name, "right", *rules, mirror=("any late ms=60",), within=within, moved=moved, **more)


first_bad("refuses", "pack nth=1 away")
first_bad("resets", "pack no-answer-reset")
first_bad("is-silent", "pack stall", within=STALL_STANDBY_S + 6)
# Two pauses in a row: it is down for a second, not for half a minute.
case("mirror-pauses", "right", "pack for=1.8 stall", mirror=("any late ms=60",), within=12, settle=1.5, moved=("hedges_won", "mirrors.0.failures"), still=("mirrors.0.down_ms",))
first_bad("stalls-in-body", "pack stall-body", within=STALL_STANDBY_S + 12)
first_bad("drips", "pack drip-body rate=100", within=STALL_STANDBY_S + 12, moved=("failed_attempts",))
first_bad("says-503", "any status code=503")
first_bad("says-429-for-an-hour", "pack status code=429 retry=3600")
first_bad("lacks-packs", "pack status code=404")
first_bad("lacks-everything", "any status code=404")
first_bad("sends-html", "any html")
first_bad("flips", "pack flip")
first_bad("truncates", "pack truncate")
first_bad("gzips", "pack gzip")
first_bad("has-other-packs", "pack serve path=/pack/{other-pack}")
first_bad("redirects-to-nowhere", "pack redirect to=http://127.0.0.1:9/")
first_bad("does-no-ranges", "any no-range", moved=())
first_bad("spoils-its-index", "index flip", options="rootfs")
first_bad("has-an-expired-certificate", tls="expired", host="localhost")
first_bad("has-no-name", host="unknown.test", within=10)
first_bad("has-a-silent-name-server", host="silent.test")
# Beside a look-up that hangs, the second mirror's bytes go on coming.
case("mirror-loses-its-name-server", "right", "pack nth=1 away", host="mute.test", mirror=("any slow rate=700000",), within=9, moved=("mirrors.0.failures",))
case("mirror-heals", "right", "pack for=3 status code=503", mirror=("pack nth=3- status code=503",), within=25, moved=("mirrors.0.failures", "mirrors.1.failures"))
lasting("mirrors-both-bad", "pack status code=503", mirror=("pack flip",), says="503|SHA-256", moved=("failed_attempts", "bad_digests"))
