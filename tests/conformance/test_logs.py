"""A container's output from a real engine: over its end, its removal and the agent's own restarts."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.engine.log_position import NOTICE, Position, following
from shoal_agent.engine.port import LogLine
from shoal_agent.logs import source as log_source
from shoal_agent.logs.source import Unreadable, Wanted

from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.unit.agent.rig import Rig, assignment, definition

pytestmark = pytest.mark.engine

REMOVED_AT_ONCE = Configuration(dead_container_keep_seconds=0.0)
KEPT_DEAD = Configuration()
MIB = 1024 * 1024


class Hosts:
    """Makes agents without a scheduler; ends them and their containers."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self._folder, self._host = folder, engine.host
        self.rigs: list[Rig] = []
        self.tasks: list[str] = []

    async def one(self, rules: Configuration = KEPT_DEAD) -> Rig:
        rig = Rig(self._folder, DockerEngine(self._host), rules)
        await rig.start()
        self.rigs.append(rig)
        return rig

    async def restarted(self, rig: Rig) -> Rig:
        """Killed, and started again on the same state folder."""
        await self.end(rig)
        return await self.one(rig.rules)

    async def end(self, rig: Rig) -> None:
        self.rigs.remove(rig)
        await rig.crash()
        await rig.engine.close()

    async def run(self, rig: Rig, script: str, **container: object) -> str:
        task_id = uuid.uuid4().hex
        self.tasks.append(task_id)
        command = ["sh", "-c", script]
        rig.assign(assignment(task_id, definition=definition(command, image=BUSYBOX, stopTimeout=1, **container)))
        await rig.report(task_id, "RUNNING")
        return task_id


@pytest.fixture
async def hosts(tmp_path: Path, engine: Engine, busybox_image: str) -> AsyncIterator[Hosts]:
    made = Hosts(tmp_path / "state", engine)
    yield made
    for rig in list(made.rigs):
        for task_id in made.tasks:
            await rig.engine.remove(rig.name(task_id))
        await made.end(rig)


async def lines(rig: Rig, task_id: str, wanted: Wanted = Wanted()) -> list[LogLine]:  # noqa: B008 - never changes
    source = await log_source.find(rig.around, rig.worker, task_id, wanted)
    return [line async for line in log_source.lines(rig.around, source, wanted)]


async def some(rig: Rig, task_id: str, count: int, after: Position | None = None) -> tuple[list[LogLine], Position]:
    """So many lines of a followed log, and the place of the last."""
    wanted, found = Wanted(follow=True, after=after), list[LogLine]()
    source = await log_source.find(rig.around, rig.worker, task_id, wanted)
    async with aclosing(log_source.lines(rig.around, source, wanted)) as stream:
        async for line in stream:
            found.append(line)
            after = following(after, line)
            if len(found) == count:
                assert after is not None
                return found, after
    raise AssertionError(f"the log ended after {len(found)} lines")


async def removed(rig: Rig, task_id: str) -> None:
    await rig.until(lambda: rig.worker.lane(task_id) is None or not _is_there(rig, task_id))


def _is_there(rig: Rig, task_id: str) -> bool:
    lane = rig.worker.lane(task_id)
    return lane is not None and any(seen.status != "ABSENT" for seen in lane.all_seen().values())


def texts(found: list[LogLine]) -> list[str]:
    return [line.text.decode() for line in found]


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


async def test_the_same_lines_before_and_after_removal_and_a_restart(hosts: Hosts) -> None:
    rig = await hosts.one(Configuration(dead_container_keep_seconds=2.0))
    task_id = await hosts.run(rig, "seq 1 2000; seq 2001 2500 >&2; printf rest")
    await rig.report(task_id, "STOPPED")
    before = await lines(rig, task_id)
    assert sorted(texts(before)) == sorted([*numbers(1, 2500), "rest"])
    await removed(rig, task_id)
    assert await lines(rig, task_id) == before
    rig = await hosts.restarted(rig)
    assert await lines(rig, task_id) == before
    # Places hold from one to the other.
    place: Position | None = None
    for line in before[:1234]:
        place = following(place, line)
    assert await lines(rig, task_id, Wanted(after=place)) == before[1234:]
    assert await lines(rig, task_id, Wanted(tail=7)) == before[-7:]
    assert await lines(rig, task_id, Wanted(tail=0)) == []
    since = before[-1].moment / 1e9
    assert [line for line in await lines(rig, task_id, Wanted(since=since)) if line.moment < before[-1].moment] == []


