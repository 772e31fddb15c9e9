"""`shoal queue`, `compute-environment`, `job-definition` and `consumable`, on a scheduler of their own."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from shoal import arn, context

from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates
from tests.unit.cli.conftest import Shoal

DOCUMENT: dict[str, Any] = {
    "jobDefinitionName": "flip",
    "type": "container",
    "containerProperties": {
        "image": "busybox",
        "command": ["flip", "Ref::in"],
        "resourceRequirements": [{"type": "VCPU", "value": "0.5"}, {"type": "MEMORY", "value": "64"}],
    },
    "timeout": {"attemptDurationSeconds": 90},
    "retryStrategy": {"attempts": 3},
}


@contextmanager
def running(certificates: Certificates) -> Iterator[str]:
    """Where a scheduler listens; its loop has a thread of its own, as commands have loops of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    scheduler = Scheduler(certificates)
    try:
        asyncio.run_coroutine_threadsafe(scheduler.__aenter__(), loop).result(30)
        yield scheduler.address
    finally:
        asyncio.run_coroutine_threadsafe(scheduler.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def batch(shoal: Shoal, certificates: Certificates) -> Iterator[Shoal]:
    """The command line, with a context that leads to an empty cluster."""
    operator = certificates.files("operator", "alice")
    with running(certificates) as address:
        made = context.Context(
            "here", (address,), "default", certificates.authority, operator.certificate, operator.key
        )
        context.save(context.load().with_context(made))
        yield shoal


def done(batch: Shoal, *words: Any, text: str = "") -> str:
    result = batch(*words, text=text)
    assert result.code == 0, result.err
    return result.out


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()[1:]]


def test_queues_and_environments_from_their_beginning_to_their_end(batch: Shoal) -> None:
    assert batch("queue", "ls").err == "No job queues.\n"
    assert batch("compute-environment", "ls").err == "No compute environments.\n"
    where = ("--where", "attribute:rack == r1", "--max-vcpus", "8")
    assert done(batch, "compute-environment", "create", "hosts", *where, "--tag", "a=b") == "hosts\n"
    assert done(batch, "ce", "create", "others") == "others\n"
    both = ("--environment", "others", "--environment", "hosts")
    assert done(batch, "queue", "create", "main", *both, "--priority", "7", "--cancel-after", "20m") == "main\n"
    assert rows(done(batch, "compute-environment", "ls")) == [
        ["hosts", "ENABLED", "VALID", "default", "0", "of", "8", "attribute:rack", "==", "r1"],
        ["others", "ENABLED", "VALID", "default", "0", "all"],
    ]
    assert rows(done(batch, "queue", "ls")) == [["main", "ENABLED", "7", "0", "0", "-", "others,", "hosts"]]
    shown = done(batch, "queue", "describe", "main")
    assert "CANCEL the first job when it is RUNNABLE for 20m" in shown
    assert "at most 100 later starts" in shown
    shown = done(batch, "compute-environment", "describe", arn.compute_environment_arn("hosts"))
    assert "attribute:rack == r1" in shown and "a=b" in shown
    still = batch("queue", "rm", "main")
    assert (still.code, "is ENABLED" in still.err) == (1, True)
    assert done(batch, "queue", "disable", "main") == "main\n"
    assert done(batch, "queue", "rm", "main") == "main\n"
    assert done(batch, "compute-environment", "disable", "hosts", "others") == "hosts\nothers\n"
    assert done(batch, "compute-environment", "rm", "hosts", "others") == "hosts\nothers\n"


def test_a_number_that_no_message_has_room_for_is_said_to_be_so(batch: Shoal) -> None:
    done(batch, "ce", "create", "hosts")
    job = ("job", "submit", "--queue", "main", "--definition", "flip", "--name", "a")
    commands = [
        ("queue", "create", "main", "--environment", "hosts", "--priority", 2**31),
        ("ce", "update", "hosts", "--max-vcpus", -(2**31)),
        ("consumable", "create", "licences", 2**63),
        (*job, "--array", 2**40),
        (*job, "--attempts", 2**31),
    ]
    for words in commands:
        refused = batch(*words)
        assert (refused.code, "is beyond" in refused.err) == (2, True), refused.err


