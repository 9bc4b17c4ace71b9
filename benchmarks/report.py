"""Tables of rounds, and goals as ratios of two contenders that took turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.contenders import Results
from benchmarks.measure import Round, median

Figure = Callable[[Round], float]


def rate(done: Round) -> float:
    """Commands per second."""
    return done.rate


def p50(done: Round) -> float:
    """The median latency."""
    return done.p50


def p99(done: Round) -> float:
    """The latency that one command of a hundred exceeds."""
    return done.p99


def cpu(done: Round) -> float:
    """CPU per command of everybody."""
    return done.cpu_us


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that must be reached, with what it was in each round; no limit: it is only told."""

    load: str
    text: str
    ratios: list[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def measured(self) -> float:
        """The median of the rounds."""
        return median(self.ratios)

    @property
    def limit(self) -> float | None:
        return self.at_least if self.at_most is None else self.at_most

    @property
    def reached(self) -> bool | None:
        """None where nothing has to be reached."""
        if self.at_least is not None:
            return self.measured >= self.at_least
        return None if self.at_most is None else self.measured <= self.at_most

    def row(self) -> str:
        """The goal as a line of the summary."""
        reached = {True: "yes", False: "no", None: ""}[self.reached]
        return (
            f"| {self.load} | {self.text} | {self.measured:.2f} x ({min(self.ratios):.2f} to"
            f" {max(self.ratios):.2f}) | {reached} |"
        )

    def as_dict(self) -> dict[str, object]:
        return {
            "load": self.load,
            "goal": self.text,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "ratios": self.ratios,
            "measured": self.measured,
            "reached": self.reached,
        }


def ratios(results: Results, ours: str, theirs: str, figure: Figure) -> list[float]:
    """One contender by another, each round by itself."""
    both = zip(results[ours], results[theirs], strict=True)
    return [figure(one) / figure(other) for one, other in both]


def best(results: Results, name: str) -> str:
    """Of a contender's caller counts the one with the highest median rate."""
    titles = [title for title in results if title.rpartition(", ")[0] == name]
    return max(titles, key=lambda title: median([done.rate for done in results[title]]))


def table(title: str, results: Results) -> list[dict[str, object]]:
    """Print a Markdown table and give its rows."""
    api = any(done.api_us for rounds in results.values() for done in rounds)
    names = ["writer, callers", "commands/s (median)", "min to max", "p50 ms", "p99 ms"]
    names += ["client us", *(["API us"] if api else []), "PostgreSQL us"]
    print(f"\n### {title}\n")
    print(f"| {' | '.join(names)} |")
    print(f"|{' --- |' * len(names)}")
    rows: list[dict[str, object]] = []
    for name, rounds in results.items():
        rates = [done.rate for done in rounds]
        middle = {
            figure: median([getattr(done, figure) for done in rounds])
            for figure in ("p50", "p99", "client_us", "api_us", "server_us")
        }
        row = {"name": name, "rate": median(rates), "rates": rates, **middle}
        rows.append({"title": title, **row})
        shown = [name, f"{median(rates):,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}"]
        shown += [f"{middle['p50'] * 1e3:.2f}", f"{middle['p99'] * 1e3:.2f}"]
        used = ("client_us", *(("api_us",) if api else ()), "server_us")
        shown += [f"{middle[figure]:.0f}" for figure in used]
        print(f"| {' | '.join(shown)} |", flush=True)
    return rows


def summary(goals: Sequence[Goal]) -> None:
    """Print what had to be reached, and what was."""
    print("\n### Goals\n")
    print("Medians of the ratios of each round, with the lowest and the highest.\n")
    print("| load | goal | measured | reached |")
    print("| --- | --- | --- | --- |")
    for goal in goals:
        print(goal.row())