async def test_a_follower_goes_on_after_a_restart_of_the_agent(hosts: Hosts) -> None:
    rig = await hosts.one(REMOVED_AT_ONCE)
    script = "i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo $i; [ $((i % 20)) = 0 ] && sleep 0.05; done"
    task_id = await hosts.run(rig, script)
    found, place = await some(rig, task_id, 137)
    for count in (1, 99):
        rig = await hosts.restarted(rig)
        more, place = await some(rig, task_id, count, place)
        found += more
    rig = await hosts.restarted(rig)
    wanted = Wanted(follow=True, after=place)
    found += await lines(rig, task_id, wanted)
    assert texts(found) == numbers(1, 600)
    await removed(rig, task_id)
    assert texts(await lines(rig, task_id)) == numbers(1, 600)


async def test_what_a_container_wrote_while_the_agent_was_away(hosts: Hosts, engine: Engine) -> None:
    rig = await hosts.one(REMOVED_AT_ONCE)
    task_id = await hosts.run(rig, "echo 1; sleep 1; seq 2 5000")
    found, place = await some(rig, task_id, 1)
    name = rig.name(task_id)
    await hosts.end(rig)
    await asyncio.to_thread(engine.docker, "wait", name)
    rig = await hosts.one(REMOVED_AT_ONCE)
    await rig.report(task_id, "STOPPED")
    await removed(rig, task_id)
    assert texts(found + await lines(rig, task_id, Wanted(after=place))) == numbers(1, 5000)


async def test_bytes_of_every_kind_and_very_long_lines(hosts: Hosts) -> None:
    rig = await hosts.one(REMOVED_AT_ONCE)
    long = "head -c 100000 /dev/zero | tr '\\0' x; echo"
    task_id = await hosts.run(rig, f"printf 'a\\000\\377\\033[31m\\n'; echo; {long}; printf '\\303\\n'")
    await rig.report(task_id, "STOPPED")
    await removed(rig, task_id)
    found = [line.text for line in await lines(rig, task_id)]
    # The engine's json-file driver keeps text: what is not UTF-8 is a replacement character.
    assert found == [b"a\x00\xef\xbf\xbd\x1b[31m", b"", b"x" * 100_000, b"\xef\xbf\xbd"]


async def test_a_terminal(hosts: Hosts) -> None:
    rig = await hosts.one(Configuration(dead_container_keep_seconds=2.0))
    long = "head -c 40000 /dev/zero | tr '\\0' x; echo"
    task_id = await hosts.run(rig, f"echo one; echo two >&2; {long}; echo end", pseudoTerminal=True)
    await rig.report(task_id, "STOPPED")
    for _ in ("from the engine", "from the store"):
        found = await lines(rig, task_id)
        assert texts(found) == ["one", "two", "x" * 40_000, "end"]
        assert {line.stream for line in found} == {"stdout"}
        await removed(rig, task_id)


async def test_what_no_longer_fits_is_told(hosts: Hosts) -> None:
    rig = await hosts.one(Configuration(dead_container_keep_seconds=2.0, log_container_mib=3))
    task_id = await hosts.run(rig, "sleep 0.5; seq 1 400000")
    await rig.report(task_id, "STOPPED")
    for _ in ("from the engine", "from the store"):
        told, *rest = await lines(rig, task_id)
        assert told.stream == NOTICE and b"is missing here" in told.text and b"keeps the last 3 MiB" in told.text
        first = int(rest[0].text)
        assert first > 1 and texts(rest) == numbers(first, 400_000)
        gone = await lines(rig, task_id, Wanted(after=Position(rest[0].moment - 2_000_000_000, 1)))
        assert gone[0].stream == NOTICE and gone[1:] == rest
        await removed(rig, task_id)


