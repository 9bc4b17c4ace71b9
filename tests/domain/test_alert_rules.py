"""Which alerts a level raises, at every edge of its settings."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.alerts import AlertStatus, AlertType, Watched, conditions, reopened_status
from domain.reorder import Need

LOW, OUT, REORDER, OVER = (
    AlertType.LOW_STOCK,
    AlertType.OUT_OF_STOCK,
    AlertType.REORDER_NEEDED,
    AlertType.OVERSTOCK,
)


def _level(
    available: int,
    point: int | None = None,
    *,
    most: int | None = None,
    in_transit: int = 0,
    incoming: int = 0,
    held: int = 0,
    lot: str | None = None,
    stocked: bool = True,
    in_use: bool = True,
) -> Watched:
    need = Need(available, in_transit, point, None, most, incoming)
    return Watched(need, available + held, lot, stocked, in_use)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (_level(11, 10), {}),
        (_level(10, 10), {LOW: 10, REORDER: 10}),
        (_level(1, 10), {LOW: 1, REORDER: 1}),
        (_level(0, 10), {OUT: 0, REORDER: 0}),
        (_level(0, 0), {OUT: 0, REORDER: 0}),
        (_level(1, 0), {}),
        # What is on its way quiets the reorder, but nothing is on the shelf for it.
        (_level(4, 10, in_transit=6), {LOW: 4, REORDER: 10}),
        (_level(4, 10, in_transit=7), {LOW: 4}),
        (_level(4, 10, in_transit=3, incoming=4), {LOW: 4}),
        (_level(0, 10, incoming=99), {OUT: 0}),
        # Held units are on hand, but can't be sold.
        (_level(0, 10, held=50), {OUT: 0, REORDER: 0}),
        (_level(5, None, most=5), {}),
        (_level(5, None, most=5, held=1), {OVER: 6}),
        (_level(2, 2, most=1, held=0), {LOW: 2, REORDER: 2, OVER: 2}),
        # A level that nobody planned and nothing ever lay in is no level to miss anything in.
        (_level(0, stocked=False), {}),
        (_level(0, stocked=True), {OUT: 0}),
        (_level(0, most=9, stocked=False), {OUT: 0}),
        # Lots are used up; only a planned one is missed.
        (_level(0, lot="L1"), {}),
        (_level(0, 3, lot="L1"), {OUT: 0, REORDER: 0}),
        (_level(0, 10, most=20, in_use=False), {}),
    ],
)
def test_conditions(level: Watched, expected: dict[AlertType, int]) -> None:
    assert conditions(level) == expected


NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(minutes=5), NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("acknowledged_at", "snoozed_until", "expected"),
    [
        (None, None, AlertStatus.CREATED),
        (BEFORE, None, AlertStatus.ACKNOWLEDGED),
        (BEFORE, AFTER, AlertStatus.SNOOZED),
        (BEFORE, BEFORE, AlertStatus.CREATED),
        (BEFORE, NOW, AlertStatus.CREATED),
    ],
)
def test_the_state_of_an_alert_that_came_back(
    acknowledged_at: datetime | None, snoozed_until: datetime | None, expected: AlertStatus
) -> None:
    assert reopened_status(acknowledged_at, snoozed_until, NOW) == expected
