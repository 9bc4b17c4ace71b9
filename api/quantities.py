"""Stock lines in the units that people count in: converted before a command is made of them."""

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

    def read() -> units.Conversions:
        with transaction(services.engine, actor.tenant_id) as session:
            return conversions(session, wanted)

    return units.in_base_units(lines, await run_in_threadpool(read))
