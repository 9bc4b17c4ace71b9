"""The life of an order: reserve, be paid, pick, ship, deliver, close, or end on the way.

``run`` acts as soon as it starts: an order whose start is durable is placed, even when nobody
waits for the answer any more. The update ``placed`` only waits for the first settled state, so
that the client has it in the same round trip. People's steps are updates; their validators refuse
before anything is written to history, and every handler checks again behind the lock.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.errors import application_error
    from activities.orders import OrderActivities
    from domain import order_rules as rules
    from domain.errors import Conflict, StockwrightError
    from domain.orders import (
        Cancel,
        Close,
        Command,
        Decision,
        Deliver,
        Done,
        Fulfilment,
        LineState,
        OrderFact,
        OrderState,
        Parcel,
        Pay,
        PaymentStatus,
        Pick,
        PlaceOrder,
        Receipt,
        RecordOrder,
        ReleaseStock,
        ReserveStock,
        Resolve,
        Settled,
        Ship,
        ShipStock,
    )
    from workflows import attributes, options
    from workflows.saga import Saga

T = TypeVar("T")
SYSTEM = "stockwright"


class GivenUp(ApplicationError):
    """A person decided to cancel a process whose step had failed."""

    def __init__(self, number: str) -> None:
        super().__init__(f"{number} was given up.", type="given_up", non_retryable=True)


@workflow.defn(name="order")
class OrderWorkflow:
    """One order. Its id is the lock of the order and the owner of its reservations."""

    @workflow.init
    def __init__(self, order: PlaceOrder) -> None:
        self._state = OrderState(
            order=order,
            lines=[LineState(line=line.line, ordered=line.quantity) for line in order.lines],
        )
        self._recorded: dict[int, LineState] = {}
        self._lock = asyncio.Lock()
        self._saga = Saga()
        self._settled = False
        self._decision: Decision | None = None
        self._given_up = False

    @workflow.run
    async def run(self, order: PlaceOrder) -> Done:
        try:
            await self._reserve(order)
            while not self._state.ended:
                if not await self._moved_before_deadline():
                    await self._deadline_passed()
        except GivenUp:
            await self._compensate()
        except (Exception, asyncio.CancelledError):
            # No wider, and no "finally": an eviction from the worker's cache passes here as well.
            self._given_up = True
            await self._compensate()
            await self._answer_all()
            raise
        await self._answer_all()
        return self._done()

    async def _answer_all(self) -> None:
        """Let whoever waits have the answer before the process ends."""
        self._settled = True
        await workflow.wait_condition(workflow.all_handlers_finished)

    # --- the steps of the process itself

    async def _reserve(self, order: PlaceOrder) -> None:
        """Reserve every line, or end the order with the numbers of what is missing."""
        self._saga.undo_with(self._undo_reserve)
        reserved = await self._step(
            OrderActivities.reserve_stock,
            ReserveStock(
                **self._origin("reserve", order.actor, order.occurred_at), lines=order.lines
            ),
        )
        placed = self._fact("order.placed", order.actor, lines=len(order.lines))
        if reserved.refusal is None:
            self._state.reserved_at = workflow.now()
            self._state.lines = rules.reserved_lines(self._state)
            self._enter(Fulfilment.RESERVED)
            await self._record([placed, self._fact("order.reserved", SYSTEM)])
        else:
            self._saga.forget()
            self._state.refusal = reserved.refusal
            self._state.lines = rules.cancelled_lines(self._state)
            self._state.payment = PaymentStatus.NONE
            self._enter(Fulfilment.FAILED)
            refused = self._fact("order.refused", SYSTEM, **reserved.refusal)
            await self._record([placed, refused])
        self._settled = True

    async def _moved_before_deadline(self) -> bool:
        """Wait for a command, or for the deadline of the present state."""
        waiting = rules.waiting(self._state, workflow.now())
        version = self._state.version
        left: timedelta | None = None
        if waiting is not None and waiting.until is not None:
            left = max(waiting.until - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(
                lambda: self._state.ended or self._given_up or self._state.version != version,
                timeout=left,
                timeout_summary=f"{waiting.what}, else {waiting.then_what}" if waiting else None,
            )
        except TimeoutError:
            return False
        if self._given_up:
            raise GivenUp(self._state.order.number)
        return True

    async def _deadline_passed(self) -> None:
        """Expire what was not shipped in time; close what was shipped or delivered long ago."""
        async with self._lock:
            waiting = rules.waiting(self._state, workflow.now())
            if waiting is None or waiting.until is None or waiting.until > workflow.now():
                return  # A command came first while this waited for the lock.
            if waiting.then_what == "close":
                self._enter(Fulfilment.CLOSED)
                await self._record([self._fact("order.closed", SYSTEM, reason="time")])
            else:
                await self._free_rest("expire", SYSTEM, f"no {waiting.what} in time")
                shipped = self._state.shipped > 0
                self._enter(Fulfilment.SHIPPED if shipped else Fulfilment.EXPIRED)
                await self._record([self._fact("order.expired", SYSTEM, waited_for=waiting.what)])

    async def _free_rest(self, step: str, actor: str, reason: str | None) -> None:
        """Release everything that is still held and give up those units."""
        await self._step(
            OrderActivities.release_stock,
            ReleaseStock(**self._origin(step, actor), reason=reason),
        )
        self._saga.forget()
        self._state.lines = rules.cancelled_lines(self._state)
        if self._state.shipped and self._state.shipped_at is None:
            self._state.shipped_at = workflow.now()

    async def _undo_reserve(self) -> None:
        """The undo of the reserve: frees what it holds, and buries its key if it never ran."""
        await self._step(
            OrderActivities.release_stock,
            ReleaseStock(
                **self._origin("reserve/undo", SYSTEM),
                voids=self._key("reserve"),
                reason="the process was cancelled",
            ),
        )

    async def _compensate(self) -> None:
        """The process was cancelled from outside or given up: leave nothing behind."""
        order = self._state.order
        first = not self._recorded
        self._settled = True
        async with self._lock:
            if self._state.ended and not first:
                return
            await self._saga.unwind()
            self._state.lines = rules.cancelled_lines(self._state)
            self._state.attention = None
            self._enter(Fulfilment.CLOSED if self._state.shipped else Fulfilment.CANCELLED)
            # A killed worker may have written the first record although this run never saw it.
            # So the numbers go on behind that record, and repeat its first fact.
            facts = []
            if first:
                self._state.facts = 0
                facts.append(self._fact("order.placed", order.actor, lines=len(order.lines)))
                self._state.facts = self._state.version = 2
            facts.append(self._fact("order.compensated", SYSTEM))
            await asyncio.shield(asyncio.ensure_future(self._record(facts)))

    # --- messages

    @workflow.update(description="Answers with the first settled state: reserved or refused.")
    async def placed(self) -> Settled:
        await workflow.wait_condition(lambda: self._settled)
        return Settled(
            number=self._state.order.number,
            fulfilment=self._state.fulfilment,
            refusal=self._state.refusal,
        )

    @workflow.update(description="Records money that was received.")
    async def pay(self, command: Pay) -> Done:
        async with self._turn(command):
            self._state.receipts += 1
            self._state.paid += command.amount
            self._state.payment = rules.payment_status(self._state, self._state.paid)
            receipt = rules.receipt(self._state, command, workflow.now())
            fact = self._fact(
                "order.paid",
                command.actor,
                amount=str(command.amount),
                currency=command.currency,
                method=command.method,
                paid=str(self._state.paid),
            )
            await self._record([fact], receipt=receipt)
            return self._done()

    @workflow.update(description="Somebody starts to gather the goods.")
    async def pick(self, command: Pick) -> Done:
        async with self._turn(command):
            self._enter(Fulfilment.PICKING)
            await self._record([self._fact("order.picking", command.actor)])
            return self._done()

    @workflow.update(description="A parcel leaves the house; without lines it takes all.")
    async def ship(self, command: Ship) -> Done:
        async with self._turn(command):
            units = rules.to_ship(self._state, command)
            n = self._state.parcels + 1
            shipped = await self._step(
                OrderActivities.ship_stock,
                ShipStock(
                    **self._origin(f"ship/{n}", command.actor, command.occurred_at), lines=units
                ),
            )
            if shipped.refusal is not None:
                # The ledger has the last word; a refused key stays refused, so count it as used.
                self._state.parcels = n
                raise application_error(
                    Conflict(
                        shipped.refusal["detail"],
                        code=shipped.refusal["code"],
                        details=shipped.refusal["details"],
                    )
                )
            self._state.parcels = n
            self._state.lines = rules.shipped_lines(self._state, units)
            if self._state.reserved:
                self._enter(Fulfilment.PARTIALLY_SHIPPED)
            else:
                self._saga.forget()
                self._state.shipped_at = workflow.now()
                self._enter(Fulfilment.SHIPPED)
            parcel = rules.parcel(self._state, command, units, workflow.now())
            fact = self._fact(
                "order.shipped",
                command.actor,
                parcel=n,
                units=sum(units.values()),
                carrier=command.carrier,
                tracking=command.tracking,
            )
            await self._record([fact], parcel=parcel)
            return self._done()

    @workflow.update(description="The goods have reached the customer.")
    async def deliver(self, command: Deliver) -> Done:
        async with self._turn(command):
            self._state.delivered_at = workflow.now()
            self._enter(Fulfilment.DELIVERED)
            await self._record([self._fact("order.delivered", command.actor)])
            return self._done()

    @workflow.update(description="Closes a delivered order before its time.")
    async def close(self, command: Close) -> Done:
        async with self._turn(command):
            self._enter(Fulfilment.CLOSED)
            await self._record([self._fact("order.closed", command.actor, reason="command")])
            return self._done()

    @workflow.update(description="Gives up what has not left the house and frees its stock.")
    async def cancel(self, command: Cancel) -> Done:
        async with self._turn(command):
            self._state.steps += 1
            await self._free_rest(f"cancel/{self._state.steps}", command.actor, command.reason)
            rest = self._state.shipped > 0
            self._enter(Fulfilment.SHIPPED if rest else Fulfilment.CANCELLED)
            kind = "order.rest_cancelled" if rest else "order.cancelled"
            await self._record([self._fact(kind, command.actor, reason=command.reason)])
            return self._done()

    @workflow.update(description="Decides about a step that failed: retry or cancel.")
    async def resolve(self, command: Resolve) -> Done:
        # No lock: the step that waits for this decision holds it.
        self._check(command)
        self._decision = command.decision
        await workflow.wait_condition(lambda: self._decision is None)
        return self._done()

    def _may(self, command: Command) -> None:
        """Refuses before anything is written. What comes before the first state waits for it."""
        if self._settled:
            self._check(command)

    @pay.validator
    def _may_pay(self, command: Pay) -> None:
        self._may(command)

    @pick.validator
    def _may_pick(self, command: Pick) -> None:
        self._may(command)

    @ship.validator
    def _may_ship(self, command: Ship) -> None:
        self._may(command)

    @deliver.validator
    def _may_deliver(self, command: Deliver) -> None:
        self._may(command)

    @close.validator
    def _may_close(self, command: Close) -> None:
        self._may(command)

    @cancel.validator
    def _may_cancel(self, command: Cancel) -> None:
        self._may(command)

    @resolve.validator
    def _may_resolve(self, command: Resolve) -> None:
        self._may(command)

    @workflow.query(description="Everything that the process knows.")
    def state(self) -> OrderState:
        return self._state

    # --- helpers without decisions

    @asynccontextmanager
    async def _turn(self, command: Command) -> AsyncIterator[None]:
        """One command at a time, none before the first settled state, each checked again."""
        await workflow.wait_condition(lambda: self._settled)
        async with self._lock:
            self._check(command)
            yield

    def _check(self, command: Command) -> None:
        try:
            rules.refuse(self._state, command)
        except StockwrightError as refusal:
            raise application_error(refusal) from refusal

    def _key(self, step: str) -> str:
        return f"{workflow.info().workflow_id}/{step}"

    def _origin(self, step: str, actor: str, occurred_at: datetime | None = None) -> dict[str, Any]:
        """What every stock step of this order carries."""
        order = self._state.order
        return {
            "tenant_id": order.tenant_id,
            "key": self._key(step),
            "owner": workflow.info().workflow_id,
            "number": order.number,
            "actor": actor,
            "occurred_at": occurred_at or workflow.now(),
            "time_zone": order.time_zone,
        }

    def _enter(self, fulfilment: Fulfilment) -> None:
        self._state.fulfilment = fulfilment
        self._state.since = workflow.now()

    def _fact(self, kind: str, actor: str, **data: Any) -> OrderFact:
        self._state.facts += 1
        return OrderFact(
            kind=kind, sequence=self._state.facts, actor=actor, at=workflow.now(), data=data
        )

    def _done(self) -> Done:
        state = self._state
        return Done(
            number=state.order.number,
            fulfilment=state.fulfilment,
            payment=state.payment,
            version=state.version,
        )

    async def _step(self, activity: Callable[[OrderActivities, Any], T], payload: Any) -> T:
        """Run a step; when it cannot be done, wait for a person's decision and try again."""
        while True:
            try:
                if self._settled:
                    return await workflow.execute_activity_method(activity, payload, **options.STEP)
                return await workflow.execute_local_activity_method(
                    activity, payload, **options.FIRST_STEP
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                await self._need_decision(error, tell=activity != OrderActivities.record_order)

    async def _need_decision(self, error: ActivityError, *, tell: bool) -> None:
        """Wait until a person says retry or cancel; the order shows that it needs one."""
        workflow.logger.error("A step failed and needs a decision.", exc_info=error)
        self._decision = None
        self._state.attention = str(error.cause or error)[:500]
        self._show()
        if tell and self._state.version:
            await self._record([self._fact("order.needs_attention", SYSTEM)])
        try:
            await workflow.wait_condition(lambda: self._decision is not None or self._given_up)
            self._state.attention = None
            if self._decision is not Decision.RETRY:
                self._given_up = True
                raise GivenUp(self._state.order.number)
        finally:
            self._decision = None
            self._show()

    async def _record(
        self,
        facts: list[OrderFact],
        *,
        parcel: Parcel | None = None,
        receipt: Receipt | None = None,
    ) -> None:
        """Write the state to SQL, which is what clients read, and show it in the Temporal UI."""
        state = self._state
        first = not self._recorded
        state.version += 1
        waiting = rules.waiting(state, workflow.now())
        if facts and waiting is not None:
            facts[-1] = facts[-1].model_copy(
                update={
                    "data": facts[-1].data
                    | {"waiting_for": waiting.what, "until": str(waiting.until or "")}
                }
            )
        changed = tuple(line for line in state.lines if self._recorded.get(line.line) != line)
        self._show()
        await self._step(
            OrderActivities.record_order,
            RecordOrder(
                tenant_id=state.order.tenant_id,
                order_id=state.order.order_id,
                number=state.order.number,
                version=state.version,
                fulfilment=state.fulfilment,
                payment=state.payment,
                paid=state.paid,
                lines=changed,
                waiting=waiting,
                actions=rules.actions(state),
                attention=state.attention,
                refusal=state.refusal,
                placed=state.order if first else None,
                parcel=parcel,
                receipt=receipt,
                facts=tuple(facts),
                at=workflow.now(),
            ),
        )
        self._recorded = {line.line: line for line in state.lines}

    def _show(self) -> None:
        """What operators see in the Temporal UI: search attributes and a small table."""
        state = self._state
        waiting = rules.waiting(state, workflow.now())
        until = waiting.until if waiting else None
        workflow.upsert_search_attributes(
            attributes.progress(
                stage=state.fulfilment.value,
                due=until,
                needs_attention=state.attention is not None,
            )
        )
        workflow.set_current_details(rules.describe(state, waiting))
