"""Versions as ETags: what was read goes out with the record and comes back with each edit."""

import re
from typing import Annotated

from fastapi import Depends, Header

from db.records import Versions
from domain.errors import PreconditionRequired

_TAG = re.compile(r'"v([0-9]{1,18})"', re.ASCII)


def etag(version: int) -> str:
    """The entity tag of a version: ``"v7"``."""
    return f'"v{version}"'


def unchanged(if_none_match: str | None, version: int) -> bool:
    """Whether the reader already has this version, so that 304 is the answer."""
    if if_none_match is None:
        return False
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in {"*", etag(version)} for tag in tags)


async def _versions(
    if_match: Annotated[
        str | None, Header(description='The ETag that was read, such as `"v7"`, or `*`.')
    ] = None,
) -> Versions:
    if if_match is None or not if_match.strip():
        raise PreconditionRequired("Send If-Match with the ETag of the record that you read.")
    if if_match.strip() == "*":
        return None
    # A weak or foreign tag matches no version: the edit is refused as stale.
    tags = (_TAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag)


#: Versions that the client accepts to overwrite; None accepts any. 428 when the header is missing.
IfMatch = Annotated[Versions, Depends(_versions)]
IfNoneMatch = Annotated[
    str | None, Header(description="An ETag that is known already: 304 when it still holds.")
]
