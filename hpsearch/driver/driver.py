"""The driver: asks for trials, submits them, decides after each epoch, and records everything.

One process with one thread, and the only writer. Read `JobLoop.run` first, then `Driver._over` and
`Driver._fill_slots`. It knows executors only by their interface, and no torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hpsearch.driver.blame import MAX_DEATHS, MAX_SUSPECTS, Suspects, check_some_ended_well
from hpsearch.driver.environment import Environment, Happened, Observer, TrialEvent
from hpsearch.driver.job_loop import TICK_S, JobLoop
from hpsearch.driver.origins import Origins
from hpsearch.driver.outcome import cause_of, checked, in_words, outcome, resumed_in_words
from hpsearch.driver.progress import Progress, RunningTrial
from hpsearch.driver.requests import REQUESTED
from hpsearch.driver.stopping import Stopping
from hpsearch.driver.working_time import WorkingTime
from hpsearch.errors import EnvironmentFailure, InputError
from hpsearch.execution import Decision, Ended, Ending, Event, Executor, Job, Lost, Started
from hpsearch.execution.blame import Fault, fault_of
from hpsearch.pruners import make_pruner
from hpsearch.pruners.audit import is_audited, without_audits
from hpsearch.space.cost_range import CostRange
from hpsearch.storage.leases import NumberTakenError, TrialTakenError
from hpsearch.study.plan import DataPlace, StudyPlan
from hpsearch.training.epoch import EpochResult
from hpsearch.trial import TrialRecord, counted
from hpsearch.waiting import Patience


class Driver(JobLoop):
    """Runs one study until its budget is spent or it is interrupted."""

    def __init__(
        self,
        plan: StudyPlan,
        data: DataPlace,
        executor: Executor,
        observer: Observer,
        interrupted: Callable[[], int],
        environment: Environment | None = None,
    ) -> None:
        """Prepare; `run` starts the search.

        Args:
            plan: The study, its space and its folder; saved, and locked by the caller.
            data: The packed data set.
            executor: Runs the trials; closed by the caller.
            observer: Shows progress.
            interrupted: Returns the number of interrupts so far; see `JobLoop`.
            environment: Collaborators; by default those of the study's folder and this machine.
        """
        super().__init__(executor, observer.message, interrupted)
        self._plan, self._observer = plan, observer
        config = plan.config
        self._smallest = None
        if config.trial is not None:
            smallest = CostRange(plan.problem).cheapest("memory_bytes")
            self._smallest = config.trial.with_parameters(smallest).plain()
        self._goals = config.goals
        self._pruner = make_pruner(config.pruner, plan.resource, plan.problem, self._goals)
        around = environment or Environment.of(plan, data, Patience(observer.message, interrupted))
        self._stopping = Stopping(config, around.n_tasks)
        self._store, self._asker, self._clock = around.store, around.asker, around.clock
        self._requests = around.requests
        self._history: list[TrialRecord] = []
        self._suspects = Suspects(self._store)
        self._aside: dict[int, str] = {}  # checkpoints that a trial could not continue from
        self._no_new: str | None = None  # why no new trial may start
        self._exhausted: str | None = None  # why no more configuration can be proposed
        self._origin = ""  # of the pending ask
        self._origins = Origins(plan, self._tell)
        self._time = WorkingTime(self._store, self._clock)

    def run(self) -> str:
        """Search until the study ends; return why it ended, in words.

        Raises:
            EnvironmentFailure: Something failed; the same command resumes.
        """
        try:
            return super().run() or "interrupted"
        finally:
            self._asker.close()
            self._time.save(force=True)
            self._store.close()

    def progress(self) -> Progress:
        """Return a snapshot of the search."""
        seconds, slots = self._time.seconds(), self._executor.slots
        forecast = self._stopping.recent_forecast(self._history, seconds, slots)
        config, now = self._plan.config, self._clock()
        return Progress.of(self._history, self._running, config, seconds, slots, forecast, now)

    def _begin(self) -> None:
        """Read the history, adopt results that the database missed, and queue running trials.

        The last epoch of a running trial is decided again. The earlier decision may not have been
        carried out, and the worker would then train past the rung.
        """
        self._history = self._store.load()
        for trial in self._store.left_running(self._history):
            self._continue(trial)
        if self._waiting:
            names = ", ".join(str(n) for n in self._waiting)
            self._tell(f"continuing trial {names} from its checkpoint")

    def _continue(self, trial: TrialRecord) -> None:
        epoch = max(trial.values, default=0)
        decision = self._decide(trial.number, epoch) if epoch else Decision.GO
        if decision is Decision.STOP:
            self._prune(trial)
        elif decision is Decision.PAUSE:
            self._pause(trial)
        else:
            self._waiting.append(trial.number)

    def _follow(self) -> None:
        """Read what other drivers did, and take over the trials that no driver runs."""
        updates = self._store.updates(self._executor.slots - self._busy() - len(self._waiting))
        updates.enter_into(self._history)
        for number in updates.lost:
            self._abandon(number)
        for number in updates.taken:
            self._tell(f"continuing trial {number}, which no driver runs any more")
            with self._while_ours(number):
                trial = self._history[number] = self._store.adopt(self._history[number])
                if not trial.finished:
                    self._continue(trial)

    def _obey(self) -> None:
        """Read what users ask for; end the trials to stop that are on no worker."""
        self._requests.look(self._history)
        for number in self._requests.to_stop():
            trial = self._history[number]
            if number in self._waiting and trial.values:
                self._waiting.remove(number)
                self._prune(trial)
            elif trial.state == "paused" and self._store.claim(number):
                self._prune(trial)

    @contextlib.contextmanager
    def _while_ours(self, number: int) -> Iterator[None]:
        """Abandon a trial when the database says that another driver has it."""
        try:
            yield
        except TrialTakenError:
            self._abandon(number)

    def _abandon(self, number: int) -> None:
        """Leave a trial to the driver that has it, and stop it here after its epoch."""
        self._tell(f"trial {number} continues with another driver")
        self._store.leave(number)
        self._suspects.drop(number)
        if number in self._waiting:
            self._waiting.remove(number)
        if self._running.pop(number, None) is not None:
            self._abandoned.add(number)
            self._executor.decide(number, Decision.STOP)

    def _over(self) -> str | None:
        """Return why the study is over, None while it goes on."""
        self._time.save()
        self._observer.update(self.progress)
        self._follow()
        self._obey()
        self._no_new = self._why_no_new()
        if self._no_new is None or self._running or self._waiting:
            return None
        if self._suspects:
            self._suspects.blame_machine(self._history)
        if not self._end_paused():
            return None
        check_some_ended_well(self._history)
        return self._no_new

    def _why_no_new(self) -> str | None:
        """Return why no new trial may start, or None. Running trials still end."""
        for trial in self._suspects.release(self._history):
            with self._while_ours(trial.number):
                self._end(trial)
        if len(self._suspects) >= MAX_SUSPECTS:
            return "too many trials failed in a row"
        settled = sum(t.settled and not t.added for t in self._history) + len(self._suspects)
        spent = self._stopping.trials_spent(settled)
        if spent and self._next_promotion() is None:
            return spent
        return self._exhausted or self._stopping.reason(self._history, self._time.seconds())

    def _next_promotion(self) -> int | None:
        """Return the paused trial that continues next."""
        if not any(t.state == "paused" for t in self._history):
            return None
        return self._pruner.promote(without_audits(self._history))

    def _fill_slots(self) -> None:
        """Start waiting trials, then promoted ones, then new ones within the budget."""
        super()._fill_slots()
        if self._no_new is not None:
            return
        while self._busy() < self._executor.slots:
            promoted = self._next_promotion()
            if promoted is None or not self._store.claim(promoted):
                break
            self._promote(self._history[promoted])
        number, most = len(self._history), self._plan.config.budget.trials or float("inf")
        if self._busy() >= self._executor.slots or counted(self._history) >= most:
            return
        if number < len(self._plan.enqueued):
            self._enter(*self._plan.enqueued[number])
            return
        if (asked_for := self._requests.next(self._history)) is not None:
            self._enter(asked_for, REQUESTED)
            if len(self._history) > number:
                self._requests.adopted(number)
            return
        if self._asker.pending is None:
            self._asker.ask(self._history, number)
            self._origin = self._origins.name(self._history)
        asked = self._asker.pending
        try:
            params = self._asker.answer(TICK_S if not self._running else 0.01)
        except InputError as error:
            if not self._history:
                raise  # no configuration can be tried
            self._exhausted = str(error)  # running and paused trials still end
            return
        if params is not None and asked == number:  # else another driver has entered a trial
            self._enter(params, self._origin, self._asker.seen)

    def _costs(self, params: dict[str, Any]) -> dict[str, float]:
        return self._plan.problem.costs(params) if self._goals.exact else {}

    def _enter(self, params: dict[str, Any], origin: str, seen: Any = None) -> None:
        trial = TrialRecord(len(self._history), "running", params, figures=self._costs(params))
        try:
            self._store.enter(trial, origin, seen)
        except NumberTakenError:
            return  # another driver was first: `_follow` reads its trial, then this one asks again
        self._history.append(trial)
        self._submit(trial.number)

    def _job(self, number: int) -> Job:
        job = replace(self._store.job(self._history[number]), smallest=self._smallest)
        if aside := self._store.set_aside_foreign(job):
            self._aside[number] = aside
        return job

    def _handle(self, event: Event) -> None:
        with self._while_ours(event.trial):
            super()._handle(event)

    def _started(self, event: Started) -> None:
        number = event.trial
        self._store.note_started(number, event.provenance)
        known, aside = self._history[number].last_epoch, self._aside.pop(number, None)
        kept = max((one.epoch for one in event.curve), default=0)
        if text := resumed_in_words(number, kept, known, aside):
            self._tell(text)
        if event.note:
            self._tell(f"trial {number}: {event.note}")
        for result in event.curve:
            self._note(number, result)
        self._show("trial_start", number)

    def _answer(self, number: int, result: EpochResult) -> Decision:
        known = checked(result)
        self._note(number, known)
        if known.epoch == 0:  # the start as it is: there is nothing to end
            return Decision.GO
        if not known.diagnosis:
            return self._decide(number, known.epoch)
        # With a diagnosis of its own, training ends by itself and reports it as the cause.
        return Decision.GO if known is result else Decision.STOP

    def _note(self, number: int, result: EpochResult) -> None:
        """Record an epoch if its error is finite: samplers cannot learn from another one."""
        if result.finite:
            trial, error = self._history[number], result.validation_error
            best = trial.value is None or error < trial.value
            new = result.epoch not in trial.values
            figures = self._goals.after(trial.figures, result.metrics, best=best)
            trial = trial.with_value(result.epoch, error, round(result.seconds, 2))
            self._history[number] = replace(trial, figures=figures)
            self._store.note_epoch(number, result)
            if new:
                self._show("report", number, result)

    def _show(self, kind: Happened, number: int, result: EpochResult | None = None) -> None:
        """Tell the observer what has been recorded."""
        shown = self._plan.config.shown
        self._observer.event(TrialEvent(kind, self._history[number], shown, result))

    def _decide(self, number: int, epoch: int) -> Decision:
        """Decide what a trial does after an epoch; an audited one continues.

        One that is known to break a constraint ends at once.
        """
        trial, config = self._history[number], self._plan.config
        if self._requests.stops(number) or self._goals.violation(trial.figures):
            return Decision.STOP
        if trial.audit is not None:
            return Decision.GO
        decision = self._pruner.decide(without_audits(self._history), trial, epoch)
        ends = decision is not Decision.GO
        if ends and is_audited(config.seed, number, config.pruner.audit_share):
            self._history[number] = replace(trial, audit=epoch)
            self._store.set_attribute(number, "audit", epoch)
            self._tell(
                f"trial {number}: {config.pruner.name} would end it after epoch {epoch}; trained "
                "on as an audit"
            )
            return Decision.GO
        return decision

    def _ended(self, running: RunningTrial, event: Ended | Lost) -> None:
        trial = self._history[event.trial]
        if isinstance(event, Ended) and event.memory is not None:
            self._store.note_memory(trial.number, event.memory)
        diagnosis = checked(running.last).diagnosis if running.last else None
        fault = fault_of(event, trained=trial.last_epoch > 0)
        if isinstance(event, Lost) or fault is Fault.UNKNOWN:
            self._died(trial, cause_of(event), counts=fault is Fault.UNKNOWN)
        elif fault is Fault.MACHINE:
            raise EnvironmentFailure(f"trial {trial.number}: {cause_of(event)}")
        elif event.ending is Ending.INTERRUPTED:
            self._waiting.append(event.trial)
        elif event.ending is Ending.PAUSED:
            self._pause(trial)
        elif event.ending is Ending.STOPPED and not diagnosis:
            self._prune(trial)
        else:
            self._end(outcome(trial, event, diagnosis, self._goals))

    def _died(self, trial: TrialRecord, cause: str, *, counts: bool) -> None:
        """Try a trial again, or let it wait until another trial shows what is to blame."""
        if counts and self._suspects.note_death(trial.number, cause, self._history):
            self._tell(
                f"trial {trial.number}: {cause}; it failed {MAX_DEATHS} times without ending an "
                "epoch and waits until another trial ends well"
            )
            return
        self._tell(f"trial {trial.number}: {cause}; trying it again")
        self._continue(trial)  # the last decision may not have been carried out

    def _prune(self, trial: TrialRecord, how: str = "pruned") -> None:
        broken = self._goals.violation(trial.figures)
        how = f"{how} by {self._plan.config.pruner.name}"
        if self._requests.stops(trial.number):
            how = "stopped by a user"
        cause = f"{how} after epoch {max(trial.values)}"
        self._end(replace(trial, state="pruned", trainable=not broken, cause=broken or cause))

    def _pause(self, trial: TrialRecord) -> None:
        """Pause a trial until it is promoted or the study ends."""
        epoch = max(trial.values)
        self._history[trial.number] = replace(trial, state="paused")
        self._store.pause(trial.number, epoch)
        shown = self._plan.config.shown
        value = f"{shown.short} {shown.text(trial.value or 0)}"
        self._tell(f"trial {trial.number} paused after epoch {epoch}, {value}")

    def _promote(self, trial: TrialRecord) -> None:
        known = trial.last_epoch
        self._tell(f"trial {trial.number} promoted: it continues after epoch {known}")
        self._history[trial.number] = replace(trial, state="running")
        self._store.set_attribute(trial.number, "paused", None)
        self._submit(trial.number)

    def _end_paused(self) -> bool:
        """End paused trials that were not promoted; return whether other drivers hold none."""
        for trial in [t for t in self._history if t.state == "paused"]:
            if self._store.claim(trial.number):
                self._prune(trial, "not promoted")
        return not any(t.state == "paused" for t in self._history)

    def _end(self, trial: TrialRecord) -> None:
        """Write a result to the trial's folder, then the database; then delete checkpoints."""
        self._history[trial.number] = trial
        self._store.end(trial)
        self._store.keep_best_checkpoints(self._history)
        self._requests.ended(trial.number)
        self._tell(in_words(trial, self._plan.config.shown))
        self._show("trial_end", trial.number)

    def _flush(self) -> None:
        self._store.flush()
