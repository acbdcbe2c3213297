"""
The simulation by hand.

``PYTHONPATH=tests python -m simulation --profile redis --seed 7`` runs one schedule and shows all of it,
``--schedules 40000`` runs that many over all profiles and adds up. The exit status is 1 if anything was violated.
"""

import argparse
import sys
import time
from pathlib import Path

from .campaign import Summary, campaign, report
from .schedule import PROFILES, run


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; the exit status."""
    parser = argparse.ArgumentParser("python -m simulation", description="The commit protocol under faults, in virtual time.")
    parser.add_argument("--profile", choices=PROFILES, action="append", help="the kind of store; all of them without this")
    parser.add_argument("--seed", type=int, default=0, help="the first seed, or the one to replay")
    parser.add_argument("--schedules", type=int, default=1, help="how many in all; 1 shows its trace")
    parser.add_argument("--results", type=Path, help="a file to write the sums to, for the README")
    parser.add_argument("--first", action="store_true", help="one after the other, only up to the first violation")
    asked = parser.parse_args(arguments)
    profiles = asked.profile or PROFILES
    seeds = range(asked.seed, asked.seed + -(-asked.schedules // len(profiles)))
    if asked.first:
        for result in (run(profile, seed) for seed in seeds for profile in profiles):
            if result.wrong:
                print(f"VIOLATED {result.profile}, seed {result.seed}: {' '.join(result.wrong.split())}")
                return 1
        return 0
    if asked.schedules == 1:
        result = run(profiles[0], asked.seed, traced=True)
        summary = Summary()
        summary.add(result)
        print(report(result) if result.wrong else "\n".join(result.trace), summary, sep="\n")
        return bool(result.wrong)
    start = time.monotonic()
    summary = campaign(profiles, seeds)
    for result in summary.wrong[:5]:
        print(report(result), end="\n\n")
    print(summary, f"{time.monotonic() - start:.0f} s", sep="\n")
    if asked.results is not None:
        asked.results.write_text(f"# The commit protocol, simulated\n\n{summary.markdown()}\n")
    return bool(summary.wrong)


if __name__ == "__main__":
    sys.exit(main())
