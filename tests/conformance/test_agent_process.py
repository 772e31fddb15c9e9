"""The agent as a process on a real engine: killed, its memory damaged, and what it weighs."""

import asyncio
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shoal.v1 import agent_pb2, command_pb2, log_pb2

from tests.ground.certificates import Certificates
from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.ground.waiting import wait_until
from tests.unit.agent.rig import definition as document
from tests.unit.agent.scheduler import FakeScheduler, definition

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
ARN = "arn:shoal:ecs:local:000000000000:task-definition/t:1"
COMMAND = ["sh", "-c", "echo hello; sleep 1000"]
RSS_MIB_MAX = 80.0
ADOPTION_SECONDS_MAX = 5.0


class AgentProcess:
    """One agent, an instance of its own, started again and again on the same state folder."""

    def __init__(self, folder: Path, certificates: Certificates, engine: Engine) -> None:
        self.state = folder / "state"
        self.instance = uuid.uuid4().hex
        self._certificates = certificates
        self._engine = engine
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, endpoint: str) -> None:
        issued = self._certificates.files("agent", self.instance)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shoal_agent", "--scheduler", endpoint, "--state", str(self.state)),
            *("--authority", str(self._certificates.authority), "--certificate", str(issued.certificate)),
            *("--key", str(issued.key), "--docker-host", self._engine.host),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("proto", "agent"))},
            stderr=(self.state.parent / "log").open("ab"),
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    @property
    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def containers(self) -> dict[str, str]:
        """When each of its containers was started, by the container's name."""
        mine = f"label=shoal.instance={self.instance}"
        ids = self._engine.docker("ps", "--all", "--quiet", "--filter", mine).split()
        shown = self._engine.docker("inspect", "--format", "{{.Name}} {{.State.StartedAt}}", *ids) if ids else ""
        pairs = (row.split() for row in shown.splitlines())
        return {name.removeprefix("/"): started for name, started in pairs}


@pytest.fixture
async def scheduler(certificates: Certificates) -> AsyncIterator[FakeScheduler]:
    made = FakeScheduler(certificates.credentials("scheduler", "one"))
    made.heartbeat_millis, made.deadline_millis = 3000, 15_000
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def agent(
    tmp_path: Path, certificates: Certificates, engine: Engine, busybox_image: str, scheduler: FakeScheduler
) -> AsyncIterator[AgentProcess]:
    made = AgentProcess(tmp_path, certificates, engine)
    await made.start(scheduler.endpoint)
    yield made
    await made.end(signal.SIGKILL)
    for name in made.containers():
        engine.docker("rm", "--force", name)


def wanted(task_id: str, last_status: str = "PENDING") -> agent_pb2.Assignment:
    entry = agent_pb2.Assignment(task_id=task_id, task_definition_arn=ARN, desired_status="RUNNING", fence=1)
    entry.last_status = last_status
    return entry


async def launch(scheduler: FakeScheduler, count: int) -> list[str]:
    await scheduler.until(lambda: scheduler.sessions)
    ids = [uuid.uuid4().hex for _ in range(count)]
    defined = definition(document(COMMAND, image=BUSYBOX, stopTimeout=1), ARN)
    await scheduler.say(*map(wanted, ids), definitions=[defined])
    for task_id in ids:
        await scheduler.report(task_id, "RUNNING")
    scheduler.full = agent_pb2.Assignments(
        full=True, assignments=[wanted(task_id, "RUNNING") for task_id in ids], task_definitions=[defined]
    )
    return ids


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.slow)])
async def test_a_killed_agent_adopts(agent: AgentProcess, scheduler: FakeScheduler, engine: Engine, count: int) -> None:
    ids = await launch(scheduler, count)
    before = agent.containers()
    await agent.end(signal.SIGKILL)
    engine.docker("kill", "--signal", "TERM", f"default.{ids[0]}.web")
    engine.docker("kill", f"default.{ids[0]}.web")
    began = time.monotonic()
    await agent.start(scheduler.endpoint)
    await scheduler.until(lambda: len(scheduler.sessions) == 2 and scheduler.sessions[1].inventory)
    assert time.monotonic() - began <= ADOPTION_SECONDS_MAX
    statuses = scheduler.sessions[1].inventoried
    assert statuses == {ids[0]: "STOPPED"} | dict.fromkeys(ids[1:], "RUNNING")
    assert (await scheduler.report(ids[0], "STOPPED")).containers[0].exit_code == 137
    assert agent.containers() == before
    assert agent.rss_mib <= RSS_MIB_MAX


