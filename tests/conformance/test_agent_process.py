"""The agent as a process on a real engine: killed, its memory damaged, and what it weighs."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shoal.v1 import agent_pb2, command_pb2, log_pb2

from tests.ground.certificates import Certificates
from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.ground.repeats import TEN
from tests.ground.waiting import wait_until
from tests.unit.agent.rig import definition as document
from tests.unit.agent.scheduler import FakeScheduler, definition

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
ARN = "arn:shoal:ecs:local:000000000000:task-definition/t:1"
COMMAND = ["sh", "-c", "trap 'exit 5' USR1; echo hello; while true; do sleep 0.2; done"]
RSS_MIB_MAX = 80.0
ADOPTION_SECONDS_MAX = 5.0
OTHER_TASK_SECONDS_MAX = 10.0
MIB = 1024 * 1024


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

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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


def wanted(task_id: str, last_status: str = "PENDING", arn: str = ARN) -> agent_pb2.Assignment:
    entry = agent_pb2.Assignment(task_id=task_id, task_definition_arn=arn, desired_status="RUNNING", fence=1)
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


@pytest.mark.parametrize("repeat", TEN)
async def test_a_killed_agent_adopts(
    agent: AgentProcess, scheduler: FakeScheduler, engine: Engine, repeat: int
) -> None:
    await kill_and_adopt(agent, scheduler, engine, 20)


@pytest.mark.slow
async def test_a_killed_agent_adopts_a_hundred(agent: AgentProcess, scheduler: FakeScheduler, engine: Engine) -> None:
    await kill_and_adopt(agent, scheduler, engine, 100)


async def kill_and_adopt(agent: AgentProcess, scheduler: FakeScheduler, engine: Engine, count: int) -> None:
    """Meanwhile one is killed, and one ends by itself."""
    killed, ends, *stay = await launch(scheduler, count)
    before = agent.containers()
    await agent.end(signal.SIGKILL)
    engine.docker("kill", f"default.{killed}.web")
    engine.docker("kill", "--signal", "USR1", f"default.{ends}.web")
    engine.docker("wait", f"default.{ends}.web")
    began = time.monotonic()
    await agent.start(scheduler.endpoint)
    await scheduler.until(lambda: len(scheduler.sessions) == 2 and scheduler.sessions[1].inventory)
    assert time.monotonic() - began <= ADOPTION_SECONDS_MAX
    inventory = scheduler.sessions[1].inventory
    assert inventory is not None
    told = {report.task_id: (report.last_status, *codes(report)) for report in inventory.tasks}
    assert told == {killed: ("STOPPED", 137), ends: ("STOPPED", 5)} | dict.fromkeys(stay, ("RUNNING", None))
    assert agent.containers() == before
    assert agent.rss_mib <= RSS_MIB_MAX
    # What was told is settled: nothing is told again, and no other end was made up.
    await scheduler.report(killed, "STOPPED")
    await scheduler.report(ends, "STOPPED")
    ends_told = Counter(task_id for _, task_id, status in scheduler.sessions[1].history if status == "STOPPED")
    assert ends_told == {killed: 1, ends: 1}


def codes(report: agent_pb2.TaskReport) -> list[int | None]:
    return [each.exit_code if each.HasField("exit_code") else None for each in report.containers]


@pytest.mark.parametrize("repeat", TEN)
@pytest.mark.parametrize("damage", ["truncated", "zeroed", "bit flipped", "deleted", "old copy"])
async def test_a_damaged_journal_is_rebuilt_from_the_containers(
    agent: AgentProcess, scheduler: FakeScheduler, damage: str, repeat: int
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
            journal.write_bytes(content[: len(content) * (repeat + 1) // 11])
        case "zeroed":
            journal.write_bytes(bytes(len(content)))
        case "bit flipped":
            at, bit = divmod(8 * len(content) * (repeat + 1) // 11, 8)
            journal.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
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


def size_bytes(log: Path) -> int:
    """Of all the engine's files of one container's output."""
    total = 0
    for file in log.parent.glob("*.log*"):
        with contextlib.suppress(FileNotFoundError):  # it is rotated just now
            total += file.stat().st_size
    return total


@pytest.mark.parametrize("mib", [200, pytest.param(10 * 1024, marks=pytest.mark.slow)])
async def test_a_task_that_writes_at_full_speed_harms_nobody(
    agent: AgentProcess, scheduler: FakeScheduler, engine: Engine, mib: int
) -> None:
    """Its log stays within the cap, the agent has nothing to do with it, another task comes and goes meanwhile."""
    await scheduler.until(lambda: scheduler.sessions)
    noisy, other = uuid.uuid4().hex, uuid.uuid4().hex
    script = f"sleep 0.5; yes {'x' * 1000} | head -c {mib}m; echo; echo end"
    noisy_arn, other_arn = f"{ARN}0", f"{ARN}1"
    defined = [
        definition(document(["sh", "-c", script], image=BUSYBOX, stopTimeout=1), noisy_arn),
        definition(document(["sh", "-c", "echo hello; exit 3"], image=BUSYBOX, stopTimeout=1), other_arn),
    ]
    await scheduler.say(wanted(noisy, arn=noisy_arn), definitions=defined[:1])
    await scheduler.report(noisy, "RUNNING")
    before, began = agent.cpu_seconds, time.monotonic()
    log = Path(engine.docker("inspect", "--format", "{{.LogPath}}", f"default.{noisy}.web"))
    await wait_until(lambda: size_bytes(log) >= 10 * MIB, timeout_seconds=60)
    asked = time.monotonic()
    await scheduler.say(wanted(other, arn=other_arn), definitions=defined[1:])
    assert (await scheduler.report(other, "STOPPED")).containers[0].exit_code == 3
    assert time.monotonic() - asked <= OTHER_TASK_SECONDS_MAX
    sizes = []
    while scheduler.sessions[-1].reports[noisy].last_status == "RUNNING":
        sizes.append(size_bytes(log))
        await asyncio.sleep(0.5)
    used = (agent.cpu_seconds - before) / (time.monotonic() - began)
    print(f"written_mib={mib} seconds={time.monotonic() - began:.1f} cpu_share={used:.3f} rss_mib={agent.rss_mib:.0f}")
    assert max(sizes, default=0) <= 31 * MIB
    assert used <= 0.1 and agent.rss_mib <= RSS_MIB_MAX
    await scheduler.ask_for_logs("a", log_pb2.ReadLogsRequest(task=noisy))
    await scheduler.until(lambda: "a" in scheduler.logs_ended, 120.0)
    events = [event for chunk in scheduler.logs["a"] for event in chunk.events]
    assert events[0].stream == "notice" and b"keeps the last 30 MiB of a container" in events[0].message
    assert events[-1].message == b"end" and len(events) > 15_000
    assert agent.rss_mib <= RSS_MIB_MAX


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


async def test_containers_find_their_metadata_also_after_a_crash(
    agent: AgentProcess, scheduler: FakeScheduler, engine: Engine
) -> None:
    (task_id,) = await launch(scheduler, 1)
    script = 'wget -qO- "$ECS_CONTAINER_METADATA_URI_V4/task"'
    ask = ("exec", f"default.{task_id}.web", "sh", "-c", script)
    before = json.loads(engine.docker(*ask))
    await agent.end(signal.SIGKILL)
    await agent.start(scheduler.endpoint)
    await scheduler.until(lambda: len(scheduler.sessions) == 2 and scheduler.sessions[1].inventory)
    assert json.loads(engine.docker(*ask))["TaskARN"] == before["TaskARN"]
    reserved = next(it for it in scheduler.sessions[1].hello.resources if it.name == "PORTS")
    uri = engine.docker(*ask[:-1], "echo $ECS_CONTAINER_METADATA_URI_V4")
    assert uri.split(":")[2].split("/")[0] in reserved.string_set_value


@pytest.mark.parametrize("repeat", TEN)
async def test_what_takes_all_memory_dies_alone(
    agent: AgentProcess, scheduler: FakeScheduler, engine: Engine, repeat: int
) -> None:
    others = await launch(scheduler, 3)
    hog, hog_arn = uuid.uuid4().hex, f"{ARN}0"
    hungry = document(["sh", "-c", "sleep 0.5; exec tail /dev/zero"], image=BUSYBOX, memory=16)
    entry = wanted(hog)
    entry.task_definition_arn = hog_arn
    await scheduler.say(entry, definitions=[definition(hungry, hog_arn)])
    ended = await scheduler.report(hog, "STOPPED")
    assert (ended.stop_code, *codes(ended)) == ("EssentialContainerExited", 137)
    assert ended.containers[0].reason.startswith("OutOfMemoryError: ")
    told = [report for session in scheduler.sessions for report in session.reports.values()]
    assert {report.task_id: report.last_status for report in told} == dict.fromkeys(others, "RUNNING") | {
        hog: "STOPPED"
    }
    pids = engine.docker("inspect", "--format", "{{.State.Pid}}", *(f"default.{each}.web" for each in others)).split()
    assert {oom_score(pid) for pid in pids} == {0}
    assert oom_score(str(agent.pid)) == (-900 if may_protect_itself() else oom_score("self"))


def oom_score(pid: str) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def may_protect_itself() -> bool:
    """Not even every root may: where tests run in a container, CAP_SYS_RESOURCE may be missing."""
    effective = Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0]
    return bool(int(effective, 16) >> 24 & 1)
