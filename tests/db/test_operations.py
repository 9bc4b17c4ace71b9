"""Keys of requests and process starts: one effect, one answer, one process, whoever repeats."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db import operations
from db.engine import transaction
from db.operations import PROCESS, Answer, Claim
from domain.errors import Conflict, InFlight, InvalidInput, KeyReused
from tests.conftest import Database, MakeTenant, TenantFixture
from tests.support import PATIENCE_SECONDS, rows, together, wait_until, waiting

PRINT = operations.fingerprint("POST", "/v1/things", b"{}")
OTHER = operations.fingerprint("POST", "/v1/things", b'{"a":1}')


def add_customer(session: Session, name: str) -> tuple[int, bytes]:
    session.execute(text("INSERT INTO customers (name) VALUES (:name)"), {"name": name})
    return 201, f'{{"name":"{name}"}}'.encode()


def refuse(error: Conflict) -> bytes:
    return f"{error.code}: {error.detail}".encode()


def once(
    engine: Engine, tenant: UUID, effect: Callable[[Session], tuple[int, bytes]], **fields: Any
) -> Answer:
    with transaction(engine, tenant) as session:
        asked: dict[str, Any] = {"key": "key-1", "print_": PRINT, **fields}
        return operations.once(session, effect=lambda: effect(session), refuse=refuse, **asked)


def customers(engine: Engine, tenant: TenantFixture) -> list[str]:
    return [row[0] for row in rows(engine, tenant.id, "SELECT name FROM customers ORDER BY name")]


def test_a_fingerprint_tells_requests_apart() -> None:
    same = [operations.fingerprint("POST", "/v1/things", b"{}") for _ in range(2)]
    assert same == [PRINT, PRINT]
    others = [("PUT", "/v1/things", b"{}"), ("POST", "/v1/thing", b"s{}"), ("POST", "/", b"{}")]
    assert len({PRINT, OTHER, *(operations.fingerprint(*other) for other in others)}) == 5


def test_a_repeat_is_answered_from_the_first_and_does_nothing(
    engine: Engine, tenant: TenantFixture
) -> None:
    first = once(engine, tenant.id, lambda s: add_customer(s, "Ada"))
    again = once(engine, tenant.id, lambda s: add_customer(s, "Eve"))
    assert first == Answer(201, b'{"name":"Ada"}')
    assert again == Answer(201, b'{"name":"Ada"}', replayed=True)
    assert customers(engine, tenant) == ["Ada"]


def test_another_request_under_the_key_is_refused(engine: Engine, tenant: TenantFixture) -> None:
    once(engine, tenant.id, lambda s: add_customer(s, "Ada"))
    with pytest.raises(KeyReused):
        once(engine, tenant.id, lambda s: add_customer(s, "Eve"), print_=OTHER)
    assert customers(engine, tenant) == ["Ada"]


def _refused(session: Session) -> tuple[int, bytes]:
    add_customer(session, "half done")
    raise Conflict("It is taken.", code="taken")


def test_a_refusal_undoes_the_effect_and_is_the_answer_from_then_on(
    engine: Engine, tenant: TenantFixture
) -> None:
    first = once(engine, tenant.id, _refused)
    assert first == Answer(409, b"taken: It is taken.")
    again = once(engine, tenant.id, lambda s: add_customer(s, "Eve"))
    assert again == Answer(409, b"taken: It is taken.", replayed=True)
    assert customers(engine, tenant) == []


def test_a_refusal_by_a_constraint_is_undone_by_its_savepoint_alone(
    engine: Engine, tenant: TenantFixture
) -> None:
    """What the caller wrote before stays, although the effect broke a statement."""

    def clash(session: Session) -> tuple[int, bytes]:
        try:
            session.execute(text("INSERT INTO customers (code, name) VALUES ('C1', 'again')"))
        except Exception as error:
            raise Conflict("The code is taken.") from error
        raise AssertionError("The code was free.")

    with transaction(engine, tenant.id) as session:
        session.execute(text("INSERT INTO customers (code, name) VALUES ('C1', 'first')"))
        answer = operations.once(
            session, key="k", print_=PRINT, effect=lambda: clash(session), refuse=refuse
        )
    assert answer.status == 409
    assert customers(engine, tenant) == ["first"]


def test_an_invalid_request_leaves_no_trace_and_may_be_mended(
    engine: Engine, tenant: TenantFixture
) -> None:
    def invalid(session: Session) -> tuple[int, bytes]:
        add_customer(session, "half done")
        raise InvalidInput.field("/name", "name", "The name is wrong.")

    with pytest.raises(InvalidInput):
        once(engine, tenant.id, invalid)
    assert customers(engine, tenant) == []
    assert rows(engine, tenant.id, "SELECT 1 FROM operations") == []
    assert once(engine, tenant.id, lambda s: add_customer(s, "Ada"), print_=OTHER).status == 201


def test_senders_of_one_key_at_the_same_time_have_one_effect(
    engine: Engine, tenant: TenantFixture
) -> None:
    def job(n: int) -> Callable[[], Answer]:
        return lambda: once(engine, tenant.id, lambda s: add_customer(s, f"sender {n}"))

    found = together([job(n) for n in range(8)])
    assert len({answer.body for answer in found}) == 1
    assert sum(not answer.replayed for answer in found) == 1
    assert len(customers(engine, tenant)) == 1


def test_the_second_of_two_transactions_waits_and_takes_over_when_the_first_fails(
    database: Database, engine: Engine, tenant: TenantFixture
) -> None:
    """The first holds the key uncommitted, then rolls back: nothing of it may remain."""
    with ThreadPoolExecutor(1) as pool, Session(engine) as first:
        first.execute(
            text("SELECT set_config('app.tenant', :tenant, true)"), {"tenant": str(tenant.id)}
        )
        lost = operations.once(
            first,
            key="key-1",
            print_=PRINT,
            effect=lambda: add_customer(first, "lost"),
            refuse=refuse,
        )
        second = pool.submit(
            lambda: once(engine, tenant.id, lambda s: add_customer(s, "kept"), print_=OTHER)
        )
        wait_until(lambda: waiting(database.conninfo(), "stockwright") > 0, "the second waits")
        assert not second.done()
        first.rollback()
        assert not second.result(PATIENCE_SECONDS).replayed
    assert not lost.replayed
    assert customers(engine, tenant) == ["kept"]


def test_a_conflict_that_may_pass_is_no_answer(engine: Engine, tenant: TenantFixture) -> None:
    def busy(session: Session) -> tuple[int, bytes]:
        add_customer(session, "half done")
        raise InFlight("Somebody else is at it.")

    with pytest.raises(InFlight):
        once(engine, tenant.id, busy)
    assert once(engine, tenant.id, lambda s: add_customer(s, "Ada")).status == 201
    assert customers(engine, tenant) == ["Ada"]


def test_keys_of_http_and_of_processes_are_apart(engine: Engine, tenant: TenantFixture) -> None:
    once(engine, tenant.id, lambda s: add_customer(s, "http"))
    answer = once(engine, tenant.id, lambda s: add_customer(s, "process"), source=PROCESS)
    assert not answer.replayed
    assert customers(engine, tenant) == ["http", "process"]


def claim(
    engine: Engine, tenant: UUID, key: str = "key-1", print_: bytes = PRINT
) -> Claim | Answer:
    with transaction(engine, tenant) as session:
        return operations.claim(
            session,
            key=key,
            print_=print_,
            number=lambda: operations.next_number(session, "SO"),
            workflow_id=lambda number: f"order-x-{number}",
        )


def finish(engine: Engine, tenant: UUID, status: int, body: bytes, key: str = "key-1") -> None:
    with transaction(engine, tenant) as session:
        operations.finish(session, source="http", key=key, status=status, body=body)


def age(engine: Engine, tenant: UUID, seconds: float) -> None:
    rows(
        engine,
        tenant,
        "UPDATE operations SET claimed_at = claimed_at - make_interval(secs => :s) RETURNING 1",
        s=seconds,
    )


def test_a_claim_names_its_process_and_its_answer_is_replayed(
    engine: Engine, tenant: TenantFixture
) -> None:
    claimed = claim(engine, tenant.id)
    assert isinstance(claimed, Claim)
    assert (claimed.number, claimed.workflow_id) == ("SO-1001", "order-x-SO-1001")
    finish(engine, tenant.id, 202, b'{"b":1,"a":2}')
    finish(engine, tenant.id, 500, b"a late second answer")
    assert claim(engine, tenant.id) == Answer(202, b'{"b":1,"a":2}', replayed=True)


def test_a_fresh_claim_is_in_flight(engine: Engine, tenant: TenantFixture) -> None:
    claim(engine, tenant.id)
    age(engine, tenant.id, 29 - 5)
    with pytest.raises(InFlight) as caught:
        claim(engine, tenant.id)
    assert caught.value.retry_after is not None
    assert 1 <= caught.value.retry_after <= 6
    assert caught.value.retryable


def test_a_claim_older_than_thirty_seconds_is_taken_over_with_the_same_process(
    engine: Engine, tenant: TenantFixture
) -> None:
    first = claim(engine, tenant.id)
    age(engine, tenant.id, 31)
    assert claim(engine, tenant.id) == first
    with pytest.raises(InFlight):
        claim(engine, tenant.id)


def test_of_many_who_would_take_over_one_does(engine: Engine, tenant: TenantFixture) -> None:
    first = claim(engine, tenant.id)
    age(engine, tenant.id, 31)

    def job() -> Claim | Answer | None:
        try:
            return claim(engine, tenant.id)
        except InFlight:
            return None

    found = together([job] * 8)
    assert [one for one in found if one is not None] == [first]


def test_a_released_claim_is_taken_over_at_once(engine: Engine, tenant: TenantFixture) -> None:
    first = claim(engine, tenant.id)
    with transaction(engine, tenant.id) as session:
        operations.release_claim(session, "key-1")
    assert claim(engine, tenant.id) == first


def test_releasing_a_claim_does_not_touch_an_answer(engine: Engine, tenant: TenantFixture) -> None:
    claim(engine, tenant.id)
    finish(engine, tenant.id, 202, b"{}")
    with transaction(engine, tenant.id) as session:
        operations.release_claim(session, "key-1")
    assert claim(engine, tenant.id) == Answer(202, b"{}", replayed=True)


@pytest.mark.parametrize("done", [False, True])
def test_another_request_under_a_claimed_key_is_refused(
    done: bool, engine: Engine, tenant: TenantFixture
) -> None:
    claim(engine, tenant.id)
    if done:
        finish(engine, tenant.id, 202, b"{}")
    age(engine, tenant.id, 31)
    with pytest.raises(KeyReused):
        claim(engine, tenant.id, print_=OTHER)


def test_once_meets_a_claim_as_in_flight(engine: Engine, tenant: TenantFixture) -> None:
    claim(engine, tenant.id)
    with pytest.raises(InFlight):
        once(engine, tenant.id, lambda s: add_customer(s, "Ada"))
    assert customers(engine, tenant) == []


def test_fifty_claims_at_once_have_fifty_rising_numbers(
    engine: Engine, tenant: TenantFixture
) -> None:
    def job(n: int) -> Callable[[], Claim | Answer]:
        return lambda: claim(engine, tenant.id, key=f"key-{n}")

    found = together([job(n) for n in range(50)])
    numbers = {one.number for one in found if isinstance(one, Claim)}
    assert numbers == {f"SO-{n}" for n in range(1001, 1051)}
    last = claim(engine, tenant.id, key="last")
    assert isinstance(last, Claim)
    assert last.number == "SO-1051"


def test_fifty_senders_of_one_claim_start_one_process(
    engine: Engine, tenant: TenantFixture
) -> None:
    def job() -> Claim | Answer | None:
        try:
            return claim(engine, tenant.id)
        except InFlight:
            return None

    found = [one for one in together([job] * 50) if one is not None]
    assert len(found) == 1
    assert rows(engine, tenant.id, "SELECT number FROM operations") == [("SO-1001",)]
    assert rows(engine, tenant.id, "SELECT next_number FROM number_counters") == [(1002,)]


def test_numbers_count_per_tenant_and_kind(engine: Engine, make_tenant: MakeTenant) -> None:
    for tenant in (make_tenant(), make_tenant()):
        with transaction(engine, tenant.id) as session:
            found = [operations.next_number(session, kind) for kind in ("SO", "SO", "TR")]
        assert found == ["SO-1001", "SO-1002", "TR-1001"]


def test_an_operation_is_found_by_its_key(engine: Engine, tenant: TenantFixture) -> None:
    once(engine, tenant.id, lambda s: add_customer(s, "Ada"))
    with transaction(engine, tenant.id) as session:
        found = operations.find(session, "http", "key-1")
        assert found is not None
        assert (found.state, found.status, found.fingerprint) == ("done", 201, PRINT)
        assert operations.find(session, "process", "key-1") is None


def test_an_abandoned_claim_may_come_again_mended_for_the_same_process(
    engine: Engine, tenant: TenantFixture
) -> None:
    first = claim(engine, tenant.id)
    with transaction(engine, tenant.id) as session:
        operations.abandon(session, "key-1")
    assert claim(engine, tenant.id, print_=OTHER) == first
    with pytest.raises(KeyReused):
        claim(engine, tenant.id)
