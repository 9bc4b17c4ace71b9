"""Search attributes that every process carries, so that operators can find it."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributeUpdate,
    TypedSearchAttributes,
)

TENANT = SearchAttributeKey.for_keyword("Tenant")
KIND = SearchAttributeKey.for_keyword("Kind")
NUMBER = SearchAttributeKey.for_keyword("Number")
STAGE = SearchAttributeKey.for_keyword("Stage")
AMOUNT = SearchAttributeKey.for_float("Amount")
CURRENCY = SearchAttributeKey.for_keyword("Currency")
DUE_AT = SearchAttributeKey.for_datetime("DueAt")
NEEDS_ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")
ACTOR = SearchAttributeKey.for_keyword("Actor")


def at_start(
    *, tenant: str, kind: str, number: str, stage: str, amount: Decimal, currency: str, actor: str
) -> TypedSearchAttributes:
    """What is known when a process starts. The amount is a float for sorting, never for sums."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(TENANT, tenant),
            SearchAttributePair(KIND, kind),
            SearchAttributePair(NUMBER, number),
            SearchAttributePair(STAGE, stage),
            SearchAttributePair(AMOUNT, float(amount)),
            SearchAttributePair(CURRENCY, currency),
            SearchAttributePair(NEEDS_ATTENTION, False),
            SearchAttributePair(ACTOR, actor),
        ]
    )


def progress(
    *, stage: str, due: datetime | None, needs_attention: bool
) -> list[SearchAttributeUpdate[Any]]:
    """What changes while a process runs."""
    return [
        STAGE.value_set(stage),
        DUE_AT.value_unset() if due is None else DUE_AT.value_set(due),
        NEEDS_ATTENTION.value_set(needs_attention),
    ]
