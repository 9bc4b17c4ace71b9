"""``python -m benchmarks [--seconds 3] [--rounds 3] [--json FILE]``: measure and print tables.

Contenders take turns within each round, and the order is drawn anew for each round: only ratios of
one run are to be trusted on a shared machine.
"""

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

import stack
from benchmarks.hot import Contender, baseline, writer
from benchmarks.lab import Lab, open_lab
from benchmarks.measure import Round, median
from db.audit import audit
from db.engine import MAINT, make_engine, role_url
from entrance import addresses
from settings import Settings

Results = dict[str, list[Round]]


def compare(contenders: list[Contender], rounds: int, seconds: float) -> Results:
    """Interleaved rounds of every contender, in a new order each time."""
    results: Results = {f"{c.name}, {c.callers}": [] for c in contenders}
    for _ in range(rounds):
        for contender in random.sample(contenders, len(contenders)):
            result = contender.measure(seconds)
            results[f"{contender.name}, {contender.callers}"].append(result)
    return results


def table(title: str, results: Results) -> list[dict[str, object]]:
    """Print a Markdown table and give its rows."""
    print(f"\n### {title}\n")
    print(
        "| writer, callers | commands/s (median) | min to max | p50 ms | p99 ms"
        " | client us | server us |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows: list[dict[str, object]] = []
    for name, rounds in results.items():
        rates = sorted(r.rate for r in rounds)
        row = {
            "name": name,
            "rate": median(rates),
            "min": rates[0],
            "max": rates[-1],
            "p50_ms": median([r.p50 for r in rounds]) * 1e3,
            "p99_ms": median([r.p99 for r in rounds]) * 1e3,
            "client_us": median([r.client_us for r in rounds]),
            "server_us": median([r.server_us for r in rounds]),
        }
        rows.append({"title": title, **row})
        print(
            f"| {name} | {row['rate']:,.0f} | {row['min']:,.0f} to {row['max']:,.0f}"
            f" | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['client_us']:.0f}"
            f" | {row['server_us']:.0f} |"
        )
    return rows


def hot_level(lab: Lab, postmaster: int, rounds: int, seconds: float) -> list[dict[str, object]]:
    """One hot level: everybody wants the same article."""
    levels = lab.levels[:1]
    contenders = [
        baseline(lab, "naive", 8, levels, postmaster),
        *(baseline(lab, "single", callers, levels, postmaster) for callers in (1, 4, 32)),
        writer(lab, 1, levels, postmaster),
        writer(lab, 32, levels, postmaster),
        writer(lab, 256, levels, postmaster),
    ]
    return table("One hot level", compare(contenders, rounds, seconds))


def many_levels(lab: Lab, postmaster: int, rounds: int, seconds: float) -> list[dict[str, object]]:
    """Uniform over all levels."""
    contenders = [
        baseline(lab, "naive", 8, lab.levels, postmaster),
        baseline(lab, "single", 8, lab.levels, postmaster),
        baseline(lab, "single", 32, lab.levels, postmaster),
        writer(lab, 32, lab.levels, postmaster),
        writer(lab, 256, lab.levels, postmaster),
    ]
    return table(f"{len(lab.levels):,} levels", compare(contenders, rounds, seconds))


def main() -> None:
    """Start a PostgreSQL of its own, measure, check the books, stop it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="stockwright-bench-"))
    folder.chmod(0o755)
    settings = Settings.model_validate({"data_dir": folder, "postgres_port": 5643})
    stack.start(settings, ["postgres"], options=stack.StackOptions(tie_to_parent=True))
    try:
        rows = measure_all(settings, options.rounds, options.seconds, options.variants)
    finally:
        stack.destroy(folder)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure_all(
    settings: Settings, rounds: int, seconds: float, variants: int
) -> list[dict[str, object]]:
    """Every comparison on a fresh database, and the audit of what they wrote."""
    where = addresses(settings)
    service = stack.status(settings.data_dir).service("postgres")
    postmaster = service.pid if service and service.pid else 0
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores,"
        f" {rounds} interleaved rounds of {seconds} s; load {os.getloadavg()[0]:.1f}"
    )
    lab = open_lab(where, variants)
    rows = hot_level(lab, postmaster, rounds, seconds)
    rows += many_levels(lab, postmaster, rounds, seconds)
    maint = make_engine(
        role_url(where.admin_url, MAINT, where.passwords[MAINT], lab.database), pool_size=1
    )
    findings = audit(maint)
    maint.dispose()
    print(f"\nThe audit of all of it found {len(findings)} differences.")
    return rows


if __name__ == "__main__":
    main()
