#!/usr/bin/env python3
"""Sums up the results of bench/fleet: a table, JSON or a plot. What the model says is bench/fleet-model's.

usage: fleet-summary.py [--table | --json | --svg FILE] --facts FILE RESULTS

RESULTS has one JSON object a line, one for each fleet that booted.
"""

from fleet_model import models, payload
from stats import describe, machine, table
from summary import gnuplot, run, show

WAYS = ["dlfuse-profile", "dlfuse", "full-squashfs", "full-lz4", "full-ext4"]
TIERS = ["mirror", "cold", "warm"]
COLOURS = {"dlfuse-profile": "#1f5fa8", "dlfuse": "#7fb0dd", "full-squashfs": "#c0504d", "full-lz4": "#d99694", "full-ext4": "#7f7f7f"}


def order(way):
    return WAYS.index(way) if way in WAYS else len(WAYS)


def summarize(results):
    groups = {}
    for r in results:
        groups.setdefault((payload(r["rate"]), r["nodes"], r["way"].startswith("late-"), TIERS.index(r["tier"]), order(r["way"]), r["way"]), []).append(r)
    rows = []
    for _, runs in sorted(groups.items()):
        row = {key: runs[0][key] for key in ("rate", "rtt_ms", "nodes", "way", "tier", "uplink", "think")}
        for key in ("median_s", "last_s", "mirror_bytes", "cache_bytes", "all_cpu_s"):
            row[key] = describe([r[key] for r in runs])
        rows.append(row)
    return rows


def print_table(rows, facts):
    print(machine(facts))
    print(f"boot pack {facts['boot_pack_bytes'] / 1e6:.1f} MB, LZ4 file {facts['lz4_bytes'] / 1e6:.0f} MB, squashfs {facts['squashfs_bytes'] / 1e6:.0f} MB")
    out = [["", "nodes", "way", "median s", "last s", "mirror sent MB", "cache sent MB", "CPU s", "n"]]
    for r in rows:
        if r["way"].startswith("late-"):
            continue
        tier = "" if r["tier"] == "mirror" else f", {r['tier']} cache behind {r['uplink']}"
        out.append([f"{r['rate']}, {r['rtt_ms']} ms", str(r["nodes"]), r["way"] + tier, show(r["median_s"], "%.2f"), show(r["last_s"], "%.2f"),
                    show(r["mirror_bytes"], "%.1f", 1e-6), show(r["cache_bytes"], "%.1f", 1e-6), show(r["all_cpu_s"], "%.1f"), str(r["last_s"]["n"])])
    print(table(out))
    late = [r for r in rows if r["way"].startswith("late-")]
    if not late:
        return
    print("\nlate booters")
    out = [["", "nodes", "beside", "median s", "last s", "n"]]
    for r in late:
        beside = {"late-alone": "nothing", "late-beside-fill": "a fleet that fills", "late-beside-fillrate": "a fleet that fills with fillrate="}[r["way"]]
        out.append([f"{r['rate']}, {r['rtt_ms']} ms", str(r["nodes"]), beside, show(r["median_s"], "%.2f"), show(r["last_s"], "%.2f"), str(r["last_s"]["n"])])
    print(table(out))


def plot(rows, path, facts, results):
    """One panel a rate: seconds until the last of N nodes; points as measured, lines by the model."""
    made, _ = models(results, int(facts["cpus"].split(" x ")[0]))
    rates = list(dict.fromkeys(r["rate"] for r in rows))
    script = [f"set terminal svg size {620 * len(rates)},440 dynamic font 'sans,11'", f"set output '{path}'",
              f"set multiplot layout 1,{len(rates)}", "set logscale xy", "set grid", "set xlabel 'nodes that boot together'",
              "set ylabel 'seconds until the last is ready'", "set key left top font 'sans,9'", "set bars small", "set xrange [0.8:20000]",
              "set format y '%g'", "set format x '%g'"]
    data = []
    for i, rate in enumerate(rates):
        plots = []
        series = dict.fromkeys((r["way"], r["tier"]) for r in rows if r["rate"] == rate and not r["way"].startswith("late-"))
        for j, (way, tier) in enumerate(series):
            colour, mark = COLOURS.get(way, "black"), {"mirror": 7, "cold": 6, "warm": 4}[tier]
            data.append(f"$d{i}_{j} << EOD")
            for r in rows:
                if (r["rate"], r["way"], r["tier"]) == (rate, way, tier):
                    d = r["last_s"]
                    data.append(f"{r['nodes']} {d['median']} {d['low']} {d['high']}")
            data.append("EOD")
            name = way if tier == "mirror" else f"{way}, {tier} cache"
            plots.append(f"$d{i}_{j} using 1:2:3:4 with yerrorbars pt {mark} ps 0.6 lc rgb '{colour}' title '{name}'")
            if tier == "mirror":
                data.append(f"$m{i}_{j} << EOD")
                data += [f"{n} {made[way, tier, rate].fleet(n, rate)}" for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 10000)]
                data.append("EOD")
                plots.append(f"$m{i}_{j} using 1:2 with lines dt 2 lc rgb '{colour}' notitle")
        script += [f"set title 'one link of {rate}; dashed: the model'", "plot " + ", ".join(plots)]
    script.append("unset multiplot")
    gnuplot(data, script)


if __name__ == "__main__":
    run(__doc__, summarize, print_table, plot=plot)
