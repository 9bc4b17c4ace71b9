"""``python -m benchmarks [--only hot,many,orders,http,growth]``: measure and print tables.

Contenders take turns within each round, and the order is drawn anew for each round: only ratios of
one run are to be trusted on a shared machine.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from socket import create_server

import stack
from benchmarks.groups import GROUPS, Bench
from benchmarks.plot import draw
from benchmarks.report import summary
from entrance import addresses
from settings import Settings


def _groups(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise argparse.ArgumentTypeError(f"There is no {unknown[0]}; choose of {', '.join(GROUPS)}")
    return names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_groups, default=list(GROUPS), metavar="GROUP,GROUP")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--variants", type=int, default=10_000)
    parser.add_argument("--movements", type=int, default=5_000_000, help="in the full tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="also draw the ratios")
    return parser.parse_args()


def main() -> None:
    """Start a PostgreSQL of its own, measure, check the books, stop it."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="stockwright-bench-"))
    folder.chmod(0o755)
    with create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = Settings.model_validate({"data_dir": folder, "postgres_port": port})
    stack.start(settings, ["postgres"], options=stack.StackOptions(tie_to_parent=True))
    try:
        service = stack.status(folder).service("postgres")
        bench = Bench(
            settings=settings,
            where=addresses(settings),
            postmaster=service.pid if service and service.pid else 0,
            rounds=options.rounds,
            seconds=options.seconds,
            variants=options.variants,
            movements=options.movements,
        )
        machine = (
            f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {options.rounds} interleaved"
            f" rounds of {options.seconds} s; load {os.getloadavg()[0]:.1f}"
        )
        print(machine, flush=True)
        for name in options.only:
            GROUPS[name](bench)
    finally:
        stack.destroy(folder)
    summary(bench.goals)
    if options.json:
        goals = [goal.as_dict() for goal in bench.goals]
        figures = {"machine": machine, "tables": bench.rows, "goals": goals}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        draw(bench.goals, options.plot)


if __name__ == "__main__":
    main()
