"""What the tests of alerts share: a level with settings, words for moving, what came of it."""

from typing import Any

from sqlalchemy import text

from db.alert_keeper import keep
from db.engine import transaction
from db.stock_writer import StockWriter
from domain.stock import Action, Deduct, Kind, LevelKey, Receive
from tests.db.conftest import World
from tests.support import answers, command, rows


class House:
    """A world whose first variant has settings in its first warehouse, with words for moving."""

    def __init__(self, world: World, writer: StockWriter) -> None:
        self.world, self.writer = world, writer

    def plan(self, point: int | None, most: int | None = None, key: LevelKey | None = None) -> None:
        key = key or self.world.items.key()
        with transaction(self.world.app, self.world.tenant) as session:
            session.execute(
                text(
                    "INSERT INTO inventory_levels (warehouse_id, variant_id, reorder_point,"
                    " max_stock_level) VALUES (:w, :v, :point, :most)"
                    " ON CONFLICT ON CONSTRAINT inventory_levels_identity_key"
                    " DO UPDATE SET reorder_point = :point, max_stock_level = :most"
                ),
                {"w": key.warehouse_id, "v": key.variant_id, "point": point, "most": most},
            )

    def do(self, *actions: Action) -> None:
        futures = [self.writer.submit(self.world.tenant, command(action)) for action in actions]
        assert {outcome.status for outcome in answers(futures)} == {200}

    def receive(self, units: int) -> None:
        self.do(Receive((self.world.items.line(units, cost="1.00"),)))

    def sell(self, units: int) -> None:
        self.do(Deduct((self.world.items.line(units),), Kind.SALE))

    def keep(self, **options: Any) -> None:
        keep(self.world.follower, self.world.app, **options)

    def alerts(self, columns: str = "type, status, occurrences") -> list[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM stock_alerts ORDER BY type, id"  # noqa: S608
        return [tuple(row) for row in rows(self.world.app, self.world.tenant, query)]

    def events(self) -> list[tuple[str, int]]:
        query = (
            "SELECT kind, subject_sequence FROM events WHERE subject_kind = 'alert'"
            " AND data->>'type' = 'LOW_STOCK' ORDER BY posting_id, ordinal"
        )
        return [tuple(row) for row in rows(self.world.app, self.world.tenant, query)]

    def change(self, statement: str) -> None:
        with transaction(self.world.app, self.world.tenant) as session:
            session.execute(text(statement))

    def demand(self) -> list[int]:
        query = "SELECT units FROM level_demand ORDER BY level_id, day"
        return [row[0] for row in rows(self.world.app, self.world.tenant, query)]
