"""The command line that all summaries of the benches share, and how they write a median.

A summary's RESULTS has one JSON object a line; FACTS is about the machine and the run.
"""

import argparse
import json
import subprocess
import sys


def show(d, form, factor=1.0):
    """What stats.describe made of some values: the median, and the interval if there are several."""
    if not d:
        return "-"
    if d["n"] == 1:
        return form % (d["median"] * factor)
    return f"{form % (d['median'] * factor)} [{form % (d['low'] * factor)}, {form % (d['high'] * factor)}]"


def gnuplot(data, script):
    subprocess.run(["gnuplot"], input="\n".join(data + script) + "\n", text=True, check=True)


def run(doc, summarize, print_table, rows=lambda summary: summary, plot=None, check=None, ratio=False):
    """
    Does what the command line asks for. summarize(results) makes the summary that the others get first:
    print_table(summary, facts); rows(summary) for JSON; plot(summary, path, facts, results), where there
    is one; check(summary, facts), or check(summary, RATIO) with ratio, which returns the exit status.
    """
    parser = argparse.ArgumentParser(usage=doc)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--table", action="store_true")
    mode.add_argument("--json", action="store_true")
    if plot:
        mode.add_argument("--svg")
    if check and ratio:
        mode.add_argument("--check", type=float)
    elif check:
        mode.add_argument("--check", action="store_true")
    parser.add_argument("--facts", required=True)
    parser.add_argument("results")
    args = parser.parse_args()
    with open(args.results, encoding="ascii") as file:
        results = [json.loads(line) for line in file]
    with open(args.facts, encoding="utf-8") as file:
        facts = json.load(file)
    summary = summarize(results)
    if check and args.check:
        sys.exit(check(summary, args.check if ratio else facts))
    if plot and args.svg:
        plot(summary, args.svg, facts, results)
    elif args.json:
        json.dump({"facts": facts, "summary": rows(summary), "results": results}, sys.stdout)
        print()
    else:
        print_table(summary, facts)
