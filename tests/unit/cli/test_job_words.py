"""What jobs look like in a line, and how their names are read."""

import pytest
from shoal.cli import job_words
from shoal.cli.failures import Failed
from shoal.cli.job_find import choose
from shoal.cli.job_logs import tasks_of
from shoal.v1 import job_definition_pb2, job_pb2

FLIP, OTHER = "0a0d5d3c-0000-7000-8000-1aaaaaaaaaaa", "0a0d5d3d-0000-7000-8000-1bbbbbbbbbbb"
KNOWN = {FLIP: "flip", OTHER: "other"}


@pytest.mark.parametrize(
    ("name", "job_id"),
    [
        ("1a", FLIP),
        ("1A", FLIP),
        ("0a0d5d3c", FLIP),
        ("flip", FLIP),
        ("1b:7", f"{OTHER}:7"),
        ("other:0", f"{OTHER}:0"),
        (FLIP, FLIP),
    ],
)
def test_a_name_that_fits_one(name: str, job_id: str) -> None:
    assert choose(name, KNOWN) == job_id


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [
        ("1", "'1' fits 2 jobs: 1aaaaaaaaaaa (flip), 1bbbbbbbbbbb (other)", 1),
        ("0a", "'0a' fits 2 jobs", 1),
        ("x", "There is no job 'x'", 3),
        ("", "There is no job ''", 3),
        ("flip:x", "is the index of a child, as in flip:7", 1),
    ],
)
def test_a_name_that_does_not(name: str, said: str, code: int) -> None:
    with pytest.raises(Failed) as raised:
        choose(name, KNOWN)
    assert said in raised.value.message
    assert raised.value.exit_code == code


@pytest.mark.parametrize(
    ("summary", "size", "drawn"),
    [
        ({}, 10, "|..........|  0/10"),
        ({"RUNNING": 1}, 1_000_000, "|=.........|  0/1,000,000"),
        ({"FAILED": 1, "SUCCEEDED": 999_999}, 1_000_000, "|#########x|  1,000,000/1,000,000"),
        ({"FAILED": 10}, 10, "|xxxxxxxxxx|  10/10"),
        ({"SUCCEEDED": 5, "FAILED": 2, "RUNNING": 3}, 10, "|#####xx===|  7/10"),
    ],
)
def test_a_bar(summary: dict[str, int], size: int, drawn: str) -> None:
    assert job_words.bar(summary, size, 10) == drawn


def attempted(**fields: object) -> job_pb2.JobDetail:
    attempt = job_pb2.AttemptDetail(attempt=1, started_at=1000, stopped_at=3500, **fields)  # type: ignore[arg-type]
    rule = job_definition_pb2.EvaluateOnExit(action="RETRY", on_exit_code="3", on_reason="oops*")
    retry = job_definition_pb2.RetryStrategy(attempts=2, evaluate_on_exit=[rule])
    return job_pb2.JobDetail(attempts=[attempt], retry_strategy=retry)


@pytest.mark.parametrize(
    ("job", "decided"),
    [
        (attempted(), ""),
        (attempted(action="RETRY"), "RETRY"),
        (attempted(action="RETRY", matched_rule=0), "RETRY by rule 0 (onReason oops*, onExitCode 3)"),
        (attempted(action="RETRY", host_lost=True), "RETRY, host lost"),
        (attempted(host_lost=True), "host lost"),
    ],
)
def test_what_was_decided_of_an_attempt(job: job_pb2.JobDetail, decided: str) -> None:
    (row,) = job_words.attempts(job, 10_000).rows
    assert (row[0], row[2], row[5]) == ("1", "2.5s", decided)


def test_a_rule_that_repeats_says_when_no_attempt_was_left() -> None:
    job = attempted(action="RETRY", matched_rule=0)
    job.attempts.add(attempt=2, action="RETRY", matched_rule=0, started_at=1, stopped_at=2)
    said = "RETRY by rule 0 (onReason oops*, onExitCode 3)"
    assert [row[5] for row in job_words.attempts(job, 10_000).rows] == [said, f"{said}, none left"]


def test_the_attempt_that_is_under_way_is_shown_as_well() -> None:
    job = attempted(action="RETRY")
    job.status, job.started_at = "RUNNING", 4_000
    job.container.container_instance_arn = (
        "arn:shoal:ecs:local:000000000000:container-instance/default/0123456789abcdef"
    )
    over, under_way = job_words.attempts(job, 10_000).rows
    assert over[0] == "1"
    assert (under_way[0], *under_way[2:]) == ("2", "6s", "01234567", "-", "RUNNING", "")


def test_an_attempt_that_never_started_took_no_time() -> None:
    job = job_pb2.JobDetail(attempts=[job_pb2.AttemptDetail(attempt=1, stopped_at=3500)])
    (row,) = job_words.attempts(job, 10_000).rows
    assert row[1:3] == ("never", "-")


def test_a_name_comes_before_what_only_begins_so() -> None:
    known = {FLIP: "1b", OTHER: "other"}
    assert choose("1b", known) == FLIP
    assert choose("1bb", known) == OTHER


def test_the_tasks_of_a_job() -> None:
    attempt = job_pb2.AttemptDetail(container=job_pb2.AttemptContainerDetail(task_arn="t1"))
    job = job_pb2.JobDetail(attempts=[attempt], container=job_pb2.ContainerDetail(task_arn="t2"))
    assert tasks_of(job) == ["t1", "t2"]
    job.container.task_arn = "t1"
    assert tasks_of(job) == ["t1"]
