#!/usr/bin/env python3
"""Sums up the results of bench/boot-race: a table, JSON, a plot, or a check of the project's limits.

usage: race-summary.py [--table | --json | --svg FILE | --check] --facts FILE RESULTS

RESULTS has one JSON object a line, one for each boot. Seconds added are differences within a round.
"""

from stats import describe, machine, median, table
from summary import gnuplot, run

ORDER = ["local", "dlfuse-profile", "dlfuse", "dlfuse-squashfs", "full-squashfs", "full-lz4", "full-ext4",
         "nbdfuse", "nbd", "boot-pack"]


def network_key(result):
    factor = {"g": 1000, "m": 1}.get(result["rate"].rstrip("bit")[-1:], 10**6)
    number = "".join(c for c in result["rate"] if c.isdigit()) or "1"
    return int(number) * factor, result["rtt_ms"], result["rate"]


class Race:
    """The results, by network and racer."""

    def __init__(self, results):
        self.networks = sorted({network_key(r) for r in results})
        self.by = {}
        for r in results:
            self.by.setdefault((r["rate"], r["rtt_ms"], r["racer"]), {})[r["pair"]] = r

    def rounds(self, rate, rtt, racer):
        return self.by.get((rate, rtt, racer), {})

    def values(self, rate, rtt, racer, key):
        return [r.get(key) for r in self.rounds(rate, rtt, racer).values()]

    def median(self, rate, rtt, racer, key="ready_s"):
        values = [v for v in self.values(rate, rtt, racer, key) if v is not None]
        return median(values) if values else None

    def added(self, rate, rtt, racer, floors=("local",)):
        """Differences to the longest of the floors, within each round that has all of them."""
        out = []
        for pair, r in self.rounds(rate, rtt, racer).items():
            base = [self.rounds(rate, rtt, f).get(pair) for f in floors]
            if all(base):
                out.append(r["ready_s"] - max(b["ready_s"] for b in base))
        return out

    def summary(self):
        rows = []
        for _, rtt, rate in self.networks:
            for racer in ORDER:
                if not self.rounds(rate, rtt, racer):
                    continue
                row = {"rate": rate, "rtt_ms": rtt, "racer": racer}
                for key in ("ready_s", "wire_bytes", "requests", "ram_ready_bytes", "ram_end_bytes", "ram_peak_bytes",
                            "available_drop_bytes", "touched_stored_bytes"):
                    row[key] = describe(self.values(rate, rtt, racer, key))
                row["added_s"] = describe(self.added(rate, rtt, racer)) if racer != "local" else None
                rows.append(row)
        return rows


def seconds(d):
    return f"{d['median']:.2f} [{d['low']:.2f}, {d['high']:.2f}]" if d else "-"


def mega(d):
    return f"{d['median'] / 1e6:.1f}" if d else "-"


def print_table(race, facts):
    if facts:
        print(machine(facts))
    for _, rtt, rate in race.networks:
        rows = [[f"{rate}, {rtt} ms", "ready s", "added to local s", "wire MB", "requests", "RAM at ready MB", "peak MB",
                 "at the end MB", "n"]]
        for r in race.summary():
            if (r["rate"], r["rtt_ms"]) == (rate, rtt):
                rows.append([r["racer"], seconds(r["ready_s"]), seconds(r["added_s"]), mega(r["wire_bytes"]),
                             f"{r['requests']['median']:.0f}" if r["requests"] else "-", mega(r["ram_ready_bytes"]),
                             mega(r["ram_peak_bytes"]), mega(r["ram_end_bytes"]), str(r["ready_s"]["n"])])
        print("\n" + table(rows))
    if any(not r["ready_s"]["exact"] for r in race.summary()):
        print("\nmedian [interval]: 95% by order statistics with 6 rounds or more, the whole range with fewer")


class Limits:
    """Compares, and remembers what was missed. A value of None was not measured."""

    def __init__(self):
        self.missed = self.held = 0

    def at_most(self, text, value, limit):
        if value is None or limit is None:
            print(f"not measured: {text}")
        elif value <= limit:
            self.held += 1
            print(f"holds: {text}: {value:.3f}, at most {limit:.3f}")
        else:
            self.missed += 1
            print(f"MISSED: {text}: {value:.3f}, should be at most {limit:.3f}")

    def at_least_times(self, text, slow, fast, times):
        self.at_most(f"{text}: 1/{times} of its {slow:.2f} s" if slow else text, fast, slow / times if slow else None)

    def result(self):
        print(f"{self.held} limits hold, {self.missed} are missed")
        return 0 if self.held and not self.missed else 1


def times(value, factor):
    return None if value is None else value * factor


