#!/usr/bin/python3
"""Every model with every variant: each must give the verdict that is expected of it. A variant
that breaks another rule than the expected one fails, too: it would show less than it says."""

import sys

import clock_model
import commit_model
import isolation_model
from explore import explore


def verdict(title, is_good, states, found):
    print(f"{'ok' if is_good else 'FAILED'} {title}: {states} states, {found or 'nothing found'}",
          flush=True)
    return is_good


def commit_cases():
    for title, expected, options in commit_model.VARIANTS:
        result = explore(*commit_model.search_of(options))
        found = result.broken.split(":")[0] if result.broken else None
        yield verdict(f"commit: {title}", found == expected, result.states, result.broken)


def clock_cases():
    for title, expected, variant in clock_model.VARIANTS:
        result = explore(*clock_model.search_of(variant))
        is_good = (result.broken is not None) == expected
        yield verdict(f"clock: {title}", is_good, result.states, result.broken)


def isolation_cases():
    for title, expected, cases in isolation_model.groups():
        states, case, result = isolation_model.run_group(cases)
        found = result.broken if case is not None else None
        is_good = found != "stuck" and (found is not None) == expected
        yield verdict(f"isolation: {title}", is_good, states, found)


def main():
    good = [*commit_cases(), *clock_cases(), *isolation_cases()]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
