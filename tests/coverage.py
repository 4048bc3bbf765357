#!/usr/bin/env python3
"""Lines of crates that tests have reached, from `llvm-cov export -format=lcov` on the standard input.

    coverage.py LIMIT CRATE...               a line for each crate and file; fails below LIMIT per cent of a crate
    coverage.py --missed LIMIT CRATE...      and the lines that were not reached

Only lines of the product count: not files of tests, and nothing from `#[cfg(test)]` to the end of a file, where this
code base keeps its test modules.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

TEST_FILE = re.compile(r"/(tests|hostile|fuzzing)\.rs$")


def product_lines(path):
    """How many lines of a file belong to the product."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines[:-1]):
        # `#[cfg(test)] mod hostile;` is a line like any other; a module with a body ends the product.
        if line == "#[cfg(test)]" and re.match(r"(pub(\(crate\))? )?mod \w+ \{", lines[number + 1]):
            return number
    return len(lines)


def reached(lcov, crates):
    """By file: by line: how often it was reached. One line may be part of several instances of a function."""
    files, lines = defaultdict(dict), None
    wanted = re.compile(r"crates/(?:%s)/src/.*" % "|".join(crates))
    for record in lcov:
        kind, _, rest = record.strip().partition(":")
        if kind == "SF":
            name = wanted.search(rest)
            lines = files[name[0]] if name and not TEST_FILE.search(rest) else None
        elif kind == "DA" and lines is not None:
            line, count = (int(number) for number in rest.split(",")[:2])
            lines[line] = max(lines.get(line, 0), count)
    return files


def ranges(lines):
    """Numbers as text: 3, 7-9."""
    found = []
    for line in lines:
        if found and found[-1][1] == line - 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in found)


def main(arguments):
    missed = "--missed" in arguments
    limit, *crates = [argument for argument in arguments if argument != "--missed"]
    root = Path(__file__).resolve().parent.parent
    totals = {crate: [0, 0] for crate in crates}
    for name, lines in sorted(reached(sys.stdin, crates).items()):
        end = product_lines(root / name)
        lines = {line: count for line, count in lines.items() if line <= end}
        if not lines:
            continue
        not_reached = sorted(line for line, count in lines.items() if count == 0)
        total = totals[name.split("/")[1]]
        total[0] += len(lines) - len(not_reached)
        total[1] += len(lines)
        share = 100 * (len(lines) - len(not_reached)) / len(lines)
        print(f"{name:45} {len(lines):5} lines {share:6.1f} %", ranges(not_reached) if missed else "")
    print()
    shares = {crate: 100 * hit / max(all_of_it, 1) for crate, (hit, all_of_it) in totals.items()}
    for crate, share in shares.items():
        print(f"{crate:45} {totals[crate][1]:5} lines {share:6.1f} %")
    below = [crate for crate, share in shares.items() if share <= float(limit)]
    if below:
        sys.exit(f"not over {limit} % of the lines: {', '.join(below)}")


main(sys.argv[1:])
