"""Levels as they were: the parameter ``as_of``, and what is shown for it."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, WithJsonSchema
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db import events
from db.as_of import LevelThen, at_position, on_date
from db.engine import transaction
from db.paging import Page
from db.tables import InventoryLevel
from domain.errors import InvalidInput
from domain.permissions import Actor
from domain.values import MAX_WHOLE, SignedMoney, cost_text

_POSITION = re.compile(r"[0-9]{1,16}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _read(value: object) -> object:
    if isinstance(value, int | date):
        return value
    if isinstance(value, str) and _POSITION.fullmatch(value) and int(value) <= MAX_WHOLE:
        return int(value)
    if isinstance(value, str) and _DAY.fullmatch(value):
        return date.fromisoformat(value)
    raise ValueError("as_of is a position of the ledger or a date such as 2026-11-21")


AsOf = Annotated[
    int | date,
    BeforeValidator(_read),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_WHOLE},
                {"type": "string", "format": "date"},
            ]
        }
    ),
]
DESCRIPTION = (
    "What the levels held then. A whole number is a `position` of the ledger: what was written up"
    " to it, which never changes. A date is a business date: the sum of all movements of that date"
    " and before as known now, which a back-dated movement changes and in which a quantity may be"
    " below zero."
)


class LevelThenView(BaseModel):
    """What a level held at a position of the ledger, or by business date; `id` is the level's."""

    object: Literal["inventory_level_as_of"] = "inventory_level_as_of"
    id: UUID
    as_of: AsOf
    warehouse_id: UUID
    variant_id: UUID
    lot: str | None
    movements: int
    on_hand: int
    available: int
    reserved: int
    damaged: int
    quarantine: int
    in_transit: int
    average_cost: str | None
    total_value: SignedMoney
    in_transit_value: SignedMoney
    currency: str

    @classmethod
    def of(cls, row: InventoryLevel, then: LevelThen, when: int | date, currency: str) -> Self:
        """The view of a level of today with what it held then."""
        average = then.total_value / then.on_hand if then.on_hand > 0 else None
        return cls(
            id=row.id,
            as_of=when,
            warehouse_id=row.warehouse_id,
            variant_id=row.variant_id,
            lot=row.lot,
            movements=then.movements,
            on_hand=then.on_hand,
            available=then.available,
            reserved=then.reserved,
            damaged=then.damaged,
            quarantine=then.quarantine,
            in_transit=then.in_transit,
            average_cost=None if average is None else cost_text(average),
            total_value=then.total_value,
            in_transit_value=then.in_transit_value,
            currency=currency,
        )


def require_known(engine: Engine, actor: Actor, when: int | date) -> None:
    """Give all that is committed its position, and refuse one that the ledger has not reached.

    Else the answer for that position could still change. In a transaction of its own, because
    numbering keeps others from numbering until it ends.

    Raises:
        InvalidInput: the position lies ahead.
    """
    if isinstance(when, int):
        with transaction(engine, actor.tenant_id) as session:
            last = events.assign_positions(session)
        if when > last:
            raise InvalidInput.field(
                "?as_of", "ahead_of_the_ledger", f"The ledger's last position is {last}."
            )


def shown(
    session: Session, actor: Actor, page: Page[InventoryLevel], when: int | date
) -> list[LevelThenView]:
    """The views of a page of levels as they were."""
    states: Mapping[UUID, LevelThen] = (
        at_position(session, page.rows, when)
        if isinstance(when, int)
        else on_date(session, page.rows, when)
    )
    return [LevelThenView.of(row, states[row.id], when, actor.currency) for row in page.rows]
