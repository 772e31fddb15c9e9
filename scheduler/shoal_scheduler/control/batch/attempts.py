"""What becomes of a child when an attempt of it is over. Pure.

In this order: what was wished for (cancelled, terminated) or has run for too long is FAILED and never tried again;
what succeeded, has; of the rest the first rule of evaluateOnExit decides whose conditions all hold, and where none
does, it is tried again: at most `attempts` times in all if the program failed, and `host_losses` times again if its
host was lost. Those are counted apart.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from shoal_scheduler.control.host_loss import HOST_LOST
from shoal_scheduler.model.job import FAILED, SUCCEEDED, Attempt, Child, ExitRule, Job
from shoal_scheduler.model.task import ContainerState, Task

RETRY, EXIT = "RETRY", "EXIT"
ATTEMPT_TIMEOUT = "JobAttemptTimeout"
TIMED_OUT = "Job attempt duration exceeded timeout"

# With these the host ended, not the program.
HOST_CODES = frozenset({HOST_LOST, "SpotInterruption", "TerminationNotice", "InfrastructureHealth"})

# Of arrays the texts of attempts are cut, and of a child that was tried more often only so many of the newest are kept
# whole: 256 children are one value in the store. The reason is long enough to name a lost host and to say why.
TEXT_CHARACTERS_MAX = 80
STATUS_REASON_CHARACTERS_MAX = 200
WHOLE_ATTEMPTS_MAX = 10


class Ending(NamedTuple):
    """How a task ended. `container`: the one that decided; None if all essential ones succeeded."""

    host_lost: bool
    timed_out: bool
    container: ContainerState | None
    status_reason: str

    @property
    def exit_code(self) -> int | None:
        return self.container.exit_code if self.container else 0

    @property
    def reason(self) -> str:
        return self.container.reason if self.container else ""


def ending(before: Task, task: Task, containers: Sequence[dict[str, Any]]) -> Ending:
    """`before`: as it was before it ended. `containers`: of its definition. What was told to stop has not succeeded,
    however it ended."""
    seen = {state.name: state for state in task.containers}
    essential = [container["name"] for container in containers if container.get("essential", True)]
    states = [seen.get(name) or ContainerState(name) for name in essential]  # one nobody has told of has not succeeded
    host_lost = task.stop_code in HOST_CODES
    failed = next((state for state in states if state.exit_code), None)
    failed = failed or next((state for state in states if state.exit_code is None), None)
    if failed is None and (host_lost or task.stop_code != "EssentialContainerExited"):
        failed = states[0]
    reason = task.stopped_reason
    if host_lost:
        reason = f"Host EC2 (instance {task.instance}) terminated. {reason}".rstrip()
    timed_out = ATTEMPT_TIMEOUT in (before.stop_code, task.stop_code)
    return Ending(host_lost, timed_out, failed, reason)


class Decision(NamedTuple):
    """`outcome` is "" if it is tried again. `rule` and `action`: see Attempt."""

    outcome: str
    status_reason: str = ""
    rule: int | None = None
    action: str = ""


def decide(job: Job, child: Child, wish_reason: str | None, end: Ending) -> Decision:
    """`wish_reason`: why somebody wanted the child to end; None if nobody did."""
    if end.container is None:
        return Decision(SUCCEEDED, end.status_reason)
    if wish_reason is not None:
        return Decision(FAILED, wish_reason)
    if end.timed_out:
        return Decision(FAILED, TIMED_OUT)
    number = next((n for n, rule in enumerate(job.retry.evaluate_on_exit) if matches(rule, end)), None)
    action = job.retry.evaluate_on_exit[number].action if number is not None else ""
    outcome = FAILED if action == EXIT or not _may_be_repeated(job, child, end) else ""
    return Decision(outcome, end.status_reason, number, action)


def _may_be_repeated(job: Job, child: Child, end: Ending) -> bool:
    before = sum(attempt.host_lost == end.host_lost for attempt in child.attempts)
    return before < job.retry.host_losses if end.host_lost else before + 1 < job.retry.attempts


def matches(rule: ExitRule, end: Ending) -> bool:
    """All conditions that are given hold. An exit code that nobody knows is like none."""
    if rule.on_exit_code and end.exit_code is None:
        return False
    conditions = (
        (rule.on_status_reason, end.status_reason),
        (rule.on_reason, end.reason),
        (rule.on_exit_code, str(end.exit_code)),
    )
    return all(is_like(text, pattern) for pattern, text in conditions if pattern)


def is_like(text: str, pattern: str) -> bool:
    """Exactly, or beginning so if the pattern ends in an asterisk.

    >>> is_like("Host EC2 (instance i-1) terminated.", "Host EC2*"), is_like("137", "13")
    (True, False)
    """
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def attempt_of(task: Task, end: Ending, decision: Decision, now: int) -> Attempt:
    in_array = bool(task.launch.job and task.launch.job.array_size)
    return Attempt(
        task=task.id,
        instance=task.instance,
        created_at=task.launch.created_at,
        started_at=task.started_at,
        stopped_at=task.stopped_at or now,
        exit_code=end.exit_code,
        reason=_cut(end.reason, TEXT_CHARACTERS_MAX) if in_array else end.reason,
        status_reason=_cut(end.status_reason, STATUS_REASON_CHARACTERS_MAX) if in_array else end.status_reason,
        host_lost=end.host_lost,
        rule=decision.rule,
        action=decision.action,
    )


def with_attempt(attempts: Sequence[Attempt], newest: Attempt) -> tuple[Attempt, ...]:
    """Of the oldest only that they were, once there are many."""
    kept = [*attempts, newest]
    for index in range(len(kept) - WHOLE_ATTEMPTS_MAX):
        kept[index] = Attempt("", "", 0, 0, 0, host_lost=kept[index].host_lost)
    return tuple(kept)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
