"""Leases: which driver runs which trial, and until when. A table beside Optuna's.

All times are the server's, so the clocks of the machines do not matter. A driver that is silent
for longer than a lease loses its trials to the others, and its later writes to them are refused.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterable
from typing import Any

import sqlalchemy
from sqlalchemy.orm import Session

from hpsearch.storage import optuna_tables as tables

LEASE_S = 60.0
"""Seconds after which a silent driver's trials are free, unless the study says otherwise."""


class NumberTakenError(Exception):
    """Another driver has already entered a trial under this number."""


class TrialTakenError(Exception):
    """Another driver has taken the trial over, and only it may write to the trial."""


class NoLeases:
    """Stands in for the leases where a driver is the only one: it holds every trial."""

    behind = False

    def take(self, session: Session, trial_id: int) -> None:
        """Do nothing: the trial is this driver's."""

    def held(self, session: Session, trials: Iterable[int]) -> set[int]:  # noqa: ARG002
        """Return all the trials."""
        return set(trials)

    end = take

    def release(self, session: Session) -> None:
        """Do nothing: there is no other driver."""


class Leases:
    """The leases of one driver. Every method runs inside the caller's transaction."""

    def __init__(self, engine: sqlalchemy.Engine, lease_s: float) -> None:
        """Create the table if it is missing.

        Args:
            engine: The study's database, PostgreSQL.
            lease_s: Seconds after which a silent driver's trials are free.
        """
        self.lease_s = lease_s
        self.mine: set[int] = set()
        """Ids of the trials that this driver believes to hold."""
        self.behind = False
        """Whether another driver has entered a trial that this one has not read yet."""
        self.driver = f"{socket.gethostname()} pid {os.getpid()} {secrets.token_hex(4)}"
        with engine.begin() as connection:
            for statement in tables.CREATE_LEASES:
                connection.execute(statement)

    def take(self, session: Session, trial_id: int) -> None:
        """Lease a trial that this transaction entered."""
        self._execute(session, tables.TAKE, trial_id=trial_id)
        self.mine.add(trial_id)

    def take_free(self, session: Session, study_id: int, limit: int) -> set[int]:
        """Lease running trials that no living driver holds. The caller has locked the study."""
        values = {"study_id": study_id, "but": list(self.mine), "limit": limit}
        taken = set(self._execute(session, tables.TAKE_FREE, **values).scalars())
        self.mine |= taken
        return taken

    def claim(self, session: Session, trial_id: int) -> bool:
        """Lease a paused trial, unless another driver has leased it to continue or end it."""
        claimed = set(self._execute(session, tables.CLAIM, trial_id=trial_id).scalars())
        self.mine |= claimed
        return bool(claimed)

    def renew(self, session: Session) -> set[int]:
        """Renew this driver's leases; return the trials that it no longer holds."""
        renewed = self._execute(session, tables.RENEW, trials=list(self.mine))
        lost = self.mine - set(renewed.scalars())
        self.mine -= lost
        return lost

    def held(self, session: Session, trials: Iterable[int]) -> set[int]:
        """Return which trials this driver holds; no other can take them before the commit."""
        return set(self._execute(session, tables.HELD, trials=list(trials)).scalars())

    def end(self, session: Session, trial_id: int) -> None:
        """Delete the lease of a trial that has ended or is paused."""
        self.mine.discard(trial_id)
        self._execute(session, tables.END_LEASE, trial_id=trial_id)

    def release(self, session: Session) -> None:
        """Delete all leases of this driver."""
        self._execute(session, tables.END_LEASES)

    def _execute(
        self, session: Session, statement: sqlalchemy.TextClause, **values: Any
    ) -> sqlalchemy.Result[Any]:
        own = {"driver": self.driver, "lease_s": self.lease_s}
        return session.execute(statement, own | values)
