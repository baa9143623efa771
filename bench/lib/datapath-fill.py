#!/usr/bin/env python3
"""Sums up the results of bench/fill-harm: a table, JSON, or a check against a ratio.

usage: datapath-fill.py [--table | --json | --check RATIO] --facts FILE RESULTS

RESULTS has one JSON object a line, one for each mount. Ratios are of the fill's time to the time
without it, of the same round and the same places.
"""

from stats import describe, machine, table
from summary import run, show


def summarize(results):
    groups, without = {}, {}
    for r in results:
        key = r["rate"], r["rtt_ms"], r["block"]
        groups.setdefault((*key, r["fill"]), []).append(r)
        if not r["fill"]:
            without[(*key, r["round"])] = r
    rows = []
    for (rate, rtt, block, fill), runs in sorted(groups.items(), key=lambda g: (-len(g[0][0]), g[0])):
        row = {"rate": rate, "rtt_ms": rtt, "block": block, "fill": fill}
        for name in ("reads", "waited", "p50_us", "p99_us", "max_us"):
            row[name] = describe([r[name] for r in runs])
        row["fill_bytes_per_s"] = describe([r["fill_bytes"] / r["seconds"] for r in runs])
        pairs = [(r, without.get((rate, rtt, block, r["round"]))) for r in runs if fill]
        for name in ("p50", "p99"):
            row[f"{name}_ratio"] = describe([r[f"{name}_us"] / base[f"{name}_us"] for r, base in pairs if base and base[f"{name}_us"]])
        rows.append(row)
    return rows


def print_table(rows, facts):
    print(machine(facts))
    out = [["", "p50 ms", "p99 ms", "longest ms", "p50 ratio", "p99 ratio", "reads", "of what was there", "fill MB/s", "n"]]
    for r in rows:
        out.append([f"{r['rate']}, {r['rtt_ms']} ms: {r['block'] // 1024} KiB, fill={r['fill']}",
                    f"{r['p50_us']['median'] / 1e3:.2f}", show(r["p99_us"], "%.1f", 1e-3), f"{r['max_us']['median'] / 1e3:.1f}",
                    f"{r['p50_ratio']['median']:.2f}" if r["p50_ratio"] else "-", show(r["p99_ratio"], "%.2f"),
                    f"{r['reads']['median']:.0f}", f"{r['reads']['median'] - r['waited']['median']:.0f}",
                    f"{r['fill_bytes_per_s']['median'] / 1e6:.1f}", str(r["reads"]["n"])])
    print(table(out))


def check(rows, limit):
    held = missed = 0
    for r in rows:
        if not r["p99_ratio"]:
            continue
        good = r["p99_ratio"]["median"] <= limit
        held, missed = held + good, missed + (not good)
        print(f"{'holds' if good else 'MISSED'}: {r['rate']}, {r['rtt_ms']} ms, {r['block']} bytes: p99 with the fill is "
              f"{r['p99_ratio']['median']:.2f} times p99 without, at most {limit}")
    return 0 if held and not missed else 1


if __name__ == "__main__":
    run(__doc__, summarize, print_table, check=check, ratio=True)
