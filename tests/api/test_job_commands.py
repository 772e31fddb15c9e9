"""`shoal job …` against the running server, with a simulated agent."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from shoal import context
from shoal.cli.app import execute

from tests.api.batch import Batch
from tests.fakes.agent import SimulatedAgent, exits_with, never_starts
from tests.fakes.scheduler import Scheduler

Answer = tuple[int, str, str]
Shoal = Callable[..., Awaitable[Answer]]

SUBMIT = ("job", "submit", "--queue", "pictures", "--definition", "flip", "--name")
ENDED = "default"


@pytest.fixture
def shoal(scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shoal:
    """Exit code, output and errors of a command line, run beside the server."""
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path / "contexts.json"))
    monkeypatch.delenv("SHOAL_CONTEXT", raising=False)
    files = scheduler.certificates.files("operator", "alice")
    authority = scheduler.certificates.authority
    chosen = context.Context("test", (scheduler.address,), "default", authority, files.certificate, files.key)
    context.save(context.load().with_context(chosen))

    def run(arguments: tuple[str, ...], text: str) -> Answer:
        with CliRunner().isolation(input=text) as streams:
            code = execute(arguments)
            return code, streams[0].getvalue().decode(), streams[1].getvalue().decode()

    async def call(*arguments: str, text: str = "") -> Answer:
        async with asyncio.timeout(60):
            return await asyncio.to_thread(run, arguments, text)

    return call


@pytest.fixture
async def batch(scheduler: Scheduler, agent: SimulatedAgent) -> Batch:
    """What runs there ends well, at once."""
    agent.life = exits_with(0, ENDED)
    made = Batch(scheduler)
    await made.prepare()
    return made


async def submitted(shoal: Shoal, *arguments: str) -> str:
    code, out, err = await shoal(*SUBMIT, *arguments, "-o", "name")
    assert code == 0, err
    return out.strip()


async def test_a_job_from_options(shoal: Shoal, batch: Batch) -> None:
    first = await submitted(shoal, "first", "-p", "in=a.png", "--attempts", "2", "--timeout", "2m", "--tag", "a=b")
    sizes = ("--vcpus", "0.5", "-m", "1g", "-e", "A=1=2", "--priority", "7")
    whole = ("--command", '["flip", "a b"]', "--array", "4", "--max-concurrent", "2", "--depends-on", first[-12:-2])
    second = await submitted(shoal, "second", *sizes, *whole, "--depends-on", "SEQUENTIAL")
    third = await submitted(shoal, "third", "--command", "flip 'a b'", "--array", "4", "--depends-on", "second:N_TO_N")
    one, two, three = await batch.describe(first, second, third)
    assert one["container"]["command"] == ["flip", "a.png", "Ref::out"]
    assert (one["retryStrategy"]["attempts"], one["timeout"]["attemptDurationSeconds"]) == (2, 120)
    assert two["container"]["command"] == three["container"]["command"] == ["flip", "a b"]
    assert {each["type"]: each["value"] for each in two["container"]["resourceRequirements"]} == {
        "VCPU": "0.5",
        "MEMORY": "1024",
    }
    assert two["container"]["environment"] == [{"name": "A", "value": "1=2"}]
    assert two["dependsOn"] == [{"jobId": first}, {"type": "SEQUENTIAL"}]
    assert (two["arrayProperties"]["maxConcurrent"], two["schedulingPriority"]) == (2, 7)
    assert three["dependsOn"] == [{"jobId": second, "type": "N_TO_N"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say --queue, --definition, --name"),
        (("--queue", "x", "-f", "jobs.json"), "With -f the file says it all"),
        (("--command", '["flip"'), "begins as a JSON array and is none"),
        (("--command", "[1]"), "has to be a text"),
        (("--command", "flip 'a"), "cannot be taken apart"),
    ],
)
async def test_wrong_options(shoal: Shoal, batch: Batch, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = await shoal("job", "submit", *arguments)
    assert code == 2
    assert said in err


async def test_waiting_shows_and_passes_on_how_it_went(shoal: Shoal, batch: Batch, agent: SimulatedAgent) -> None:
    code, out, _ = await shoal(*SUBMIT, "good", "--array", "3", "--wait")
    assert code == 0
    assert "3 SUCCEEDED" in out
    agent.life = exits_with(3, ENDED)
    code, out, _ = await shoal(*SUBMIT, "bad", "--wait")
    assert code == 1
    assert "FAILED" in out
    agent.life = never_starts
    await submitted(shoal, "stuck")
    code, _, err = await shoal("job", "wait", "stuck", "--timeout", "0.2s")
    assert code == 5
    assert "Not over within 0.2 s" in err
    code, out, _ = await shoal("job", "wait", "good", "bad", "-o", "json")
    assert code == 1
    assert [job["status"] for job in json.loads(out)["jobs"]] == ["SUCCEEDED", "FAILED"]


async def test_what_is_described_has_every_attempt(shoal: Shoal, batch: Batch, agent: SimulatedAgent) -> None:
    agent.life = exits_with(3, ENDED)
    await shoal(*SUBMIT, "bad", "--attempts", "2", "--wait")
    code, out, _ = await shoal("job", "describe", "bad")
    assert code == 0
    assert out.count("Essential container in task exited") >= 2
    attempts = [line.split() for line in out.splitlines() if line.startswith(("1 ", "2 "))]
    assert [line[0] for line in attempts] == ["1", "2"]
    _, listed, _ = await shoal("job", "ls", "-a")
    assert "FAILED (3)" in listed
    job = (await shoal("job", "ls", "-a", "-o", "name"))[1].strip()
    for name in (job, f"arn:shoal:batch:local:000000000000:job/{job}"):
        assert (await shoal("describe", name))[1].splitlines()[0] == "Job bad"
    assert (await shoal("describe", f"{job[:-12]}{'0' * 12}"))[0] == 3


async def test_jobs_and_children_are_listed(shoal: Shoal, batch: Batch, agent: SimulatedAgent) -> None:
    array = await submitted(shoal, "all", "--array", "3")
    await shoal("job", "wait", "all")
    agent.life = never_starts
    await submitted(shoal, "later")
    _, out, _ = await shoal("job", "ls")
    assert "later" in out
    assert "all" not in out
    _, out, _ = await shoal("job", "ls", "-a", "--name", "al*")
    assert "3 SUCCEEDED" in out
    _, out, _ = await shoal("job", "ls", "--array", "all", "--status", "succeeded", "-o", "name")
    assert out.split() == [f"{array}:{index}" for index in range(3)]
    _, out, err = await shoal("job", "ls", "--array", "all")
    assert (out, err) == ("", "All children are over. They too: -a\n")
    _, out, err = await shoal("job", "ls", "--status", "RUNNABLE")
    assert (out, err) == ("", "No job is RUNNABLE.\n")
    code, out, _ = await shoal("job", "cancel", "all", "later")
    assert code == 0
    code, _, err = await shoal("job", "terminate", "nobody")
    assert code == 3
    assert "There is no job 'nobody'" in err


FILE: list[dict[str, Any]] = [
    {"jobName": "montage", "dependsOn": [{"jobId": "flip"}, {"jobId": "sums"}]},
    {"jobName": "sums", "arrayProperties": {"size": 2}, "dependsOn": [{"jobId": "flip", "type": "N_TO_N"}]},
    {"jobName": "flip", "arrayProperties": {"size": 2}},
]


def file_of(*documents: dict[str, Any]) -> str:
    return json.dumps([{"jobQueue": "pictures", "jobDefinition": "flip", **each} for each in documents])


async def test_a_file_of_jobs_that_wait_for_one_another(shoal: Shoal, batch: Batch, tmp_path: Path) -> None:
    submit = ("job", "submit", "-f", "-", "--client-token", "once", "-o", "name")
    code, out, err = await shoal(*submit, text=file_of(*FILE))
    assert code == 0, err
    montage, sums, flip = out.split()
    assert (await shoal(*submit, text=file_of(*FILE)))[1] == out
    assert (await shoal("job", "wait", montage))[0] == 0
    described = await batch.describe(montage, sums)
    assert [job["dependsOn"] for job in described] == [
        [{"jobId": flip}, {"jobId": sums}],
        [{"jobId": flip, "type": "N_TO_N"}],
    ]
    _, out, _ = await shoal("job", "graph", flip)
    assert (await shoal("job", "graph", montage))[1] == out
    assert [re.split("  [0-9a-f]{12} ", line)[0] for line in out.splitlines()] == [
        "flip [2]",
        "├─ sums [2]",
        "│  └─ montage",
        "└─ montage",
    ]
    drawn = tmp_path / "jobs.svg"
    await shoal("job", "graph", "--queue", "pictures", "--svg", str(drawn))
    assert ElementTree.parse(drawn).getroot().tag.endswith("svg")


async def test_a_field_nobody_knows_is_told_and_keeps_nothing_back(shoal: Shoal, batch: Batch) -> None:
    documents = file_of({"jobName": "a", "colour": "red"}, {"jobName": "b", "dependsOn": [{"jobId": "a"}]})
    code, out, err = await shoal("job", "submit", "-f", "-", "-o", "name", text=documents)
    assert (code, len(out.split())) == (0, 2)
    assert err.count("colour") == 1


async def test_a_file_in_yaml_and_of_one_job(shoal: Shoal, batch: Batch, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("jobName: one\njobQueue: pictures\njobDefinition: flip\n")
    code, out, err = await shoal("job", "submit", "-f", str(file), "--wait")
    assert code == 0, err
    assert "one" in out


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([{"jobName": "a", "dependsOn": [{"jobId": "b"}]}, {"jobName": "b", "dependsOn": [{"jobId": "a"}]}], "a -> b"),
        ([{"jobName": "a"}, {"jobName": "b", "dependsOn": [{"jobId": "c"}]}], "[1].dependsOn[0].jobId"),
        ([{"jobName": "a"}, {"jobName": 7}], "jobName"),
        ([{"jobName": "a"}, {"jobName": ["b"], "dependsOn": [{"jobId": {}}]}], "jobName"),
        ([{"jobName": "a"}, {"jobName": "b", "schedulingPriorityOverride": 2**31}], "schedulingPriorityOverride"),
        ([], "neither a SubmitJob request nor a list"),
    ],
)
async def test_a_wrong_file_submits_nothing(
    shoal: Shoal, batch: Batch, documents: list[dict[str, Any]], said: str
) -> None:
    code, out, err = await shoal("job", "submit", "-f", "-", text=file_of(*documents))
    assert (code, out) == (1, "")
    assert said in err
    assert (await shoal("job", "ls", "-a", "-o", "name"))[1] == ""


async def test_what_fails_half_way_says_what_was_submitted(shoal: Shoal, batch: Batch) -> None:
    documents: list[dict[str, Any]] = [
        {"jobName": "a"},
        {"jobName": "b", "dependsOn": [{"jobId": "a"}]},
        {"jobName": "c", "jobQueue": "x"},
    ]
    code, _, err = await shoal("job", "submit", "-f", "-", "--client-token", "once", text=file_of(*documents))
    assert code == 1
    assert "c was refused" in err
    assert "pictures" in err  # the queue that there is
    submitted = (await shoal("job", "ls", "-a", "-o", "name"))[1].split()
    assert all(job in err for job in submitted)
    documents[2]["jobQueue"] = "pictures"
    code, out, _ = await shoal(
        "job", "submit", "-f", "-", "--client-token", "once", "-o", "name", text=file_of(*documents)
    )
    assert code == 0
    assert set(submitted) < set(out.split())
    assert len((await shoal("job", "ls", "-a", "-o", "name"))[1].split()) == 3


async def test_what_finds_no_room_says_so_at_once(shoal: Shoal, batch: Batch) -> None:
    code, _, err = await shoal(*SUBMIT, "big", "--vcpus", "64", "--array", "2")
    assert code == 0
    assert "big waits: " in err
    assert "here: " in err
    code, _, err = await shoal(*SUBMIT, "small")
    assert (code, err) == (0, "")


async def test_output_that_is_not_there_is_explained(shoal: Shoal, batch: Batch, agent: SimulatedAgent) -> None:
    await shoal(*SUBMIT, "done", "--wait")
    await submitted(shoal, "all", "--array", "2")
    await submitted(shoal, "big", "--vcpus", "64")
    for arguments, said in (
        (("all",), "all is an array of 2: name the child"),
        (("big",), "big has not started yet; it is RUNNABLE: "),
        (("done", "--attempt", "2"), "done has had 1 attempts, no attempt 2"),
    ):
        code, _, err = await shoal("job", "logs", *arguments)
        assert code == 1
        assert said in err
    await shoal("job", "cancel", "big")
    _, _, err = await shoal("job", "logs", "big", "-f")
    assert "big ended without having started" in err
