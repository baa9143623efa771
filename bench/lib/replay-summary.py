#!/usr/bin/env python3
"""Sums up the results of bench/replay: a table, JSON, a plot, or a check against a ratio.

usage: replay-summary.py [--table | --json | --svg FILE | --check RATIO] --facts FILE RESULTS

RESULTS has one JSON object a line, one for each run. Ratios are to the floor of the same round.
"""

from stats import describe, machine, table
from summary import gnuplot, run, show


def summarize(results):
    groups, floors = {}, {}
    for r in results:
        groups.setdefault((r["rate"], r["rtt_ms"], r["racer"]), []).append(r)
        if r["racer"] == "floor":
            floors[r["rate"], r["rtt_ms"], r["pair"]] = r["total_s"]
    rows = []
    for (rate, rtt, racer), runs in sorted(groups.items(), key=lambda g: (len(g[0][0]), g[0][0], g[0][1], g[0][2] != "floor", g[0][2])):
        row = {"rate": rate, "rtt_ms": rtt, "racer": racer}
        for key in ("total_s", "mount_s", "read_s", "bytes", "reads", "p50_ms", "p99_ms", "max_ms", "stalls"):
            row[key] = describe([r.get(key) for r in runs])
        row["ratio"] = describe([r["total_s"] / floors[rate, rtt, r["pair"]] for r in runs if (rate, rtt, r["pair"]) in floors])
        rows.append(row)
    return rows


def print_table(rows, facts):
    print(machine(facts))
    out = [["", "total s", "of the floor", "until mounted s", "MB read", "p99 ms", "longest ms", "over 10 ms", "n"]]
    for r in rows:
        out.append([f"{r['rate']}, {r['rtt_ms']} ms: {r['racer']}", show(r["total_s"], "%.3f"), show(r["ratio"], "%.2f"),
                    f"{r['mount_s']['median']:.3f}" if r["mount_s"] else "-", f"{r['bytes']['median'] / 1e6:.1f}",
                    f"{r['p99_ms']['median']:.2f}" if r["p99_ms"] else "-", f"{r['max_ms']['median']:.1f}" if r["max_ms"] else "-",
                    f"{r['stalls']['median']:.0f}" if r["stalls"] else "-", str(r["total_s"]["n"])])
    print(table(out))


def check(rows, limit):
    held = missed = 0
    for r in rows:
        if r["racer"] != "dlfuse-profile" or not r["ratio"]:
            continue
        good = r["ratio"]["median"] <= limit
        held, missed = held + good, missed + (not good)
        print(f"{'holds' if good else 'MISSED'}: {r['rate']}, {r['rtt_ms']} ms: {r['ratio']['median']:.3f} of the floor, at most {limit}")
    return 0 if held and not missed else 1


def plot(rows, path, *_):
    networks = list(dict.fromkeys((r["rate"], r["rtt_ms"]) for r in rows))
    script = [f"set terminal svg size {420 * len(networks)},240 dynamic font 'sans,11'", f"set output '{path}'",
              f"set multiplot layout 1,{len(networks)}", "set grid x", "set xlabel 'seconds'", "unset key",
              "set style fill solid 0.6", "set bars small"]
    data = []
    for i, (rate, rtt) in enumerate(networks):
        here = [r for r in rows if (r["rate"], r["rtt_ms"]) == (rate, rtt)][::-1]
        data.append(f"$d{i} << EOD")
        for y, r in enumerate(here):
            d = r["total_s"]
            data.append(f"{y} {d['median']} {d['low']} {d['high']} \"{r['racer']}\" \"{d['median']:.3f}\"")
        data.append("EOD")
        high = max(r["total_s"]["high"] for r in here) * 1.25
        script += [f"set title '{rate}, {rtt} ms'", f"set xrange [0:{high}]", f"set yrange [-0.6:{len(here) - 0.4}]",
                   f"plot $d{i} using ($2/2):1:($2/2):(0.35):ytic(5) with boxxyerror lc rgb '#4a7fb5', "
                   f"$d{i} using 2:1:3:4 with xerrorbars pt 0 lc rgb 'black', "
                   f"$d{i} using 4:1:6 with labels left offset 0.6,0 font 'sans,10'"]
    script.append("unset multiplot")
    gnuplot(data, script)


if __name__ == "__main__":
    run(__doc__, summarize, print_table, plot=plot, check=check, ratio=True)