def check_qemu(race):
    limits = Limits()
    for _, rtt, rate in race.networks:
        if rate == "100mbit":
            mine, full = race.added(rate, rtt, "dlfuse-profile"), race.added(rate, rtt, "full-ext4")
            limits.at_most(f"{rate}, {rtt} ms: dlfuse-profile, seconds added to local, to 1/20 of what full-ext4 adds",
                           median(mine) if mine else None, median(full) / 20 if full else None)
    return limits.result()


def check(race, facts):
    if facts.get("mode") == "qemu":
        return check_qemu(race)
    limits = Limits()
    for rate, rtt, bound in (("1gbit", 0.2, 0.15), ("1gbit", 20, 0.25)):
        added = race.added(rate, rtt, "dlfuse-profile")
        limits.at_most(f"{rate}, {rtt} ms: dlfuse-profile, seconds added to local", median(added) if added else None, bound)
    added = race.added("100mbit", 20, "dlfuse-profile", ("local", "boot-pack"))
    limits.at_most("100mbit, 20 ms: dlfuse-profile, seconds added to the longer of local and boot pack",
                   median(added) if added else None, 0.3)
    for full in ("full-ext4", "full-lz4", "full-squashfs"):
        limits.at_most(f"1gbit, 20 ms: dlfuse without profile sooner than {full}, s", race.median("1gbit", 20, "dlfuse"),
                       race.median("1gbit", 20, full))
    for rate, full, factor in (("100mbit", "full-ext4", 60), ("100mbit", "full-lz4", 10), ("100mbit", "full-squashfs", 8),
                               ("1gbit", "full-lz4", 2.3)):
        limits.at_least_times(f"{rate}, 20 ms: dlfuse-profile against {full}, s", race.median(rate, 20, full),
                              race.median(rate, 20, "dlfuse-profile"), factor)
    for _, rtt, rate in race.networks:
        limits.at_most(f"{rate}, {rtt} ms: dlfuse-profile, bytes until ready to stored size of the chunks touched",
                       race.median(rate, rtt, "dlfuse-profile", "wire_bytes"),
                       times(race.median(rate, rtt, "dlfuse-profile", "touched_stored_bytes"), 1.1))
        full = race.median(rate, rtt, "full-ext4", "ram_end_bytes")
        file = facts.get("squashfs_bytes")
        for racer, bound in (("dlfuse-profile", times(full, 0.4)), ("dlfuse", times(full, 0.4)),
                             ("dlfuse-squashfs", times(file, 1.05))):
            limits.at_most(f"{rate}, {rtt} ms: {racer}, RAM after hand-over", race.median(rate, rtt, racer, "ram_end_bytes"), bound)
            limits.at_most(f"{rate}, {rtt} ms: {racer}, peak of RAM", race.median(rate, rtt, racer, "ram_peak_bytes"),
                           times(bound, 1.3))
    return limits.result()


def plot(race, path, *_):
    """One panel a network, one bar a racer, seconds on a logarithmic axis, intervals as error bars."""
    rows = [r for r in race.summary() if r["racer"] not in ("dlfuse-squashfs", "boot-pack")]
    networks = race.networks
    script = [f"set terminal svg size {max(480, 420 * min(2, len(networks)))},{320 * ((len(networks) + 1) // 2)} dynamic font 'sans,11'",
              f"set output '{path}'", f"set multiplot layout {(len(networks) + 1) // 2},{min(2, len(networks))}",
              "set logscale x", "set xtics (0.5, 1, 2, 5, 10, 20, 50, 100, 200)", "set grid x", "set xlabel 'seconds to ready'", "unset key",
              "set style fill solid 0.6", "set bars small"]
    data = []
    for i, (_, rtt, rate) in enumerate(networks):
        here = [r for r in rows if (r["rate"], r["rtt_ms"]) == (rate, rtt)][::-1]
        low = min(r["ready_s"]["low"] for r in here) / 2
        high = max(r["ready_s"]["high"] for r in here) * 1.6
        data.append(f"$d{i} << EOD")
        for y, r in enumerate(here):
            d = r["ready_s"]
            data.append(f"{y} {d['median']} {d['low']} {d['high']} \"{r['racer']}\" \"{d['median']:.2f}\"")
        data.append("EOD")
        script += [f"set title '{rate}, {rtt} ms'", f"set xrange [{low}:{high}]", f"set yrange [-0.6:{len(here) - 0.4}]",
                   f"plot $d{i} using 2:1:({low}):2:($1-0.35):($1+0.35):ytic(5) with boxxyerror lc rgb '#4a7fb5', "
                   f"$d{i} using 2:1:3:4 with xerrorbars pt 0 lc rgb 'black', "
                   f"$d{i} using 4:1:6 with labels left offset 0.6,0 font 'sans,10'"]
    script.append("unset multiplot")
    gnuplot(data, script)


if __name__ == "__main__":
    run(__doc__, Race, print_table, rows=Race.summary, plot=plot, check=check)
