"""How much of an expected output of PostgreSQL's regression suite another output has.

psql -a repeats each line of its input, so an output can be cut at these lines: what stands between
one and the next is what the statements up to there answered. Counted are the lines of the input
behind which something stands in either output; one is right when both have the same there.
"""

import glob
import os
from itertools import zip_longest


def read_lines(path):
    with open(path, encoding="utf8", errors="replace") as file:
        return file.read().split("\n")


def pieces(script, output):
    """[(line of the script, lines of the output up to the next)]; lines that are not repeated in
    the output (blank ones, those read by a COPY) are passed over."""
    starts = []
    at = 0
    for line in script:
        if line.strip() == "":
            continue
        try:
            found = output.index(line, at)
        except ValueError:
            continue
        starts.append(found)
        at = found + 1
    ends = starts[1:] + [len(output)]
    return [(output[start], tuple(output[start + 1:end])) for start, end in zip(starts, ends)]


def is_statement(line):
    return line.strip() != "" and not line.lstrip().startswith("--")


def compare(script, expected, found):
    """(right, counted, [(line, expected lines, found lines) of those that differ])"""
    one, other = pieces(script, expected), pieces(script, found)
    right = counted = 0
    differences = []
    for (line, wanted), (found_line, given) in zip_longest(one, other, fillvalue=("", ())):
        if not is_statement(line or found_line) or not any(text.strip() for text in wanted + given):
            continue
        counted += 1
        if line == found_line and wanted == given:
            right += 1
        else:
            differences.append((line, wanted, given))
    return right, counted, differences


def score_file(suite, name, output_path):
    """The best of the outputs that the suite accepts for this file."""
    script = read_lines(os.path.join(suite, "sql", name + ".sql"))
    found = read_lines(output_path)
    accepted = sorted(glob.glob(os.path.join(suite, "expected", name + ".out")) +
                      glob.glob(os.path.join(suite, "expected", name + "_[0-9].out")))
    results = [compare(script, read_lines(path), found) for path in accepted]
    return max(results, key=lambda result: result[0]) if results else None
