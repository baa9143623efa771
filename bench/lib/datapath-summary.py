#!/usr/bin/env python3
"""Sums up the results of bench/datapath: tables, JSON, a plot, or a check of the project's limits.

usage: datapath-summary.py [--table | --json | --svg FILE | --check F] --facts FILE RESULTS

RESULTS has one JSON object a line, one for each measurement; one with "why" did not work.
--check asks for the project's limits times F.
"""

from stats import describe, machine, median, table
from summary import gnuplot, run, show

ORDER = ["dlfuse", "null", "nbdfuse", "s3backer", "httpdirfs", "httpdirfs-cache", "httpfs2", "local", "local-ram", "curl"]
PEERS = ["nbdfuse", "s3backer", "httpdirfs", "httpdirfs-cache", "httpfs2"]
# What a warm read of dlfuse is measured against.
FLOORS = {"warm": "null", "loop-warm": "local"}
TITLES = {"cold": "Cold", "warm": "Warm, past the page cache", "loop-cold": "ext4 on loop, cold", "loop-warm": "ext4 on loop, warm"}


def way_of(r):
    return r["pattern"] == "random", r["block"], r["depth"]


def way_name(way):
    return f"{'random' if way[0] else 'sequential'} {way[1] // 1024} KiB x {way[2]}"


class Runs:
    """The results, by group, network, way and server."""

    def __init__(self, results):
        self.rates, self.whole, self.broken, self.times = {}, {}, {}, {}
        for r in results:
            key = r["group"], r["network"], way_of(r), r["server"]
            if "why" in r:
                self.broken.setdefault((r["group"], r["server"]), r["why"])
                self.broken.setdefault(("", r["server"]), r["why"])
            elif r["group"] == "whole":
                self.whole.setdefault((r["network"], r["server"]), []).append(r)
            elif r["seconds"]:
                self.rates.setdefault(key, []).append(r["bytes"] / r["seconds"])
                self.times.setdefault(key, []).append(r)
        self.tables = sorted({k[:2] for k in self.rates}, key=lambda t: (list(TITLES).index(t[0]), t[1]))

    def ways(self, group, network):
        return sorted({k[2] for k in self.rates if k[:2] == (group, network)})

    def servers(self, group, network):
        return [s for s in ORDER if any(k[:2] == (group, network) and k[3] == s for k in self.rates)]

    def rate(self, group, network, way, server):
        values = self.rates.get((group, network, way, server))
        return median(values) if values else None

    def of_floor(self, group, network, way):
        """What dlfuse reads, of what its floor read in the same turn; None where nothing is a floor."""
        mine, floor = ({(r["round"], r["turn"]): r["bytes"] / r["seconds"] for r in self.times.get((group, network, way, s), [])}
                       for s in ("dlfuse", FLOORS.get(group)))
        return describe([rate / floor[turn] for turn, rate in mine.items() if turn in floor])

    def whole_ratios(self, network, key):
        """The store's bytes a second, of those that curl gets: medians of the turns."""
        mine, curl = self.whole.get((network, "dlfuse")), self.whole.get((network, "curl"))
        return median([r["total_s"] for r in curl]) / median([r[key] for r in mine]) if mine and curl else None

    def summary(self):
        rows = []
        for (group, network, way, server), values in sorted(self.rates.items()):
            runs = self.times[group, network, way, server]
            rows.append({"group": group, "network": network, "way": way_name(way), "server": server,
                         "bytes_per_second": describe(values), "p50_us": describe([r["p50_us"] for r in runs]),
                         "p99_us": describe([r["p99_us"] for r in runs])})
            if server == "dlfuse":
                rows[-1]["of_floor"] = self.of_floor(group, network, way)
        for (network, server), runs in sorted(self.whole.items()):
            rows.append({"group": "whole", "network": network, "server": server, "stored_bytes": runs[0]["stored_bytes"],
                         "total_s": describe([r["total_s"] for r in runs]), "read_s": describe([r["seconds"] for r in runs])})
        rows += [{"server": server, "group": group, "does_not_work": why} for (group, server), why in sorted(self.broken.items()) if group]
        return rows


