"""Sees what becomes of jobs: in the records, and in what containers really did. Part of the witness."""

from collections.abc import Iterator, Mapping, Sequence

from shoal_scheduler.control.batch.children import job_key
from shoal_scheduler.control.batch.job_inputs import SubmitJob
from shoal_scheduler.model.children import bits_of, chunk_of
from shoal_scheduler.model.job import FAILED, N_TO_N, SEQUENTIAL, SUCCEEDED, Job, JobChunk, JobState
from shoal_scheduler.model.task import Launch, Task
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.tables import Tables

from tests.simulation import job_checkers as checkers
from tests.simulation.containers import JOB_ATTEMPT, JOB_ID, Box
from tests.simulation.plan import Plan
from tests.simulation.trace import Trace

# With these an instance takes no tasks for a while.
LEAVING = ("drain", "deregister", "interruption", "interruption notice")

Child = tuple[str, int]
Faults = Iterator[checkers.Fault]


class JobWitness:
    """`recorded`: every task by its id, as it was stored last; belongs to the witness."""

    def __init__(self, trace: Trace, recorded: Mapping[str, Task], plan: Plan) -> None:
        self.trace, self.recorded = trace, recorded
        self.jobs: dict[str, Job] = {}
        self.states: dict[str, JobState] = {}
        self.wished: set[Child] = set()

        # Those of whoever was heard last, and their revision.
        self._tables: Tables | None = None
        self._revision = 0

        # A job for which no host is left holds up nobody.
        self.keeps_hosts = not any(plan.has(kind) for kind in LEAVING)

        # The answer that each client token got.
        self.told: dict[str, str] = {}

        # In the records: ids of tasks by child and attempt, and of those that are not STOPPED; bits by job and chunk.
        self.attempts: dict[Child, list[str]] = {}
        self._live: dict[Child, dict[str, None]] = {}
        self._live_in: dict[str, int] = {}
        self._bits: dict[tuple[str, int], tuple[int, int]] = {}
        self._over: dict[str, tuple[int, int]] = {}
        self._launches: set[str] = set()

        # In truth: tasks by child and attempt, and children of which a container ended with 0.
        self._ran: dict[Child, dict[int, str]] = {}
        self._good: dict[str, set[int]] = {}

    # Engines.

    def started(self, box: Box) -> checkers.Fault:
        return next(filter(None, self._started(box)), None)

    def _started(self, box: Box) -> Faults:
        if JOB_ID not in box.environment:
            return
        name, attempt = box.environment[JOB_ID], int(box.environment[JOB_ATTEMPT])
        job_id, child = job_key(name)
        job, key = self.jobs[job_id], (job_id, child or 0)
        ran = self._ran.setdefault(key, {})
        yield checkers.two_runs_never_have_the_same_number(box, name, attempt, ran.get(attempt, ""))
        yield checkers.attempts_never_exceed_their_limit(name, attempt, job)
        yield checkers.nothing_starts_before_what_it_depends_on(name, self._missing(job, key[1]))
        ran[attempt] = box.task

    def ended(self, box: Box) -> None:
        if JOB_ID in box.environment and box.exit_code == 0 and box.ended_by == "itself":
            job_id, child = job_key(box.environment[JOB_ID])
            self._good.setdefault(job_id, set()).add(child or 0)

    def _missing(self, job: Job, child: int) -> str:
        """What of that which the child depends on has not ended with 0 on any host."""
        for dependency in job.depends_on:
            other = dependency.job or job.id
            good = self._good.get(other, set())
            if dependency.type == SEQUENTIAL:
                is_there = not child or child - 1 in good
            elif dependency.type == N_TO_N:
                is_there = child in good
            else:
                is_there = len(good) == self.jobs[other].size
            if not is_there:
                return f"{dependency.type or 'all'} of job {other} has succeeded"
        return ""

    # Schedulers.

    def leads(self, tables: Tables) -> checkers.Fault:
        """What a new leader has loaded: of some of it nobody was told."""
        self._tables, self._revision = tables, max(self._revision, tables.revision)
        return next(filter(None, self._loaded(tables)), None)

    def _loaded(self, tables: Tables) -> Faults:
        yield checkers.one_job_per_token(entry.job for entry in tables.batch.jobs.values())
        for entry in tables.batch.jobs.values():
            self.jobs[entry.job.id] = entry.job
        launches = [entry.launch for entry in tables.launches.values() if entry.launch.job is not None]
        for launch in sorted(launches, key=lambda it: it.job.attempt if it.job else 0):
            yield from self._saw_launch(launch, fresh=False)
        for task in tables.tasks():
            yield from self._saw_task(task)
        for entry in tables.batch.jobs.values():
            for chunk in entry.chunks.values():
                yield from self._saw_chunk(chunk)
        for entry in tables.batch.jobs.values():
            yield from self._saw_state(entry.state)

    def committed(self, tables: Tables, changes: Sequence[c.Change]) -> checkers.Fault:
        if tables is not self._tables:  # the first step of a new leader, who has loaded more than was told
            return self.leads(tables) if tables.revision > self._revision else None
        self._revision = max(self._revision, tables.revision)
        for change in changes:
            fault = next(filter(None, self._saw(tables, change)), None)
            if fault:
                return fault
        return next(filter(None, self._overtaken(tables)), None) if self.keeps_hosts else None

    def _overtaken(self, tables: Tables) -> Faults:
        """As the leader itself counts it, since it leads. A queue that may run no more holds up nobody."""
        for name, waiting in tables.batch.waiting.items():
            queue = tables.batch.queues.get(name)
            if queue is not None and not queue.max_concurrent:
                most = waiting.most_overtaken_before(None)
                yield checkers.nobody_is_overtaken_without_end(f"of queue {name}", most, queue.overtaking_max)

    def _saw(self, tables: Tables, change: object) -> Faults:
        match change:
            case c.PutTask(task):
                yield from self._saw_task(task)
            case c.PutLaunch(launch):
                yield from self._saw_launch(launch, fresh=True)
            case b.PutJob(job):
                self.trace.say("jobs", f"job {job.id} {job.client_token} {job.array_size} {job.depends_on}")
                self.jobs[job.id] = job
                yield checkers.one_job_per_token(entry.job for entry in tables.batch.jobs.values())
            case b.PutJobChunk(chunk):
                yield from self._saw_chunk(chunk)
            case b.PutJobState(state):
                self.trace.say("jobs", f"job {state.job} {state.outcome} {state.wish} {state.status_reason}")
                yield from self._saw_state(state)
            case _:
                return

    def _saw_launch(self, launch: Launch, *, fresh: bool) -> Faults:
        part = launch.job
        if part is None or launch.id in self._launches:
            return
        self._launches.add(launch.id)
        job = self.jobs[part.job]
        for index, child in enumerate(part):
            key, name = (job.id, child), f"{job.id}:{child}"
            attempts = self.attempts.setdefault(key, [])
            yield checkers.attempts_are_counted_one_by_one(name, part.attempt, len(attempts))
            yield checkers.attempts_never_exceed_their_limit(name, part.attempt, job)
            if fresh:
                yield checkers.what_has_ended_is_not_started(name, self.outcome(job.id, child))
                yield checkers.nothing_starts_before_what_it_depends_on(name, self._missing(job, child))
            attempts.append(f"{launch.id}{index:08x}")

    def _saw_task(self, task: Task) -> Faults:
        part = task.launch.job
        if part is None:
            return
        key = part.job, part.child(task.index)
        live = self._live.setdefault(key, {})
        before = len(live)
        if task.is_stopped:
            live.pop(task.id, None)
        else:
            live[task.id] = None
        self._live_in[part.job] = self._live_in.get(part.job, 0) + len(live) - before
        yield checkers.a_child_has_one_live_task(f"{key[0]}:{key[1]}", list(live))

    def _saw_chunk(self, chunk: JobChunk) -> Faults:
        key = chunk.job, chunk.number
        before = self._bits.get(key, (0, 0))
        after = bits_of(chunk.succeeded), bits_of(chunk.failed)
        yield checkers.a_child_ends_once(*key, before, after)
        over = self._over.get(chunk.job, (0, 0))
        more = [now.bit_count() - then.bit_count() for now, then in zip(after, before, strict=True)]
        self._over[chunk.job] = over[0] + more[0], over[1] + more[1]
        self._bits[key] = after
        for index, child in chunk.children.items():
            name = f"{chunk.job}:{index}"
            yield checkers.failures_never_exceed_their_limit(name, child, self.jobs[chunk.job])
            if child.wish:
                self.wished.add((chunk.job, index))

    def _saw_state(self, state: JobState) -> Faults:
        before = self.states.get(state.job)
        yield checkers.an_outcome_stays(state.job, before.outcome if before else "", state.outcome)
        self.states[state.job] = state
        job, (succeeded, failed) = self.jobs[state.job], self._over.get(state.job, (0, 0))
        live = self._live_in.get(state.job, 0)
        doomed = self._doomed_by(job)
        yield checkers.the_parent_says_what_its_children_are(job, state, succeeded, failed, live, doomed)

    def _doomed_by(self, job: Job) -> str:
        """A job that it depends on as a whole and that has failed."""
        whole = (each.job for each in job.depends_on if not each.type)
        failed = (name for name in whole if name in self.states and self.states[name].outcome == FAILED)
        return next(failed, "")

    def outcome(self, job_id: str, child: int) -> str:
        """In the records, so far."""
        number, bit = chunk_of(child)
        succeeded, failed = self._bits.get((job_id, number), (0, 0))
        if succeeded & bit:
            return SUCCEEDED
        state = self.states.get(job_id)
        return FAILED if failed & bit or (state is not None and state.outcome) else ""

    # Users.

    def acknowledged(self, request: SubmitJob, job: Job, *, is_stored: bool) -> checkers.Fault:
        if not is_stored:
            return f"job {job.id} was acknowledged, and the store does not hold it"
        before = self.told.setdefault(request.client_token, job.id)
        return checkers.the_same_token_is_the_same_job(request.client_token, job.id, before)

    # At the end.

    def open(self) -> list[JobState]:
        """Of jobs that are not over."""
        known = (self.states.get(name) or JobState(job=name) for name in self.jobs)
        return [state for state in known if not state.outcome]

    def unexplained(self) -> Faults:
        """Children that did not end as what their attempts did demands."""
        for job in self.jobs.values():
            state = self.states.get(job.id) or JobState(job=job.id)
            for child in range(job.size):
                key = job.id, child
                tasks = [self.recorded[task] for task in self.attempts.get(key, ()) if task in self.recorded]
                wished, doomed = bool(state.wish) or key in self.wished, self._is_doomed(job, child)
                yield checkers.a_child_ends_as_its_attempts_demand(
                    f"{job.id}:{child}",
                    job,
                    self.outcome(*key) or "not over",
                    tasks,
                    wished=wished,
                    doomed=doomed,
                )

    def _is_doomed(self, job: Job, child: int) -> bool:
        if self._doomed_by(job):
            return True
        of_children = [each.job for each in job.depends_on if each.type == N_TO_N]
        if any(self.outcome(other, child) == FAILED for other in of_children):
            return True
        is_sequential = any(each.type == SEQUENTIAL for each in job.depends_on)
        return is_sequential and any(self.outcome(job.id, before) == FAILED for before in range(child))