def test_a_file_of_which_one_job_is_wrong_leaves_nothing_behind(batch: Shoal, tmp_path: Path) -> None:
    done(batch, "ce", "create", "hosts")
    done(batch, "queue", "create", "main", "--environment", "hosts")
    done(batch, "job-definition", "register", "-", text=json.dumps(DOCUMENT))
    good = {"jobName": "a", "jobQueue": "main", "jobDefinition": "flip"}
    for wrong in ({"jobName": ["b"]}, {"dependsOn": 5}, {"arrayProperties": {"size": "three"}}):
        refused = batch("job", "submit", "-f", "-", text=json.dumps([good, {**good, "jobName": "b", **wrong}]))
        assert refused.code == 1
        assert f"[1] was not sent: it is wrong.\n  {next(iter(wrong))}" in refused.err
    assert done(batch, "job", "ls", "-a", "-o", "name") == ""


def test_what_is_refused_whole_is_not_said_to_have_unknown_fields(batch: Shoal) -> None:
    done(batch, "ce", "create", "hosts")
    done(batch, "queue", "create", "main", "--environment", "hosts")
    done(batch, "job-definition", "register", "-", text=json.dumps(DOCUMENT))
    job = {"jobName": "a", "jobQueue": "main", "jobDefinition": "flip", "nodeOverrides": {"numNodes": 2}}
    refused = batch("job", "submit", "-f", "-", text=json.dumps(job))
    assert "nodeOverrides: jobs over several instances are not there yet" in refused.err
    assert "unknown" not in refused.err


def test_to_stop_what_is_over_says_that_it_is(batch: Shoal) -> None:
    done(batch, "ce", "create", "hosts")
    done(batch, "queue", "create", "main", "--environment", "hosts")
    done(batch, "job-definition", "register", "-", text=json.dumps(DOCUMENT))
    submit = ("job", "submit", "--queue", "main", "--definition", "flip", "--name", "a", "-o", "name")
    job = done(batch, *submit).strip()
    cancelled, again = batch("job", "cancel", "a"), batch("job", "terminate", "a")
    assert (cancelled.code, cancelled.out.strip(), cancelled.err) == (0, job, "")
    assert (again.code, again.out.strip()) == (0, job)
    assert "is over already: FAILED" in again.err


def test_a_change_says_only_what_changes(batch: Shoal) -> None:
    done(batch, "ce", "create", "hosts", "--max-vcpus", "4")
    done(batch, "queue", "create", "main", "--environment", "hosts", "--max-concurrent", "5", "--cancel-after", "1h")
    done(batch, "queue", "update", "main", "--priority", "3", "--overtaking-max", "0")
    (queue,) = json.loads(done(batch, "queue", "describe", "main", "-o", "json"))["jobQueues"]
    assert (queue["priority"], queue["maxConcurrent"], queue["overtakingMax"]) == (3, 5, 0)
    assert len(queue["jobStateTimeLimitActions"]) == 1
    done(batch, "queue", "update", "main", "--cancel-after", "0", "--max-concurrent", "0")
    (queue,) = json.loads(done(batch, "queue", "ls", "-o", "json"))["jobQueues"]
    assert ("jobStateTimeLimitActions" in queue, queue["maxConcurrent"]) == (False, 0)
    done(batch, "ce", "update", "hosts", "--where", "attribute:a == b")
    (environment,) = json.loads(done(batch, "ce", "ls", "-o", "json"))["computeEnvironments"]
    assert (environment["expression"], environment["unmanagedvCpus"]) == ("attribute:a == b", 4)
    done(batch, "ce", "update", "hosts", "--where", "", "--max-vcpus", "0")
    assert rows(done(batch, "ce", "ls", "hosts")) == [["hosts", "ENABLED", "VALID", "default", "0", "all"]]
    done(batch, "ce", "disable", "hosts")
    assert done(batch, "ce", "enable", "hosts") == "hosts\n"
    done(batch, "queue", "disable", "main")
    assert done(batch, "queue", "enable", "main") == "main\n"


def test_what_the_command_line_of_aws_takes(batch: Shoal, tmp_path: Path) -> None:
    environment = {"computeEnvironmentName": "hosts", "type": "UNMANAGED", "unmanagedvCpus": 16, "state": "ENABLED"}
    assert done(batch, "ce", "create", "-f", "-", text=json.dumps(environment)) == "hosts\n"
    queue = {
        "jobQueueName": "main",
        "priority": 5,
        "state": "DISABLED",
        "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": arn.compute_environment_arn("hosts")}],
        "tags": {"a": "b"},
    }
    file = tmp_path / "queue.json"
    file.write_text(json.dumps(queue))
    assert done(batch, "queue", "create", "-f", file) == "main\n"
    assert rows(done(batch, "queue", "ls")) == [["main", "DISABLED", "5", "0", "0", "-", "hosts"]]
    managed = {**environment, "computeEnvironmentName": "bought", "type": "MANAGED"}
    refused = batch("ce", "create", "-f", "-", text=json.dumps(managed))
    assert (refused.code, "type: MANAGED environments are not there yet" in refused.err) == (1, True)
    for command in ("queue", "ce"):
        assert batch(command, "create").code == batch(command, "create", "x", "-f", file).code == 2


