"""Stock lines in the units that people count in: converted before a command is made of them."""

from collections.abc import Sequence
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from api.services import Services
from db.engine import transaction
from db.units import conversions
from domain import units
from domain.permissions import Actor


async def in_base_units(services: Services, actor: Actor, lines: list[units.L]) -> list[units.L]:
    """The lines with quantities and costs in base units and without units, in the same order.

    One read for all of them, and none when no line names a unit.

    Raises:
        InvalidInput: see ``domain.units.in_base_units``.
    """
    wanted = units.wanted_variants(lines)
    if not wanted:
        return lines
    return units.in_base_units(lines, await known_units(services, actor, wanted))


async def known_units(
    services: Services, actor: Actor, variants: Sequence[UUID]
) -> units.Conversions:
    """The conversions of these variants."""

    def read() -> units.Conversions:
        with transaction(services.engine, actor.tenant_id) as session:
            return conversions(session, variants)

    return await run_in_threadpool(read)
