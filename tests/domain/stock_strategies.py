"""Random stock commands, and a small world of pure levels for them to work on."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count
from uuid import UUID

from hypothesis import strategies as st

from domain.stock import (
    Accepted,
    Action,
    Adjust,
    Bucket,
    Deduct,
    Hold,
    Kind,
    Level,
    LevelKey,
    Line,
    Move,
    Moved,
    Original,
    Receive,
    Refused,
    Release,
    Reserve,
    Revalue,
    RevalueLine,
    Reverse,
    Set,
    SetLine,
    Ship,
    Transfer,
    TransferLine,
    View,
)
from domain.stock_rules import decide

OWNERS = ("order-1", "order-2", "order-3")
#: Buckets that a move may name; the others follow from reservations and transfers.
MOVABLE = (Bucket.AVAILABLE, Bucket.DAMAGED, Bucket.QUARANTINE)


def ids(start: int = 1) -> Callable[[], UUID]:
    """Ids that are the same in every run."""
    numbers = count(start)
    return lambda: UUID(int=next(numbers))


def keys(warehouses: int = 2, variants: int = 2) -> list[LevelKey]:
    """Level keys of a small world."""
    return [
        LevelKey(UUID(int=10_000 + w), UUID(int=20_000 + v))
        for w in range(warehouses)
        for v in range(variants)
    ]


def empty_view(known: Sequence[LevelKey]) -> View:
    """Every level exists and is empty."""
    new_id = ids(30_000)
    return View({key: Level(new_id(), key) for key in known}, {})


def view_of(key: LevelKey, **fields: object) -> View:
    """One level with these numbers."""
    level = Level(UUID(int=1), key)
    for name, value in fields.items():
        setattr(level, name, value)
    return View({key: level}, {})


def hold(key: LevelKey, quantity: int, *, owner: str = "order-1", line: int = 1) -> Hold:
    """An open hold."""
    return Hold(UUID(int=900_000 + line), key, UUID(int=1), owner, line, quantity, quantity)


costs = st.one_of(
    st.none(),
    st.decimals(min_value=0, max_value=1000, places=6, allow_nan=False),
    st.sampled_from([Decimal(0), Decimal("1.00"), Decimal("0.333333"), Decimal("0.000001")]),
)
#: Mostly small, so that commands are accepted about as often as they are refused.
quantities = st.one_of(st.integers(1, 6), st.integers(1, 40))


def lines(
    known: Sequence[LevelKey], *, signed: bool = False
) -> st.SearchStrategy[tuple[Line, ...]]:
    """One to four lines; the same level may come twice."""
    amounts = st.one_of(quantities, quantities.map(lambda q: -q)) if signed else quantities
    line = st.builds(
        Line, st.sampled_from(list(known)), amounts, st.integers(1, 3), unit_cost=costs
    )
    return st.lists(line, min_size=1, max_size=4).map(tuple)


def corrections(known: Sequence[LevelKey]) -> st.SearchStrategy[Action]:
    """Set, transfer, reverse and revalue; a reverse names a late operation by number."""
    place = st.sampled_from(list(known))
    sets = st.builds(
        SetLine, place, st.integers(0, 12), st.one_of(st.none(), st.integers(0, 12)), st.just(1)
    )
    pairs = [(a, b) for a in known for b in known if a.variant_id == b.variant_id]
    ways = st.sampled_from([(a, b) for a, b in pairs if a != b])
    transfer = st.builds(lambda way, q: TransferLine(way[0], way[1], q), ways, quantities)
    worth = st.decimals(min_value=-50, max_value=50, places=6, allow_nan=False)
    revalues = st.lists(st.builds(RevalueLine, place, worth), min_size=1, max_size=3)
    one_way = st.lists(transfer, min_size=1, max_size=3).filter(
        lambda lines: not {x.level for x in lines} & {x.target for x in lines}
    )
    return st.one_of(
        st.lists(sets, min_size=1, max_size=3, unique_by=lambda x: x.level).map(
            lambda lines: Set(tuple(lines))
        ),
        one_way.map(lambda lines: Transfer(tuple(lines))),
        one_way.map(lambda lines: Transfer(tuple(lines))),
        revalues.map(lambda lines: Revalue(tuple(lines))),
        st.integers(0, 9).map(lambda n: Reverse(UUID(int=n))),
        st.integers(0, 9).map(lambda n: Reverse(UUID(int=n))),
    )


def every_action(known: Sequence[LevelKey]) -> st.SearchStrategy[Action]:
    """Any command there is; see ``corrections`` for what a reverse names."""
    return st.one_of(actions(known), actions(known), corrections(known))


def remember(view: View, operation_id: UUID, action: Action, accepted: Accepted) -> None:
    """Keep an operation in the view, as the database would, so that it can be reversed."""
    if isinstance(action, Reverse):
        view.originals[action.operation_id].reversed_by = operation_id
    if accepted.changes:
        view.originals[operation_id] = Original(
            [
                Moved(
                    change.level,
                    change.kind,
                    change.available,
                    change.reserved,
                    change.damaged,
                    change.quarantine,
                    change.in_transit,
                    change.value,
                )
                for change in accepted.changes
            ]
        )


def latest(view: View, action: Action) -> Action:
    """A drawn reverse gets the id of an operation, counted from the latest; others stay."""
    if not isinstance(action, Reverse) or not view.originals:
        return action
    if action.operation_id in view.originals:
        return action
    known = list(view.originals)
    return Reverse(known[-1 - action.operation_id.int % len(known)])


def step(view: View, action: Action, new_id: Callable[[], UUID]) -> Accepted | Refused:
    """Decide a drawn action, and remember it."""
    action = latest(view, action)
    decided = decide(view, action, new_id)
    if isinstance(decided, Accepted):
        remember(view, new_id(), action, decided)
    return decided


def actions(known: Sequence[LevelKey]) -> st.SearchStrategy[Action]:
    """What brings goods in, moves them within a level, holds them and takes them out."""
    plain = lines(known)
    owners = st.sampled_from(OWNERS)
    some = st.dictionaries(st.integers(1, 3), st.integers(1, 8), min_size=1, max_size=3)
    moves = st.permutations(MOVABLE).flatmap(
        lambda pair: st.builds(
            Move,
            plain,
            source=st.just(pair[0]),
            target=st.just(pair[1]),
            kind=st.just(Kind.QUARANTINE),
        )
    )
    return st.one_of(
        st.builds(Receive, plain, kind=st.sampled_from([Kind.PURCHASE, Kind.OPENING])),
        st.builds(Receive, plain),
        st.builds(Deduct, plain),
        st.builds(Deduct, plain, kind=st.just(Kind.WRITE_OFF), source=st.sampled_from(MOVABLE)),
        st.builds(Adjust, lines(known, signed=True)),
        moves,
        st.builds(Reserve, plain, owner=owners),
        st.builds(Reserve, plain, owner=owners),
        st.builds(Release, owner=owners, lines=st.one_of(st.none(), some)),
        st.builds(Ship, owner=owners, lines=some),
    )