def test_what_is_wrong_is_told_with_its_field(batch: Shoal) -> None:
    nowhere = batch("queue", "create", "main", "--environment", "nowhere")
    assert (nowhere.code, "computeEnvironmentOrder[0].computeEnvironment" in nowhere.err) == (3, True)
    none = batch("queue", "create", "main")
    assert (none.code, "computeEnvironmentOrder: is required" in none.err) == (1, True)
    expression = batch("ce", "create", "hosts", "--where", "rack =")
    assert (expression.code, "expression: " in expression.err) == (1, True)
    for words in (("queue", "describe", "x"), ("ce", "describe", "x"), ("job-definition", "describe", "x")):
        assert batch(*words).code == 3


def test_job_definitions(batch: Shoal, tmp_path: Path) -> None:
    file = tmp_path / "flip.json"
    file.write_text(json.dumps(DOCUMENT))
    assert batch("job-definition", "ls").err == "No job definitions.\n"
    assert done(batch, "job-definition", "register", "-f", file) == "flip:1\n"
    assert done(batch, "job-definition", "register", file) == "flip:2\n"
    assert rows(done(batch, "job-definition", "ls")) == [
        ["flip:2", "ACTIVE", "0.5", "64", "MiB", "3", "1m30s", "flip", "Ref::in"],
        ["flip:1", "ACTIVE", "0.5", "64", "MiB", "3", "1m30s", "flip", "Ref::in"],
    ]
    described = done(batch, "job-definition", "describe", "flip", "-o", "json")
    (document,) = json.loads(described)["jobDefinitions"]
    assert document["revision"] == 2
    assert document["containerProperties"] == DOCUMENT["containerProperties"]
    assert done(batch, "job-definition", "register", "-", text=described) == "flip:3\n"
    two = json.dumps({"jobDefinitions": [document, document]})
    assert "holds 2 job definitions" in batch("job-definition", "register", "-", text=two).err
    assert (
        done(batch, "job-definition", "deregister", "flip:3", arn.job_definition_arn("flip", 1)) == "flip:3\nflip:1\n"
    )
    assert done(batch, "job-definition", "ls", "-o", "name") == "flip:2\n"
    assert done(batch, "job-definition", "ls", "flip", "-a", "-o", "name") == "flip:3\nflip:2\nflip:1\n"
    assert "revision: 2" in done(batch, "job-definition", "describe", "flip")
    assert batch("job-definition", "describe", "flip:9").code == 3


def test_a_job_definition_that_is_wrong_or_does_less(batch: Shoal, tmp_path: Path) -> None:
    container = DOCUMENT["containerProperties"]
    bad = {**DOCUMENT, "containerProperties": {**container, "environment": [{"name": "AWS_BATCH_JOB_ID"}]}}
    refused = batch("job-definition", "register", "-", text=json.dumps(bad))
    assert (refused.code, "containerProperties.environment[0].name" in refused.err) == (1, True)
    less = {**DOCUMENT, "containerProperties": {**container, "jobRoleArn": "arn:aws:iam::1:role/x"}, "colour": "red"}
    warned = batch("job-definition", "register", "-", text=json.dumps(less))
    assert (warned.code, warned.out) == (0, "flip:1\n")
    assert "containerProperties.jobRoleArn" in warned.err
    assert "colour: unknown field, ignored" in warned.err
    assert batch("job-definition", "register", "-", "--strict", text=json.dumps(less)).code == 1
    assert batch("job-definition", "register").code == 2
    assert batch("job-definition", "register", "-", "-f", tmp_path / "x").code == 2


