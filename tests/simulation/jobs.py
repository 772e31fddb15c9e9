"""Users of batch: what they define and submit, what depends on what, and what they take back."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

from shoal_scheduler.control.batch import inputs as batch
from shoal_scheduler.control.batch.job_inputs import CancelJob, SubmitJob, TerminateJob
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import DISABLED, ENABLED, ComputeEnvironment, JobQueue, TimeLimit

from tests.simulation.clock import Clock
from tests.simulation.users import Users
from tests.simulation.workload import IMAGE

CHILDREN_MAX = 300
DEPENDENCIES_MAX = 20
SLOW_CHILDREN_MAX = 20
SETTLE_SECONDS = 0.5
QUEUES = ("urgent", "patient")

# How long, with what code, how long it takes to end when asked, how many of a hundred end with that code, cpu units.
PROGRAMS = {
    "steady": (1.0, 3, 0.0, 0, 64),
    "flaky": (1.0, 3, 0.0, 5, 64),
    "failing": (1.0, 1, 0.0, 50, 64),
    "long": (8.0, 3, 2.0, 5, 128),
    "stuck": (0.0, 3, 30.0, 100, 64),
    "wide": (3.0, 3, 0.0, 20, 700),
}
ON_HOST_LOSS = {"onStatusReason": "Host EC2*", "action": "RETRY"}
RULES: tuple[list[dict[str, str]], ...] = (
    [],
    [],
    [ON_HOST_LOSS, {"onReason": "*", "action": "EXIT"}],
    [{"onExitCode": "3", "action": "EXIT"}, {"onExitCode": "1*", "action": "RETRY"}],
    [{"onStatusReason": "Host EC2*", "action": "EXIT"}],
)


def definition(name: str, salt: str) -> batch.RegisterJobDefinition:
    """`salt` makes the same attempt another chance."""
    seconds, code, ending, percent, cpu = PROGRAMS[name]
    needs = [{"type": "VCPU", "value": str(cpu / 1024)}, {"type": "MEMORY", "value": "32"}]
    properties = {
        "image": IMAGE,
        "command": [str(seconds), str(code), str(ending), str(percent), salt],
        "resourceRequirements": needs,
        "stopTimeout": 4,
    }
    document = {"jobDefinitionName": name, "type": "container", "containerProperties": properties}
    return batch.RegisterJobDefinition(name, document, {}, "test")


class JobUsers:
    """`is_over()`: all is being mended, nothing new is asked for."""

    def __init__(self, users: Users, clock: Clock, rng: Random, salt: str, is_over: Callable[[], bool]) -> None:
        self.users, self.clock, self.rng, self.salt, self.is_over = users, clock, rng, salt, is_over
        self.sizes: dict[str, int] = {}
        self._submissions = 0
        self._children = round(math.exp(rng.uniform(math.log(4), math.log(400))))
        longest = math.log(CHILDREN_MAX)
        self._arrays = [round(math.exp(rng.uniform(math.log(2), longest))) for _ in range(2)]

    def begin(self, seconds: float) -> None:
        rng = self.rng
        self.define(
            ComputeEnvironment(name="hosts", created_at=0, max_vcpus=rng.choice((0, 0, 1))),
            [self._queue(name) for name in QUEUES],
        )
        for _ in range(rng.randint(1, 25)):
            self.clock.after(rng.uniform(SETTLE_SECONDS, seconds), self.submit)
        if rng.random() < 0.3:
            began = rng.uniform(SETTLE_SECONDS, seconds)
            self.clock.after(began, self._turn, QUEUES[0], DISABLED)
            self.clock.after(began + rng.uniform(0.5, 10.0), self._turn, QUEUES[0], ENABLED)

    def define(self, environment: ComputeEnvironment, queues: list[JobQueue]) -> None:
        """One after the other: a queue names its environment."""
        requests: list[Any] = [definition(name, self.salt) for name in PROGRAMS]
        requests.append(batch.CreateComputeEnvironment(environment))
        for request in requests:
            self.clock.after(self.rng.uniform(0.0, SETTLE_SECONDS / 2), self._insist, request)
        for queue in queues:
            self.clock.after(SETTLE_SECONDS, self._insist, batch.CreateJobQueue(queue))

    def _insist(self, request: Any) -> None:
        self.users.ask(request)

    def _queue(self, name: str) -> JobQueue:
        rng = self.rng
        limits = (TimeLimit("waited for too long", 20),) if rng.random() < 0.15 else ()
        return JobQueue(
            name=name,
            created_at=0,
            priority=rng.randint(0, 2),
            environments=("hosts",),
            time_limits=limits,
            max_concurrent=rng.choice((0, 0, 0, 5)),
            overtaking_max=rng.choice((1, 3, 100)),
        )

    def _turn(self, queue: str, state: str) -> None:
        if state == ENABLED or not self.is_over():
            self.users.ask(batch.UpdateJobQueue(queue, {"state": state}))

    # Submissions.

    def submit(self) -> None:
        if not self.is_over():
            self._submissions += 1
            self.ask(self._drawn(), f"token-{self._submissions}")

    def ask(self, document: dict[str, Any], token: str) -> None:
        self.users.ask(SubmitJob(document, client_token=token, request_digest=str(document)))

    def _drawn(self) -> dict[str, Any]:
        rng = self.rng
        size = rng.choice((0, *self._arrays))
        size = size if size <= self._children else 0
        self._children -= size
        program = rng.choice(tuple(PROGRAMS))
        document: dict[str, Any] = {
            "jobName": program,
            "jobQueue": rng.choice(QUEUES),
            "jobDefinition": program,
            "schedulingPriorityOverride": rng.choice((0, 0, 1, 5)),
            "retryStrategy": self._retry(),
        }
        if program == "stuck" or rng.random() < 0.2:
            document["timeout"] = {"attemptDurationSeconds": rng.randint(2, 10)}
        if size:
            document["arrayProperties"] = {"size": size}
            if size <= SLOW_CHILDREN_MAX and rng.random() < 0.3:
                document["arrayProperties"]["maxConcurrent"] = rng.randint(1, 5)
        depends_on = self._dependencies(size)
        return document | ({"dependsOn": depends_on} if depends_on else {})

    def _retry(self) -> dict[str, Any]:
        rng = self.rng
        strategy: dict[str, Any] = {"attempts": rng.choice((1, 1, 2, 3, 10)), "evaluateOnExit": rng.choice(RULES)}
        return strategy | ({"hostLosses": rng.choice((0, 1))} if rng.random() < 0.3 else {})

    def _dependencies(self, size: int) -> list[dict[str, str]]:
        rng = self.rng
        count = rng.choice((0, 0, 0, 1, 1, 2, 3, rng.randint(0, DEPENDENCIES_MAX)))
        alike = [job for job, other in self.sizes.items() if size and other == size]
        known = alike if alike and rng.random() < 0.5 else list(self.sizes)
        after = []
        for job in rng.sample(known, min(count, len(known))):
            is_n_to_n = bool(size) and self.sizes[job] == size and rng.random() < 0.7
            after.append({"jobId": job, "type": "N_TO_N"} if is_n_to_n else {"jobId": job})
        if 0 < size <= SLOW_CHILDREN_MAX and len(after) < DEPENDENCIES_MAX and rng.random() < 0.3:
            after.append({"type": "SEQUENTIAL"})
        return after

    # Answers.

    def answered(self, request: SubmitJob, job: Job) -> None:
        rng = self.rng
        is_new = job.id not in self.sizes
        self.sizes[job.id] = job.array_size
        if self.is_over() or not is_new:
            return
        if rng.random() < 0.15:
            self.clock.after(rng.uniform(0.0, 10.0), self._if_not_over, request)
        if rng.random() < 0.2:
            name = f"{job.id}:{rng.randrange(job.array_size)}" if job.array_size and rng.random() < 0.5 else job.id
            wish = rng.choice((CancelJob, TerminateJob))(name, "enough")
            self.clock.after(rng.choice((0.1, 3.0, 10.0)) * rng.random(), self._if_not_over, wish)

    def unanswered(self, request: SubmitJob) -> None:
        """Nobody knows whether it was stored: so it is asked for again, with its token."""
        self._if_not_over(request)

    def _if_not_over(self, request: Any) -> None:
        if not self.is_over():
            self.users.ask(request)

    # The end.

    def last_words(self) -> None:
        """What is there is to come to its end."""
        for queue in QUEUES:
            self._turn(queue, ENABLED)
