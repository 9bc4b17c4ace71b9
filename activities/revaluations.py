"""The steps of a revaluation: open, walk chunk by chunk, post."""

from sqlalchemy import Engine
from temporalio import activity

from db import revaluations as rows
from db.engine import transaction
from domain.revaluations import Opened, Posted, Revaluation, Walked


class RevaluationActivities:
    """Bound to one engine (app role)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @activity.defn(name="revaluation.open")
    def open_revaluation(self, asked: Revaluation) -> Opened:
        """Write the row behind which the walk begins, or say that another is at work."""
        with transaction(self._engine, asked.tenant_id) as session:
            return rows.open_(session, asked)

    @activity.defn(name="revaluation.walk")
    def walk(self, asked: Revaluation) -> Walked:
        """Walk until only a short tail is left; each chunk that was walked is kept."""
        while True:
            with transaction(self._engine, asked.tenant_id) as session:
                walked = rows.walk(session, asked)
            activity.heartbeat(walked.movements)
            if walked.caught_up:
                return walked

    @activity.defn(name="revaluation.post")
    def post(self, asked: Revaluation) -> Posted:
        """Walk the tail and post, with the level locked."""
        with transaction(self._engine, asked.tenant_id) as session:
            return rows.post(session, asked)
