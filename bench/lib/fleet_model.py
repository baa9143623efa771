"""How long a fleet takes, by arithmetic, from what the smallest fleet took. For bench/fleet-model.

A node brings BYTES over a link that all share, and needs CPU of the processors that all share here. The
rest of its time, FIXED, passes for all nodes at once:

    seconds(N) = FIXED + max(N x BYTES / RATE, N x CPU / CORES, UPLINK)

so FIXED comes from the one measured fleet. Nodes that think leave the link idle in between:

    seconds(N) = max(seconds(1), N x BYTES / RATE, N x CPU / CORES, UPLINK)

UPLINK is what a cache needs to fetch everything once. Machines of their own have their own processors:
predictions leave CPU out, checks of measured points have it in.
"""

from statistics import median


def payload(rate):
    """Bytes a second that TCP gets out of a link: frames of 1514 bytes carry 1448."""
    for unit, factor in (("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)):
        if rate.endswith(unit):
            return float(rate[:-4]) * factor / 8 * 1448 / 1514
    raise ValueError(f"{rate} is no rate: 100mbit, 1gbit")


def group(results):
    """{(way, tier, rate): {nodes: [run, ...]}}, without late booters."""
    groups = {}
    for r in results:
        if not r["way"].startswith("late-"):
            groups.setdefault((r["way"], r["tier"], r["rate"]), {}).setdefault(r["nodes"], []).append(r)
    return groups


class Model:
    """One way of booting in one network; runs: those of the smallest fleet of it."""

    def __init__(self, runs, cores):
        first = runs[0]
        nodes = first["nodes"]

        def of(key):
            return median(r[key] for r in runs)

        cached = first["tier"] != "mirror"
        self.base = nodes
        self.seconds = of("last_s")
        self.rate = payload(first["rate"])
        self.bytes = of("cache_bytes" if cached else "mirror_bytes") / nodes
        self.uplink_bytes = of("mirror_bytes") if cached else 0.0
        self.uplink_rate = payload(first["uplink"]) if cached else 1.0
        # Behind an empty cache the servers do their work once, not for each node.
        self.cpu = of("cpu_s" if first["tier"] == "cold" else "all_cpu_s") / nodes / cores
        self.think = first["think"]
        shared = max(nodes * self.bytes / self.rate, nodes * self.cpu, self.uplink_bytes / self.uplink_rate)
        self.fixed = max(0.0, self.seconds - shared)

    def here(self, nodes):
        """Seconds on the machine where it was measured, processors shared by all."""
        return self._seconds(max(nodes * self.bytes / self.rate, nodes * self.cpu, self.uplink_bytes / self.uplink_rate))

    def fleet(self, nodes, rate):
        """Seconds when each node is a machine, and all share one link of that rate."""
        return self._seconds(nodes * self.bytes / payload(rate))

    def tiers(self, nodes, rate, nodes_per_cache, uplink):
        """Seconds behind empty caches with links of that rate; all their uplinks share the mirror's one."""
        caches = -(-nodes // nodes_per_cache)
        return self._seconds(max(min(nodes, nodes_per_cache) * self.bytes / payload(rate), caches * self.uplink_bytes / payload(uplink)))

    def _seconds(self, shared):
        return max(self.seconds, shared) if self.think else self.fixed + shared


def models(results, cores):
    """{(way, tier, rate): Model} and a row for each measured point: how far the model is off."""
    made, points = {}, []
    for key, by_nodes in sorted(group(results).items()):
        made[key] = Model(by_nodes[min(by_nodes)], cores)
        for nodes, runs in sorted(by_nodes.items()):
            measured, said = median(r["last_s"] for r in runs), made[key].here(nodes)
            wire, cpu = nodes * made[key].bytes / made[key].rate, nodes * made[key].cpu
            points.append({"way": key[0], "tier": key[1], "rate": key[2], "nodes": nodes, "measured_s": measured, "model_s": said,
                           "deviation_percent": 100 * (measured / said - 1), "bound_by": "cpu" if cpu > wire else "link",
                           "fitted": nodes == made[key].base})
    return made, points


def extrapolate(made, nodes, nodes_per_cache, mirrors):
    """Rows: one link of each rate in mirrors for all, and the same link behind caches."""
    rows = []
    for (way, tier, rate), model in made.items():
        for mirror in mirrors:
            if tier == "mirror":
                seconds = model.fleet(nodes, mirror)
                sent = nodes * model.bytes
            elif tier == "cold":
                seconds = model.tiers(nodes, rate, nodes_per_cache, mirror)
                sent = -(-nodes // nodes_per_cache) * model.uplink_bytes
            else:
                continue
            rows.append({"way": way, "measured_at": rate, "nodes": nodes, "mirror_rate": mirror, "seconds": seconds, "mirror_bytes": sent,
                         "nodes_per_cache": nodes_per_cache if tier == "cold" else None})
    return rows


def fastest(rows):
    """Each way once: of the networks that it was measured in, the one with the fastest link."""
    best = {}
    for row in rows:
        key = row["way"], row["nodes_per_cache"], row["mirror_rate"]
        if key not in best or payload(row["measured_at"]) > payload(best[key]["measured_at"]):
            best[key] = row
    return list(best.values())
