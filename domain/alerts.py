"""Stock alerts: which conditions a level meets, how grave they are, which states an alert has."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.errors import Conflict, InvalidInput
from domain.reorder import Need
from domain.values import Body, Instant, example

#: A condition that comes back this soon is the same alert once more: long enough for baskets that
#: are filled and emptied, shorter than it takes to sell a new delivery.
REOPEN_WINDOW = timedelta(hours=1)
#: The longest that an alert may be silenced.
SNOOZE_MAX = timedelta(days=90)
#: Who opens and resolves: no person does.
KEEPER = "stockwright"


class AlertType(StrEnum):
    """What is the matter with a level."""

    LOW_STOCK = "LOW_STOCK"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    REORDER_NEEDED = "REORDER_NEEDED"
    OVERSTOCK = "OVERSTOCK"


class Severity(StrEnum):
    """How soon somebody should look."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class AlertStatus(StrEnum):
    """Where an alert is in its life; all but resolved are open."""

    CREATED = "created"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


SEVERITIES = {
    AlertType.LOW_STOCK: Severity.WARNING,
    AlertType.OUT_OF_STOCK: Severity.CRITICAL,
    AlertType.REORDER_NEEDED: Severity.WARNING,
    AlertType.OVERSTOCK: Severity.INFO,
}
#: What ``alerts/low-stock`` shows: everything that more goods would cure.
SHORTAGES = (AlertType.LOW_STOCK, AlertType.OUT_OF_STOCK, AlertType.REORDER_NEEDED)


class SnoozeAlert(Body):
    """Silence an alert until a time; if it is still open then, it is as new again."""

    model_config = example({"until": "2030-01-01T06:00:00Z"})

    until: Instant


@dataclass(frozen=True, slots=True)
class Watched:
    """A level as the alerts see it; quantities in base units.

    ``stocked`` says that goods ever moved here. ``in_use`` is false for a disabled variant or a
    closed warehouse, of which nobody needs to hear.
    """

    need: Need
    on_hand: int
    lot: str | None
    stocked: bool
    in_use: bool

    @property
    def planned(self) -> bool:
        """Whether somebody set what should lie here."""
        need = self.need
        settings = (need.reorder_point, need.reorder_quantity, need.max_stock_level)
        return any(value is not None for value in settings)


def conditions(level: Watched) -> dict[AlertType, int]:
    """The conditions that hold, each with the quantity that was compared.

    A lot that is used up is the normal end of a lot, so that only a planned lot is out of stock.
    """
    need, found = level.need, {}
    if not level.in_use:
        return {}
    expected = level.planned or (level.stocked and level.lot is None)
    if need.available == 0 and expected:
        found[AlertType.OUT_OF_STOCK] = 0
    if need.reorder_point is not None and 0 < need.available <= need.reorder_point:
        found[AlertType.LOW_STOCK] = need.available
    if need.is_needed:
        found[AlertType.REORDER_NEEDED] = need.projected
    if need.max_stock_level is not None and level.on_hand > need.max_stock_level:
        found[AlertType.OVERSTOCK] = level.on_hand
    return found


def reopened_status(
    acknowledged_at: datetime | None, snoozed_until: datetime | None, now: datetime
) -> AlertStatus:
    """The state of an alert that came back: whoever had taken it on, or silenced it, still has.

    A snooze that ended meanwhile left it as new.
    """
    if snoozed_until is not None:
        return AlertStatus.SNOOZED if snoozed_until > now else AlertStatus.CREATED
    return AlertStatus.CREATED if acknowledged_at is None else AlertStatus.ACKNOWLEDGED


def check_open(status: str) -> None:
    """Raises Conflict when the alert is resolved: there is nothing left to take on."""
    if status == AlertStatus.RESOLVED:
        raise Conflict(
            "The alert is resolved; its condition has passed.",
            code="alert_resolved",
            details={"status": status},
        )


def check_snooze(until: datetime, now: datetime) -> None:
    """Raises InvalidInput unless ``until`` lies ahead, within SNOOZE_MAX."""
    if not now < until <= now + SNOOZE_MAX:
        raise InvalidInput.field(
            "/until", "until", f"It lies in the future, at most {SNOOZE_MAX.days} days ahead."
        )
