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
from sqlalchemy import text
from sqlalchemy.orm import Session

LEASE_S = 60.0
"""Seconds after which a silent driver's trials are free, unless the study says otherwise."""

TABLE = """
CREATE TABLE IF NOT EXISTS hpsearch_leases (
    trial_id INTEGER PRIMARY KEY REFERENCES trials ON DELETE CASCADE,
    driver TEXT NOT NULL,
    until TIMESTAMPTZ NOT NULL
)"""

UNTIL = "clock_timestamp() + make_interval(secs => :lease_s)"

TAKE = f"""
INSERT INTO hpsearch_leases (trial_id, driver, until) VALUES (:trial_id, :driver, {UNTIL})
ON CONFLICT (trial_id) DO UPDATE SET driver = excluded.driver, until = excluded.until"""

# After a restart of the server every lease looks expired; drivers get the time of one to renew.
TAKE_FREE = f"""
INSERT INTO hpsearch_leases (trial_id, driver, until)
SELECT trials.trial_id, :driver, {UNTIL} FROM trials LEFT JOIN hpsearch_leases USING (trial_id)
WHERE study_id = :study_id AND state = 'RUNNING' AND NOT trials.trial_id = ANY(:but)
AND NOT EXISTS (
    SELECT FROM trial_user_attributes AS marks
    WHERE marks.trial_id = trials.trial_id AND key = 'paused' AND value_json <> 'null'
) AND (
    hpsearch_leases.trial_id IS NULL
    OR until < clock_timestamp()
    AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => :lease_s)
)
ORDER BY trials.trial_id LIMIT :limit
ON CONFLICT (trial_id) DO UPDATE SET driver = excluded.driver, until = excluded.until
RETURNING trial_id"""

CLAIM = f"""
INSERT INTO hpsearch_leases (trial_id, driver, until)
SELECT trial_id, :driver, {UNTIL} FROM trials JOIN trial_user_attributes USING (trial_id)
WHERE trial_id = :trial_id AND state = 'RUNNING' AND key = 'paused' AND value_json <> 'null'
ON CONFLICT (trial_id) DO UPDATE SET driver = excluded.driver, until = excluded.until
WHERE hpsearch_leases.driver = excluded.driver OR hpsearch_leases.until < clock_timestamp()
RETURNING trial_id"""

RENEW = f"""
UPDATE hpsearch_leases SET until = {UNTIL}
WHERE driver = :driver AND trial_id = ANY(:trials) RETURNING trial_id"""

HELD = """
SELECT trial_id FROM hpsearch_leases
WHERE driver = :driver AND trial_id = ANY(:trials) FOR UPDATE"""


class NumberTakenError(Exception):
    """Another driver has already entered a trial under this number."""


class TrialTakenError(Exception):
    """Another driver has taken the trial over, and only it may write to the trial."""


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
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('hpsearch_leases'))"))
            connection.execute(text(TABLE))

    def take(self, session: Session, trial_id: int) -> None:
        """Lease a trial that this transaction entered."""
        session.execute(text(TAKE), self._values(trial_id=trial_id))
        self.mine.add(trial_id)

    def take_free(self, session: Session, study_id: int, limit: int) -> set[int]:
        """Lease running trials that no living driver holds. The caller has locked the study."""
        values = self._values(study_id=study_id, but=list(self.mine), limit=limit)
        taken = set(session.execute(text(TAKE_FREE), values).scalars())
        self.mine |= taken
        return taken

    def claim(self, session: Session, trial_id: int) -> bool:
        """Lease a paused trial, unless another driver has leased it to continue or end it."""
        if not session.execute(text(CLAIM), self._values(trial_id=trial_id)).all():
            return False
        self.mine.add(trial_id)
        return True

    def renew(self, session: Session) -> set[int]:
        """Renew this driver's leases; return the trials that it no longer holds."""
        values = self._values(trials=list(self.mine))
        lost = self.mine - set(session.execute(text(RENEW), values).scalars())
        self.mine -= lost
        return lost

    def held(self, session: Session, trials: Iterable[int]) -> set[int]:
        """Return which trials this driver holds; no other can take them before the commit."""
        return set(session.execute(text(HELD), self._values(trials=list(trials))).scalars())

    def end(self, session: Session, trial_id: int) -> None:
        """Delete the lease of a trial that has ended or is paused."""
        self.mine.discard(trial_id)
        session.execute(
            text("DELETE FROM hpsearch_leases WHERE trial_id = :trial_id AND driver = :driver"),
            self._values(trial_id=trial_id),
        )

    def release(self, session: Session) -> None:
        """Delete all leases of this driver."""
        session.execute(text("DELETE FROM hpsearch_leases WHERE driver = :driver"), self._values())

    def _values(self, **values: Any) -> dict[str, Any]:
        return {"driver": self.driver, "lease_s": self.lease_s, **values}
