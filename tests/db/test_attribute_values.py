"""Custom attributes in SQL: no value against its rules, and filters that use their index."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from db import attributes, catalogue, paging
from db.engine import transaction
from db.tables import Attribute, Product
from domain.attributes import AttributeType, NewAttribute, RecordKind
from domain.catalogue import NewProduct
from domain.errors import Conflict, StockwrightError
from tests.conftest import Database, TenantFixture
from tests.db.conftest import World
from tests.support import PATIENCE_SECONDS, together, wait_until, waiting

COLOUR = NewAttribute(
    kind=RecordKind.PRODUCT,
    key="colour",
    label="Colour",
    type=AttributeType.CHOICE,
    options=["red", "blue"],
)


def _define(engine: Engine, tenant: UUID) -> UUID:
    with transaction(engine, tenant) as session:
        return attributes.create(session, COLOUR).id


def _make(session: Session, sku: str) -> Product:
    new = NewProduct.model_validate(
        {"sku": sku, "name": "Mug", "price": "1.00", "attributes": {"colour": "red"}}
    )
    return catalogue.create_product(session, new)


def _only_blue(session: Session, attribute_id: UUID) -> Attribute:
    return attributes.change(session, attribute_id, None, {"options": ["blue"]})


def test_rules_do_not_change_under_a_value_that_is_being_stored(
    engine: Engine, database: Database, tenant: TenantFixture
) -> None:
    attribute = _define(engine, tenant.id)

    def narrow() -> str:
        with transaction(engine, tenant.id) as session:
            session.execute(text("SET LOCAL application_name = 'narrow'"))
            with pytest.raises(Conflict) as refused:
                _only_blue(session, attribute)
            return refused.value.code

    with ThreadPoolExecutor(1) as threads:
        with transaction(engine, tenant.id) as session:
            _make(session, "A")
            future = threads.submit(narrow)
            wait_until(
                lambda: future.done() or waiting(database.conninfo(), "narrow") > 0,
                "the edit of the rules waits for the value",
            )
        assert future.result(PATIENCE_SECONDS) == "in_use"


@pytest.mark.parametrize("how", ["narrow", "delete"])
def test_at_the_same_moment_one_of_the_two_is_refused(
    engine: Engine, tenant: TenantFixture, how: str
) -> None:
    def attempt(job: Any) -> bool:
        try:
            with transaction(engine, tenant.id) as session:
                job(session)
        except StockwrightError:
            return False
        return True

    attribute = _define(engine, tenant.id)
    for n in range(15):
        sku = f"SKU-{n}"

        def against(session: Session, attribute: UUID = attribute) -> None:
            if how == "narrow":
                _only_blue(session, attribute)
            else:
                attributes.delete_attribute(session, attribute, None)

        def storing(session: Session, sku: str = sku) -> None:
            _make(session, sku)

        stored, changed = together([lambda: attempt(storing), lambda: attempt(against)])
        assert stored != changed
        with transaction(engine, tenant.id) as session:
            if stored:
                found = select(Product.id).where(Product.sku == sku)
                catalogue.delete_product(session, session.scalars(found).one(), None)
            elif how == "narrow":
                attributes.change(session, attribute, None, {"options": ["red", "blue"]})
        if changed and how == "delete":
            attribute = _define(engine, tenant.id)


@pytest.fixture
def many(world: World) -> World:
    """Twenty thousand products, every second red, one in two thousand of them blue."""
    _define(world.app, world.tenant)
    with transaction(world.app, world.tenant) as session:
        session.execute(
            text("""
                INSERT INTO products (sku, name, price)
                SELECT 'P' || n, 'Product', 1 FROM generate_series(1, 20000) AS n
            """)
        )
        session.execute(
            text("""
                INSERT INTO attribute_values (record_id, attribute_id, value)
                SELECT p.id, a.id, CASE WHEN right(p.sku, 3) = '000' THEN 'blue' ELSE 'red' END
                  FROM products p, attributes a
                 WHERE right(p.sku, 1) IN ('0', '2', '4', '6', '8')
            """)
        )
    with world.maint.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("ANALYZE products, attribute_values, attributes"))
    return world


@pytest.mark.parametrize(("colour", "rows_most"), [("red", 250), ("blue", 60)])
@pytest.mark.parametrize("depth", [0.0, 0.9])
def test_a_filtered_page_reads_its_own_rows_by_the_index(
    many: World, colour: str, rows_most: int, depth: float
) -> None:
    """As the app role under row security, on the first page and far behind it."""
    with transaction(many.app, many.tenant) as session:
        start = session.scalars(
            select(Product.id).order_by(Product.id).offset(int(20000 * depth)).limit(1)
        ).one()
        window = paging.Window(limit=50, after=(str(start),))
        found = attributes.having(session, Product, [f"colour:{colour}"], window)
        captured: list[Any] = []

        class Spy:
            """Takes the statement that the page would run."""

            def scalars(self, statement: Any) -> Any:
                captured.append(statement)
                return session.scalars(statement)

        page = paging.fetch(Spy(), found, (Product.id,), window)  # type: ignore[arg-type]  # It only reads.
        assert page.rows
        sql = captured[0].compile(session.get_bind(), compile_kwargs={"literal_binds": True})
        plan = session.execute(
            text(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {sql}".replace(":", "\\:"))
        ).scalar_one()
    nodes = list(_nodes(plan[0]["Plan"]))
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"], plan
    assert "attribute_values_search_idx" in {node.get("Index Name") for node in nodes}
    read = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if "Scan" in node["Node Type"]
    )
    assert read <= rows_most, plan


def _nodes(node: dict[str, Any]) -> Any:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def test_equality_of_text_is_leakproof_and_containment_is_not(
    engine: Engine, tenant: TenantFixture
) -> None:
    """Why values lie in rows of text: only for such operators row security lets an index answer."""
    with transaction(engine, tenant.id) as session:
        found = session.execute(
            text("""
                SELECT oprname || ' ' || oprleft::regtype, proleakproof
                  FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
                 WHERE (oprname, oprleft) IN (('@>', 'jsonb'::regtype), ('=', 'text'::regtype))
                   AND oprright = oprleft
            """)
        )
        leakproof = {row[0]: row[1] for row in found}
    assert leakproof == {"@> jsonb": False, "= text": True}
