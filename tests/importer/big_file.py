"""Writes a sales file of the size of the whole public one and measures reading and planning it.

Run by hand from the project's root: `python -m tests.importer.big_file`. No timed test: machines
differ, so the figures belong into a report and not into an assertion.
"""

import random
import resource
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from importer.layout import open_sales
from importer.plan import account, plan_import

LINES = 541_909
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n"


def write_big(path: Path, lines: int = LINES, seed: int = 1) -> None:
    """Write `lines` rows over about 26,000 invoices, a year, 4,000 articles, with all the oddities
    of the public file in about their real share.
    """
    rng = random.Random(seed)
    articles = [
        (f"{20000 + number}{rng.choice(['', '', 'A', 'b'])}", f"ARTICLE NUMBER {number}, BOXED")
        for number in range(4000)
    ]
    prices = [f"{rng.randint(19, 1995) / 100:.2f}" for _ in articles]
    at = datetime(2010, 12, 1, 8, 0)  # noqa: DTZ001 - the file has local times.
    number, left, head = 536_000, 0, ""
    with path.open("w", encoding="cp1252", newline="") as out:
        out.write(HEADER)
        for _ in range(lines):
            if left == 0:
                number += 1
                left = rng.randint(1, 41)
                at += timedelta(minutes=rng.randint(0, 40))
                cancelled = rng.random() < 0.15
                left = 2 if cancelled else left
                head = f"{'C' if cancelled else ''}{number}"
                customer = "" if rng.random() < 0.25 else str(rng.randint(12346, 18287))
                clock = f"{at.month}/{at.day}/{at:%y} {at.hour}:{at:%M}"
            left -= 1
            place = rng.randrange(len(articles))
            code, name = articles[place]
            price = "0" if rng.random() < 0.005 else prices[place]
            if rng.random() < 0.004:
                code, name = "POST", "POSTAGE"
            quantity = rng.randint(1, 48) * (-1 if head[0] == "C" or rng.random() < 0.003 else 1)
            out.write(
                f'{head},{code},"{name}",{quantity},{clock},{price},{customer},United Kingdom\r\n'
            )


def main() -> None:
    """Write, read, plan and account, and say what each took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.csv"
        write_big(path)
        began = time.perf_counter()
        reader = open_sales(path)
        opened = time.perf_counter()
        plan = plan_import(reader)
        planned = time.perf_counter()
        sums = account(plan)
        ended = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(
            f"{path.stat().st_size / 1e6:.0f} MB; survey {opened - began:.1f} s, "
            f"plan {planned - opened:.1f} s, account {ended - planned:.1f} s, "
            f"peak {peak:.0f} MiB\n{sums}\n{plan.notes}\n"
        )


if __name__ == "__main__":
    main()
