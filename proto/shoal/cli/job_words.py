"""What a job looks like in a table or a line. Pure: messages in, words out."""

from collections.abc import Mapping, Sequence

from shoal import arn
from shoal.cli import text
from shoal.cli.job_find import short
from shoal.cli.show import Table
from shoal.v1 import job_pb2

# In the order of a job's life.
STATUSES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
OVER = ("SUCCEEDED", "FAILED")
OPEN = STATUSES[: -len(OVER)]

COLUMNS = ("JOB", "NAME", "QUEUE", "DEFINITION", "STATUS", "CHILDREN", "AGE")
WIDE_COLUMNS = (*COLUMNS, "WHY")
ATTEMPT_COLUMNS = ("ATTEMPT", "STARTED", "TOOK", "INSTANCE", "EXIT", "DECIDED", "WHY")

BAR_WIDTH = 24


def table(jobs: Sequence[tuple[str, job_pb2.JobSummary]], now_millis: int, wide: bool, empty: str) -> Table:
    """`jobs`: each with the name of its queue."""
    rows = [_row(queue, job, now_millis, wide) for queue, job in jobs]
    return Table(WIDE_COLUMNS if wide else COLUMNS, rows, empty)


def _row(queue: str, job: job_pb2.JobSummary, now_millis: int, wide: bool) -> Sequence[str]:
    row = (
        short(job.job_id),
        job.job_name,
        queue,
        arn.short(job.job_definition),
        status(job, now_millis),
        counts(job.array_properties.status_summary) if job.array_properties.size else "",
        text.age(job.created_at, now_millis) if job.created_at else "",
    )
    return (*row, why(job)) if wide else row


def status(job: job_pb2.JobSummary, now_millis: int) -> str:
    """`RUNNING 5m`, `FAILED (3) 2m ago`, `PENDING`."""
    if job.status in OVER:
        ago = f" {text.age(job.stopped_at, now_millis)} ago" if job.stopped_at else ""
        return f"{ended(job)}{ago}"
    if job.status == "RUNNING" and job.started_at:
        return f"RUNNING {text.age(job.started_at, now_millis)}"
    return job.status


def ended(job: job_pb2.JobSummary | job_pb2.JobDetail) -> str:
    """`FAILED (3)`, `SUCCEEDED`."""
    return f"{job.status} ({job.container.exit_code})" if job.container.HasField("exit_code") else job.status


def why(job: job_pb2.JobSummary | job_pb2.JobDetail) -> str:
    reasons = (job.status_reason, job.container.reason)
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))


def counts(summary: Mapping[str, int]) -> str:
    """
    >>> counts({"SUCCEEDED": 1204, "RUNNING": 3, "FAILED": 0})
    '3 RUNNING, 1,204 SUCCEEDED'
    """
    return ", ".join(f"{summary[name]:,} {name}" for name in STATUSES if summary.get(name))


