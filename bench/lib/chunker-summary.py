#!/usr/bin/env python3
"""Sums up the results of bench/chunker: a table, JSON, a plot, or a check against the limits.

usage: chunker-summary.py [--table | --json | --svg FILE | --check] --facts FILE RESULTS

RESULTS has one JSON object a line, one for each store that was made. "of casync" is the speed relative
to casync with the same average chunk size in the same round; for zstd, which has none, and for the
check: with 64 KiB, what both use when nothing is said.
"""

from stats import describe, table
from summary import gnuplot, run, show

USUAL_SIZE = "64K"
SPEED, PEAK_MIB = 8, 256


def name_of(r):
    if r["program"] == "zstd":
        return f"zstd -T0 -{r['codec']}"
    if r["program"] == "casync":
        return f"casync {r['chunk_size']}"
    return f"dlfuse-chunker {r['codec']} {r['chunk_size']}"


def size_of(r):
    size = r["chunk_size"]
    return 0 if size == "-" else int(size[:-1]) * (1 << 20 if size[-1] == "M" else 1 << 10)


def summarize(results):
    groups, casync = {}, {}
    for r in results:
        groups.setdefault((r["kind"], size_of(r), r["program"], r["codec"]), []).append(r)
        if r["program"] == "casync":
            casync[r["kind"], r["chunk_size"], r["round"]] = r["seconds"]
    rows = []
    for _, runs in sorted(groups.items()):
        first = runs[0]
        row = {key: first[key] for key in ("kind", "program", "codec", "chunk_size", "default", "store_bytes", "files", "data_bytes")}
        row["name"] = name_of(first)
        row["mb_per_s"] = describe([r["data_bytes"] / 1e6 / r["seconds"] for r in runs])
        for key in ("seconds", "cpu_s", "peak_rss_kib", "sync_s", "update_s"):
            row[key] = describe([r[key] for r in runs])
        beside = first["chunk_size"] if first["chunk_size"] != "-" else USUAL_SIZE
        row["speedup"] = describe([casync[r["kind"], beside, r["round"]] / r["seconds"] for r in runs
                                   if (r["kind"], beside, r["round"]) in casync])
        row["added_bytes"] = next((r["added_bytes"] for r in runs if r["added_bytes"] is not None), None)
        rows.append(row)
    return rows


def print_table(rows, facts):
    print(f"{facts['cpus']}, {facts['cores']} used, Linux {facts['kernel']}, load at the start {facts['load_at_start']}; all on {facts['filesystem']}, "
          "images in the page cache; * what create does when nothing is said")
    for kind in dict.fromkeys(r["kind"] for r in rows):
        here = [r for r in rows if r["kind"] == kind]
        print(f"\n{kind}, {here[0]['data_bytes'] / 1e6:.0f} MB without holes and zeros, median of {here[0]['seconds']['n']}")
        out = [["", "seconds", "sync s", "MB/s", "of casync", "CPU s", "peak MiB", "store MB", "files", "update adds MB", "% of store", "update s"]]
        for r in here:
            added = r["added_bytes"]
            out.append([r["name"] + (" *" if r["default"] else ""), show(r["seconds"], "%.2f"), f"{r['sync_s']['median']:.2f}",
                        f"{r['mb_per_s']['median']:.0f}", show(r["speedup"], "%.1f"), f"{r['cpu_s']['median']:.1f}",
                        f"{r['peak_rss_kib']['median'] / 1024:.0f}", f"{r['store_bytes'] / 1e6:.1f}", str(r["files"]),
                        "-" if added is None else f"{added / 1e6:.1f}", "-" if added is None else f"{100 * added / r['store_bytes']:.1f}",
                        show(r["update_s"], "%.2f")])
        print(table(out))


def check(rows, _facts):
    missed, seen = 0, 0

    def limit(text, value, bound, good):
        nonlocal missed, seen
        seen += 1
        missed += not good
        print(f"{'holds' if good else 'MISSED'}: {text}: {value:.2f}, {bound}")

    for r in rows:
        if not r["default"]:
            continue
        beside = next((c for c in rows if c["kind"] == r["kind"] and c["program"] == "casync" and c["chunk_size"] == r["chunk_size"]), None)
        if not beside:
            continue
        speed = r["speedup"]["median"]
        limit(f"{r['kind']}: speed to casync's", speed, f"at least {SPEED}", speed >= SPEED)
        peak = r["peak_rss_kib"]["median"] / 1024
        limit(f"{r['kind']}: peak memory in MiB", peak, f"below {PEAK_MIB}", peak < PEAK_MIB)
        if r["added_bytes"] is not None:
            part, theirs = r["added_bytes"] / r["store_bytes"], beside["added_bytes"] / beside["store_bytes"]
            limit(f"{r['kind']}: added by the update, part of the store", part, f"casync {theirs:.2f}", part <= theirs)
    return 0 if seen and not missed else 1


def plot(rows, path, *_):
    """One panel a kind of image: store size against speed, a point a program; the update as a second bar."""
    kinds = list(dict.fromkeys(r["kind"] for r in rows))
    script = [f"set terminal svg size {560 * len(kinds)},420 dynamic font 'sans,11'", f"set output '{path}'",
              f"set multiplot layout 1,{len(kinds)}", "set logscale x", "set grid", "set xlabel 'MB/s'", "set ylabel 'store, MB'",
              "set key bottom right", "set xtics (20, 50, 100, 200, 500, 1000, 2000)"]
    data = []
    for i, kind in enumerate(kinds):
        plots = []
        here = [r for r in rows if r["kind"] == kind]
        for j, (program, colour) in enumerate((("dlfuse", "#4a7fb5"), ("casync", "#c0504d"), ("zstd", "#7f7f7f"))):
            points = [r for r in here if r["program"] == program]
            if not points:
                continue
            data.append(f"$d{i}_{j} << EOD")
            for r in points:
                label = r["name"].removeprefix("dlfuse-chunker ").removeprefix("casync ") + ("*" if r["default"] else "")
                data.append(f"{r['mb_per_s']['median']} {r['store_bytes'] / 1e6} \"{label}\"")
            data.append("EOD")
            title = {"dlfuse": "dlfuse-chunker", "casync": "casync", "zstd": "zstd -T0, no chunks"}[program]
            plots.append(f"$d{i}_{j} using 1:2 with points pt 7 ps 0.7 lc rgb '{colour}' title '{title}', "
                         f"$d{i}_{j} using 1:2:3 with labels left offset 0.7,0 font 'sans,9' notitle")
        low, high = (f(r["mb_per_s"]["median"] for r in here) for f in (min, max))
        script += [f"set title '{kind}'", f"set xrange [{low / 1.5}:{high * 2.5}]",
                   f"set yrange [0:{max(r['store_bytes'] for r in here) / 1e6 * 1.15}]", "plot " + ", ".join(plots)]
    script.append("unset multiplot")
    gnuplot(data, script)


if __name__ == "__main__":
    run(__doc__, summarize, print_table, plot=plot, check=check)
