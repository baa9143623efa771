"""Medians and their intervals, for the summaries of the benches.

The interval of a median is by order statistics: the k-th smallest to the k-th largest value, with the
largest k for which both tails together have at most 5% (the binomial distribution with 1/2). It
assumes nothing about how the values are spread. Fewer than 6 values have no such interval: then it is
the whole range, and "exact" is false.
"""

from math import comb
from statistics import median


def interval(values):
    values = sorted(values)
    n, rank, tail = len(values), 0, 0.0
    while rank < (n + 1) // 2:
        tail += comb(n, rank) / 2**n
        if 2 * tail > 0.05:
            break
        rank += 1
    exact = rank > 0
    rank = max(rank, 1)
    return values[rank - 1], values[n - rank], exact


def describe(values):
    """None for no values; otherwise n, median, low, high, exact."""
    values = [v for v in values if v is not None]
    if not values:
        return None
    low, high, exact = interval(values)
    return {"n": len(values), "median": median(values), "low": low, "high": high, "exact": exact}


def machine(facts):
    """One line about where the results come from."""
    return (f"{facts['cpus']}, {facts['memory_bytes'] / 2**30:.0f} GiB, Linux {facts['kernel']}, load at the start "
            f"{facts['load_at_start']}; image {facts['image_bytes'] / 1e6:.0f} MB")


def table(rows):
    """Rows of texts, the first one the head, as lines; the first column on the left, others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