@pytest.mark.parametrize("damage", ["truncated", "zeroed", "deleted", "old copy"])
async def test_a_damaged_journal_is_rebuilt_from_the_containers(
    agent: AgentProcess, scheduler: FakeScheduler, damage: str
) -> None:
    await scheduler.until(lambda: scheduler.sessions)
    journal = agent.state / "journal"
    old = journal.read_bytes()
    ids = await launch(scheduler, 2)
    before = agent.containers()
    await agent.end(signal.SIGKILL)
    content = journal.read_bytes()
    match damage:
        case "truncated":
            journal.write_bytes(content[: len(content) // 2])
        case "zeroed":
            journal.write_bytes(bytes(len(content)))
        case "deleted":
            journal.unlink()
        case "old copy":
            journal.write_bytes(old)
    await agent.start(scheduler.endpoint)
    await scheduler.until(lambda: len(scheduler.sessions) == 2 and scheduler.sessions[1].inventory)
    statuses = scheduler.sessions[1].inventoried
    assert statuses == dict.fromkeys(ids, "RUNNING")
    assert agent.containers() == before
    assert scheduler.sessions[1].hello.incarnation > scheduler.sessions[0].hello.incarnation


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_an_agent_that_goes_leaves_no_command_behind(
    agent: AgentProcess, scheduler: FakeScheduler, engine: Engine, number: signal.Signals
) -> None:
    (task_id,) = await launch(scheduler, 1)
    before = agent.containers()

    def is_running() -> bool:
        return "sleep 1995" in engine.docker("exec", f"default.{task_id}.web", "ps", "-o", "args")

    start = command_pb2.ExecuteCommandStart(task=task_id, container="web", command=["sleep", "1995"], interactive=True)
    await scheduler.ask_for_command("a", start)
    await scheduler.until(lambda: scheduler.commands.get("a"))
    assert is_running()
    await agent.end(number)
    assert is_running() == (number == signal.SIGKILL)
    await agent.start(scheduler.endpoint)
    await wait_until(lambda: not is_running())
    assert agent.containers() == before


async def test_an_orderly_end_leaves_containers_running(agent: AgentProcess, scheduler: FakeScheduler) -> None:
    await launch(scheduler, 1)
    before = agent.containers()
    assert await agent.end(signal.SIGTERM) == 0
    assert agent.containers() == before


async def test_logs_come_from_a_real_container(agent: AgentProcess, scheduler: FakeScheduler) -> None:
    (task_id,) = await launch(scheduler, 1)
    await scheduler.ask_for_logs("a", log_pb2.ReadLogsRequest(task=task_id, follow=True))

    def events() -> list[log_pb2.LogEvent]:
        return [event for chunk in scheduler.logs.get("a", ()) for event in chunk.events]

    await scheduler.until(events)
    assert [(event.container, event.stream, event.message) for event in events()] == [("web", "stdout", b"hello")]


async def test_an_agent_killed_again_and_again_runs_each_task_once(
    agent: AgentProcess, scheduler: FakeScheduler
) -> None:
    await scheduler.until(lambda: scheduler.sessions)
    ids = [uuid.uuid4().hex for _ in range(12)]
    defined = definition(document(COMMAND, image=BUSYBOX, stopTimeout=1), ARN)

    def recorded(task_id: str) -> str:
        reports = (session.reports.get(task_id) for session in scheduler.sessions)
        return "RUNNING" if any(reports) else "PENDING"

    def complete() -> agent_pb2.Assignments:
        assignments = [wanted(task_id, recorded(task_id)) for task_id in ids]
        return agent_pb2.Assignments(full=True, assignments=assignments, task_definitions=[defined])

    await scheduler.say(*map(wanted, ids), definitions=[defined])
    for round_number in range(6):
        await asyncio.sleep(0.05 + 0.15 * round_number)  # somewhere in the middle of creating and starting
        await agent.end(signal.SIGKILL)
        scheduler.full = complete()
        sessions = len(scheduler.sessions)
        await agent.start(scheduler.endpoint)
        await scheduler.until(lambda: len(scheduler.sessions) > sessions)  # noqa: B023 - used at once
    await scheduler.until(lambda: all(recorded(task_id) == "RUNNING" for task_id in ids))
    reports = [report for session in scheduler.sessions for report in session.reports.values()]
    assert {report.last_status for report in reports} == {"RUNNING"}
    ran = {report.task_id: set[str]() for report in reports}
    for report in reports:
        ran[report.task_id].add(report.containers[0].runtime_id)
    assert {task_id: len(containers) for task_id, containers in ran.items()} == dict.fromkeys(ids, 1)
    assert agent.containers().keys() == {f"default.{task_id}.web" for task_id in ids}