def rate_text(value):
    if value is None:
        return "-"
    value /= 1e6
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_table(runs, facts):
    print(machine(facts))
    print("MB/s, medians; x: reads at a time")
    for group, network in runs.tables:
        ways = runs.ways(group, network)
        rows = [[f"{TITLES[group]}, {network}"] + [way_name(w).replace("sequential", "seq.") for w in ways]]
        for server in runs.servers(group, network):
            rows.append([server] + [rate_text(runs.rate(group, network, w, server)) for w in ways])
        if any(runs.of_floor(group, network, w) for w in ways):
            rows.append([f"dlfuse of {FLOORS[group]}, by turns"] + [show(runs.of_floor(group, network, w), "%.2f") for w in ways])
        print("\n" + table(rows))
    for network in sorted({n for n, _ in runs.whole}):
        rows = [[f"Whole image in order, {network}", "seconds in all", "from the first read on", "of curl in all", "of curl from the first read", "n"]]
        for server in ("dlfuse", "curl"):
            here = runs.whole.get((network, server), [])
            mine = server == "dlfuse"
            rows.append([server, f"{median([r['total_s'] for r in here]):.3f}", f"{median([r['seconds'] for r in here]):.3f}",
                         f"{runs.whole_ratios(network, 'total_s'):.3f}" if mine else "-",
                         f"{runs.whole_ratios(network, 'seconds'):.3f}" if mine else "-", str(len(here))])
        print("\n" + table(rows))
    for (group, server), why in sorted(runs.broken.items()):
        if group:
            print(f"\n{server} does not work ({group}): {why}")


class Limits:
    """Compares, and remembers what was missed. A value of None was not measured."""

    def __init__(self, slack):
        self.slack = slack
        self.missed = self.held = 0

    def at_least(self, text, value, other, factor):
        if not value or not other:
            print(f"not measured: {text}")
            return
        factor *= self.slack
        good = value / other >= factor
        self.held, self.missed = self.held + good, self.missed + (not good)
        print(f"{'holds' if good else 'MISSED'}: {text}: {value / other:.2f}, at least {factor:.2f}")

    def result(self):
        print(f"{self.held} limits hold, {self.missed} are missed")
        return 0 if self.held and not self.missed else 1


def check(runs, slack):
    limits = Limits(slack)
    for group, network in runs.tables:
        for way in runs.ways(group, network):
            def rate(server, group=group, network=network, way=way):
                return runs.rate(group, network, way, server)
            text = f"{TITLES[group]}, {network}, {way_name(way)}"
            if group.endswith("cold"):
                best = max((p for p in PEERS if rate(p)), key=rate, default=None)
                limits.at_least(f"{text}: of {best}", rate("dlfuse"), rate(best) if best else None, 0.9 if way[:2] == (True, 4096) else 1)
            elif group == "warm" or way[1] == 131072:
                ratio = runs.of_floor(group, network, way)
                limits.at_least(f"{text}: of {FLOORS[group]}", ratio and ratio["median"], 1, 0.9)
    for network in sorted({n for n, _ in runs.whole}):
        limits.at_least(f"whole image in order, {network}: of curl, from the first read on", runs.whole_ratios(network, "seconds"), 1, 0.95)
    return limits.result()


def plot(runs, path, *_):
    script = [f"set terminal svg size 1100,{260 * len(runs.tables)} dynamic font 'sans,11'", f"set output '{path}'",
              f"set multiplot layout {len(runs.tables)},1", "set style data histogram", "set style histogram clustered gap 1",
              "set style fill solid 0.7", "set grid y", "set logscale y", "set ylabel 'MB/s'", "set key outside right",
              "set boxwidth 0.9"]
    data = []
    for i, (group, network) in enumerate(runs.tables):
        ways, servers = runs.ways(group, network), runs.servers(group, network)
        data.append(f"$d{i} << EOD")
        for way in ways:
            rates = [runs.rate(group, network, way, s) for s in servers]
            data.append(" ".join([f"\"{way_name(way)}\""] + [f"{r / 1e6:.4f}" if r else "NaN" for r in rates]))
        data.append("EOD")
        script.append(f"set title '{TITLES[group]}, {network}'")
        script.append("plot " + ", ".join(f"$d{i} using {n + 2}:xtic(1) title '{s}'" for n, s in enumerate(servers)))
    script.append("unset multiplot")
    gnuplot(data, script)


if __name__ == "__main__":
    run(__doc__, Runs, print_table, rows=Runs.summary, plot=plot, check=check, ratio=True)