def test_several_containers_of_a_job_are_summed_up(batch: Shoal) -> None:
    containers = [{**DOCUMENT["containerProperties"], "name": name} for name in ("a", "b")]
    document = {
        "jobDefinitionName": "two",
        "type": "container",
        "ecsProperties": {"taskProperties": [{"containers": containers}]},
    }
    done(batch, "job-definition", "register", "-", text=json.dumps(document))
    assert rows(done(batch, "job-definition", "ls")) == [
        ["two:1", "ACTIVE", "1", "128", "MiB", "1", "-", "2", "containers"]
    ]


def test_consumable_resources(batch: Shoal) -> None:
    assert batch("consumable", "ls").err == "No consumable resources.\n"
    assert done(batch, "consumable", "create", "licence", "5", "--tag", "a=b") == "licence\n"
    assert done(batch, "consumable", "create", "credit", "100", "--used-up") == "credit\n"
    totals = [
        done(batch, "consumable", verb, "licence", number) for verb, number in (("add", 3), ("take", 7), ("set", 12))
    ]
    assert totals == ["8\n", "1\n", "12\n"]
    assert rows(done(batch, "consumable", "ls")) == [
        ["credit", "100", "0", "NON_REPLENISHABLE"],
        ["licence", "12", "0", "REPLENISHABLE"],
    ]
    assert done(batch, "consumable", "ls", "lic*", "-o", "name") == "licence\n"
    assert "a=b" in done(batch, "consumable", "describe", "licence")
    assert batch("consumable", "jobs", "licence").err == "No job takes of licence.\n"
    too_much = batch("consumable", "take", "licence", "13")
    assert (too_much.code, "quantity" in too_much.err) == (1, True)
    assert done(batch, "consumable", "rm", "licence", "credit") == "licence\ncredit\n"
    assert batch("consumable", "describe", "licence").code == 3


def test_tags_by_arn(batch: Shoal) -> None:
    done(batch, "ce", "create", "hosts")
    name = arn.compute_environment_arn("hosts")
    done(batch, "tag", name, "team=blue", "floor=2")
    done(batch, "untag", name, "floor")
    assert rows(done(batch, "tag", name)) == [["team", "blue"]]


def test_the_front_of_a_queue_says_why_its_jobs_wait(batch: Shoal) -> None:
    done(batch, "ce", "create", "hosts")
    done(batch, "queue", "create", "main", "--environment", "hosts", "--overtaking-max", "7")
    assert batch("queue", "snapshot", "main").err == "No job is RUNNABLE.\n"
    done(batch, "job-definition", "register", "-", text=json.dumps(DOCUMENT))
    submit = ("job", "submit", "--queue", "main", "--definition", "flip", "-o", "name")
    ids = [done(batch, *submit, "--name", name).strip() for name in ("one", "two")]
    table = done(batch, "queue", "snapshot", "main").splitlines()
    assert [line.split()[0] for line in table] == ["PLACE", "1", "2"]
    assert "0 of 7" in table[1]
    answer = json.loads(done(batch, "queue", "snapshot", "main", "-o", "json"))
    assert [arn.short(each["jobArn"]) for each in answer["frontOfQueue"]["jobs"]] == ids
    assert all(each["waitingReason"] for each in answer["frontOfQueue"]["jobs"])
    assert rows(done(batch, "queue", "ls"))[0][3] == "2"
    still = batch("queue", "disable", "main"), batch("queue", "rm", "main")
    assert (still[1].code, "2 jobs that are not over" in still[1].err) == (1, True)


def test_an_arn_is_described_whatever_it_names(batch: Shoal) -> None:
    done(batch, "ce", "create", "hosts")
    done(batch, "queue", "create", "main", "--environment", "hosts")
    done(batch, "job-definition", "register", "-", text=json.dumps(DOCUMENT))
    done(batch, "consumable", "create", "licence", "1")
    queue, environment = arn.job_queue_arn("main"), arn.compute_environment_arn("hosts")
    assert done(batch, "describe", queue) == done(batch, "queue", "describe", "main")
    assert done(batch, "describe", environment) == done(batch, "ce", "describe", "hosts")
    definition = done(batch, "describe", arn.job_definition_arn("flip", 1), queue, "-o", "json")
    assert {"jobDefinitions", "jobQueues"} == json.loads(definition).keys()
    assert "revision: 1" in done(batch, "describe", arn.job_definition_arn("flip", 1))
    assert "shoal consumable describe" in batch("describe", arn.consumable_resource_arn("licence")).err
    for name in (arn.job_queue_arn("x"), arn.compute_environment_arn("x"), arn.job_definition_arn("flip", 2)):
        assert batch("describe", name).code == 3