async def test_the_host_keeps_no_more_than_it_has_room_for(hosts: Hosts, tmp_path: Path) -> None:
    rig = await hosts.one(Configuration(dead_container_keep_seconds=0.0, log_host_mib=1))
    noise = "head -c 400000 /dev/urandom | base64"
    ids = []
    for _ in range(4):
        ids.append(await hosts.run(rig, noise))
        await rig.report(ids[-1], "STOPPED")
        await removed(rig, ids[-1])
    assert rig.around.log_store.size_bytes <= MIB
    stored = sum(entry.stat().st_size for entry in os.scandir(tmp_path / "state" / "logs"))
    assert 300_000 < stored <= MIB
    with pytest.raises(Unreadable):
        await lines(rig, ids[0])
    assert len(await lines(rig, ids[-1])) > 5000
    rig = await hosts.restarted(rig)
    assert rig.around.log_store.size_bytes <= MIB and len(await lines(rig, ids[-1])) > 5000


async def test_a_driver_that_keeps_nothing(hosts: Hosts) -> None:
    rig = await hosts.one(REMOVED_AT_ONCE)
    task_id = await hosts.run(rig, "echo gone", logConfiguration={"logDriver": "none"})
    await rig.report(task_id, "STOPPED")
    await removed(rig, task_id)
    with pytest.raises(Unreadable, match="keeps no output"):
        await lines(rig, task_id)


@pytest.mark.parametrize("driver", ["local", "syslog"])
async def test_drivers_whose_output_the_engine_has_a_copy_of(hosts: Hosts, driver: str) -> None:
    rig = await hosts.one(REMOVED_AT_ONCE)
    options = {"syslog-address": "udp://127.0.0.1:9"} if driver == "syslog" else {}
    task_id = await hosts.run(rig, "seq 1 100", logConfiguration={"logDriver": driver, "options": options})
    await rig.report(task_id, "STOPPED")
    await removed(rig, task_id)
    assert texts(await lines(rig, task_id)) == numbers(1, 100)


async def test_a_reader_slower_than_the_container_is_told_what_it_missed(hosts: Hosts) -> None:
    """The engine itself would skip it, and say nothing."""
    rig = await hosts.one(Configuration(dead_container_keep_seconds=60.0, log_container_mib=1))
    task_id = await hosts.run(rig, "sleep 1; seq 1 200000")
    wanted = Wanted(follow=True)
    source = await log_source.find(rig.around, rig.worker, task_id, wanted)
    before, gaps, told = 0, [], 0
    async with asyncio.timeout(90), aclosing(log_source.lines(rig.around, source, wanted)) as stream:
        async for line in stream:
            if line.stream == NOTICE:
                told, before = told + 1, 0
                continue
            number = int(line.text)
            if before and number != before + 1:
                gaps.append((before, number))
            if number == 5000:
                await rig.report(task_id, "STOPPED")  # it has written all the rest by then
            before = number
    assert gaps == [] and told >= 1 and before == 200_000


async def test_a_follower_goes_on_when_the_container_is_started_again(hosts: Hosts) -> None:
    rig = await hosts.one()
    script = "n=$(cat /n 2>/dev/null || echo 0); n=$((n+1)); echo $n >/n; echo $n; sleep 1.2; [ $n -lt 3 ] && exit 1"
    policy = {"enabled": True, "restartAttemptPeriod": 1, "ignoredExitCodes": [0]}
    task_id = await hosts.run(rig, script + "; exit 0", restartPolicy=policy)
    assert texts(await lines(rig, task_id, Wanted(follow=True))) == numbers(1, 3)
    await rig.report(task_id, "STOPPED")
    assert texts(await lines(rig, task_id)) == numbers(1, 3)