def bar(summary: Mapping[str, int], size: int, width: int = BAR_WIDTH) -> str:
    """How many children are over, of how many; a failure is never too small to be seen.

    >>> bar({"SUCCEEDED": 50, "RUNNING": 25}, 100, 8)
    '|####==..|  50/100'
    >>> bar({"SUCCEEDED": 999, "FAILED": 1}, 1000, 8)
    '|#######x|  1,000/1,000'
    """
    done, failed = summary.get("SUCCEEDED", 0), summary.get("FAILED", 0)
    active = summary.get("RUNNING", 0) + summary.get("STARTING", 0)
    wide_failed = max(1, failed * width // size) if failed else 0
    wide_done = min(done * width // size, width - wide_failed)
    wide_active = min(-(-active * width // size), width - wide_failed - wide_done)
    empty = width - wide_failed - wide_done - wide_active
    return f"|{'#' * wide_done}{'x' * wide_failed}{'=' * wide_active}{'.' * empty}|  {done + failed:,}/{size:,}"


def progress(job: job_pb2.JobDetail) -> str:
    """`flip |####==..|  50/100  2 RUNNABLE, 25 RUNNING, 50 SUCCEEDED`; `flip RUNNING`."""
    summary, size = job.array_properties.status_summary, job.array_properties.size
    if not size:
        return f"{job.job_name} {job.status}"
    return f"{job.job_name} {bar(summary, size)}  {counts(summary)}"


def attempts(job: job_pb2.JobDetail, now_millis: int) -> Table:
    """Those that are over, and the one that is under way."""
    rows = [_attempt(job, each, now_millis) for each in job.attempts]
    if job.status in ("STARTING", "RUNNING"):
        rows.append(_under_way(job, now_millis))
    return Table(ATTEMPT_COLUMNS, rows)


def _under_way(job: job_pb2.JobDetail, now_millis: int) -> Sequence[str]:
    where = job.container.container_instance_arn
    for task in job.ecs_properties.task_properties:
        where = where or task.container_instance_arn
    began = job.started_at if job.status == "RUNNING" else 0
    attempt = job_pb2.AttemptDetail(attempt=len(job.attempts) + 1, started_at=began)
    attempt.container.container_instance_arn = where
    number, started, took, instance, *_ = _attempt(job, attempt, now_millis)
    return number, started if began else "-", took, instance, "-", job.status, ""


def _attempt(job: job_pb2.JobDetail, attempt: job_pb2.AttemptDetail, now_millis: int) -> Sequence[str]:
    container = attempt.container
    reasons = (attempt.status_reason, container.reason)
    return (
        str(attempt.attempt),
        text.stamp(attempt.started_at, now_millis) if attempt.started_at else "never",
        _took(attempt, now_millis),
        text.short_instance(arn.short(container.container_instance_arn)) or "-",
        str(container.exit_code) if container.HasField("exit_code") else "-",
        decided(job, attempt),
        "; ".join(dict.fromkeys(reason for reason in reasons if reason)),
    )


def _took(attempt: job_pb2.AttemptDetail, now_millis: int) -> str:
    if not attempt.started_at:
        return "-"
    took = (attempt.stopped_at or now_millis) - attempt.started_at
    return f"{took / 1000:.3g}s" if took < 60_000 else text.span(took / 1000)


def decided(job: job_pb2.JobDetail, attempt: job_pb2.AttemptDetail) -> str:
    """What became of the attempt, and by which rule: `RETRY by rule 2 (onExitCode 3)`, `RETRY, host lost`.

    Where no attempt was left, `RETRY by rule 2 (onExitCode 3), none left`.
    """
    if not attempt.action:
        return "host lost" if attempt.host_lost else ""
    if attempt.HasField("matched_rule"):
        rules = job.retry_strategy.evaluate_on_exit
        words = rule(rules[attempt.matched_rule]) if attempt.matched_rule < len(rules) else ""
        left = ", none left" if attempt.action == "RETRY" and _none_left(job, attempt) else ""
        return f"{attempt.action} by rule {attempt.matched_rule}{f' ({words})' if words else ''}{left}"
    return f"{attempt.action}, host lost" if attempt.host_lost else attempt.action


def _none_left(job: job_pb2.JobDetail, attempt: job_pb2.AttemptDetail) -> bool:
    """Attempts that ended with their host are counted apart."""
    alike = [each.attempt for each in job.attempts if each.host_lost == attempt.host_lost]
    most = job.retry_strategy.host_losses + 1 if attempt.host_lost else job.retry_strategy.attempts
    return attempt.attempt == alike[-1] and len(alike) >= most


def rule(each: object) -> str:
    """Of evaluateOnExit, what has to match."""
    named = (("onStatusReason", "on_status_reason"), ("onReason", "on_reason"), ("onExitCode", "on_exit_code"))
    return ", ".join(f"{name} {value}" for name, field in named if (value := getattr(each, field)))
