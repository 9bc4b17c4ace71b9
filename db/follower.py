"""Follows the ledger: gives new postings their positions, and hands facts to whoever wants them.

The minimal follower, run by every worker, only numbers. It is woken by NOTIFY and looks by itself
every second, so a lost wake-up costs a second and never a fact. Any number may run: an advisory
lock lets one number at a time.
"""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import Connection
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db import events

logger = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_BACKOFF_SECONDS = 1.0


class Follower:
    """A thread with one connection as the follower role, until ``close``."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._stop = threading.Event()
        self.position = 0
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop within about a second."""
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with psycopg.connect(
                    self._conninfo, autocommit=True, connect_timeout=5, application_name="follower"
                ) as conn:
                    self._follow(conn)
            except psycopg.Error as error:
                logger.warning("The follower lost its database: %s", error)
                self._stop.wait(_BACKOFF_SECONDS)

    def _follow(self, conn: Connection[Any]) -> None:
        conn.execute(f"LISTEN {events.CHANNEL}")
        while not self._stop.is_set():
            before = self.position
            row = conn.execute("SELECT assign_positions()").fetchone()
            self.position = int(row[0]) if row else before
            if self.position == before:
                for _ in conn.notifies(timeout=_LOOK_SECONDS, stop_after=1):
                    pass


def facts(
    engine: Engine, name: str, *, follow: bool = False, page: int = 1000
) -> Iterator[events.Fact]:
    """Every fact after the stored cursor of ``name``, in order; the cursor moves page by page.

    ``engine`` is the follower role's. A page counts as worked off when the next one is asked for,
    so a consumer that dies gets its last page again: take ``position`` as the key of the effect.
    With ``follow`` it never ends.
    """
    while True:
        for found in pages(engine, name, page=page):
            yield from found
        if not follow:
            return
        time.sleep(_LOOK_SECONDS)


def pages(engine: Engine, name: str, *, page: int = 1000) -> Iterator[list[events.Fact]]:
    """What ``facts`` gives, page by page, until there is no more; for whoever works in batches."""
    while True:
        with Session(engine) as session, session.begin():
            events.assign_positions(session)
        with Session(engine) as session, session.begin():
            found = events.read(session, events.cursor(session, name), page)
        if not found:
            return
        yield found
        with Session(engine) as session, session.begin():
            events.advance(session, name, found[-1].position)
