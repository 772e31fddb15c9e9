"""What is done to a service under load, and what comes of it: each trial tells the requests that failed meanwhile.

Planned things (a deployment, a drain, another count) take their time and fail no request. Of what is killed, only those
requests may fail that a container was at when it was killed.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from shoal.supervisor import processes
from shoal.v1.task_pb2 import Task

from tests.ground import nginx
from tests.ground.nginx import Version
from tests.ground.served import COUNT, NAME, UNHEALTHY_SECONDS, Served
from tests.ground.visitors import Visit, Visitors, causes, shares
from tests.ground.waiting import wait_until

# What a change does to requests shows by then.
AFTERWARDS_SECONDS = 1.5
REST_SECONDS = 5.0
BACK_SECONDS = 60.0
CONNECT_SECONDS = 0.5
# Between a program's end and the moment at which its engine knows, or its port is closed.
CRASH_SECONDS = 0.05
DEPLOY_SECONDS = 120.0
INTERRUPTED_IN = "60s"
# A service whose new version fails has this long until it is what it was.
ROLLED_BACK_SECONDS = 120.0
ENDED_BADLY = {"ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOPPED"}


@dataclass(slots=True)
class Trial:
    """What came of one. may_fail: so many requests, of those that `failed`. figures: of its own, in seconds."""

    name: str
    seconds: float = 0.0
    visits: list[Visit] = field(default_factory=list)
    may_fail: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.cause]

    @property
    def slowest_ms(self) -> float:
        return max((visit.seconds * 1000 for visit in self.visits if not visit.cause), default=0.0)

    def document(self) -> dict[str, object]:
        return {
            "seconds": round(self.seconds, 2),
            "requests": len(self.visits),
            "failed": len(self.failed),
            "may_fail": self.may_fail,
            "causes": causes(self.visits),
            "failures": [str(visit) for visit in self.failed[:20]],
            "answered_by": shares(self.visits),
            "slowest_ms": round(self.slowest_ms, 1),
            **{name: round(value, 2) for name, value in self.figures.items()},
        }


Done = Callable[[Served, Visitors, Trial], Awaitable[None]]


async def run(done: Done, served: Served, visitors: Visitors) -> Trial:
    """Of one of the functions below; the service is as it was before, but for its version and count."""
    trial, began = Trial(done.__name__), time.monotonic()
    await done(served, visitors, trial)
    await asyncio.sleep(AFTERWARDS_SECONDS)
    trial.seconds, trial.visits = time.monotonic() - began, visitors.since(began)
    return trial


# What is planned.


async def rest(served: Served, visitors: Visitors, trial: Trial) -> None:
    """Nothing, for some seconds: what the others are compared with."""
    await asyncio.sleep(REST_SECONDS)


async def deploy(served: Served, visitors: Visitors, trial: Trial) -> None:
    """To the other version, and from then on only that answers."""
    await _deploy_well(served, nginx.SECOND if served.version == nginx.FIRST else nginx.FIRST)
    after = time.monotonic()
    await wait_until(lambda: len(visitors.since(after)) >= 20, why="requests after the deployment")
    # What was under way when it ended may have been asked of the old version.
    assert shares([visit for visit in visitors.since(after) if visit.at > after]).keys() == {served.version.says}


async def drain(served: Served, visitors: Visitors, trial: Trial) -> None:
    """Of the fullest host: its tasks go on elsewhere first."""
    host = await served.fullest()
    began = time.monotonic()
    await served.fleet.says("drain", host.name, "--wait", "--timeout", f"{DEPLOY_SECONDS:.0f}s")
    trial.figures["until_empty_s"] = time.monotonic() - began
    await served.until_steady()
    assert not (await served.by_host())[host.name]
    await served.fleet.says("activate", host.name)


async def interrupt(served: Served, visitors: Visitors, trial: Trial) -> None:
    """The fullest host goes at a known time: as a drain, as long as there is time."""
    host = await served.fullest()
    began = time.monotonic()
    await served.fleet.says("drain", host.name, "--interruption", INTERRUPTED_IN, "--wait")
    trial.figures["until_empty_s"] = time.monotonic() - began
    await served.until_steady()
    assert not (await served.by_host())[host.name]
    await served.fleet.says("activate", host.name)


async def scale_in_and_out(served: Served, visitors: Visitors, trial: Trial) -> None:
    began = time.monotonic()
    await served.scale(COUNT // 2)
    trial.figures["until_in_s"] = time.monotonic() - began
    began = time.monotonic()
    await served.scale(COUNT)
    trial.figures["until_out_s"] = time.monotonic() - began


# What is killed.


async def kill_container(served: Served, visitors: Visitors, trial: Trial) -> None:
    """What was at it is lost with it, and what is sent there before its engine has closed the port."""
    before = await served.tasks()
    task = next(iter(before.values()))
    at = await asyncio.to_thread(served.kill_container, task)
    killed_at = (time.time() - (time.monotonic() - at)) * 1000
    closed_at = await _closed(served.address_of(task))
    trial.figures["until_port_closed_s"] = closed_at - at
    new = await _replaced(served, before, 1)
    trial.figures |= _replacement(new, killed_at)
    await served.until_steady()
    trial.may_fail = visitors.under_way_within(at, closed_at)


async def kill_agent(served: Served, visitors: Visitors, trial: Trial) -> None:
    host = await served.fullest()
    await _killed(served, served.fleet.program(host, "agent"))
    await served.fleet.until_connected(served.client, [host.name], True, BACK_SECONDS)
    await served.until_steady()


async def kill_ingress(served: Served, visitors: Visitors, trial: Trial) -> None:
    """Not the proxies, which it only tells what to do."""
    await _killed(served, "ingress")
    await served.until_steady()


async def kill_leader(served: Served, visitors: Visitors, trial: Trial) -> None:
    began = time.monotonic()
    old = await served.leader()
    await _killed(served, old)

    def leads(program: str) -> bool:
        return bool(program)

    await wait_until(served.leader, leads, BACK_SECONDS, "a scheduler leads")
    trial.figures["until_led_s"] = time.monotonic() - began
    await served.until_steady()


async def kill_etcd(served: Served, visitors: Visitors, trial: Trial) -> None:
    began = time.monotonic()
    await _killed(served, "etcd")
    await served.until_steady()
    trial.figures["until_answered_s"] = time.monotonic() - began


async def deploy_while_all_is_killed(served: Served, visitors: Visitors, trial: Trial) -> None:
    """The leader, then etcd, then an agent, each while old tasks and new ones run. The deployment goes on."""
    deploying = asyncio.create_task(deploy(served, visitors, trial))

    async def both_run() -> int:
        running = [task for task in (await served.tasks()).values() if task.last_status == "RUNNING"]
        return len({task.task_definition_arn for task in running})

    def are_two(found: int) -> bool:
        return found == 2

    try:
        await wait_until(both_run, are_two, BACK_SECONDS, "old tasks and new ones run")
        await _killed(served, await served.leader())
        await _killed(served, "etcd")
        await _killed(served, served.fleet.program(await served.fullest(), "agent"))
        await deploying
    finally:
        deploying.cancel()
    await served.fleet.until_connected(served.client, [host.name for host in served.fleet.hosts], True, BACK_SECONDS)
    await served.until_steady()


async def lose_host(served: Served, visitors: Visitors, trial: Trial) -> None:
    """Its plug is pulled: nobody is told. Until its targets' checks have failed, requests are sent there, and those
    sent over connections that were open get no answer."""
    host, before = await served.fullest(), await served.tasks()
    lost = (await served.by_host())[host.name]
    killed_at, at = time.time() * 1000, time.monotonic()
    await served.fleet.says("host", "kill", host.name)
    new = await _replaced(served, before, len(lost))
    trial.figures["until_elsewhere_s"] = (max(task.started_at for task in new) - killed_at) / 1000
    await served.until_steady()
    unnoticed = [visit for visit in visitors.since(at) if visit.at <= at + UNHEALTHY_SECONDS]
    trial.may_fail = len(unnoticed)
    trial.figures["last_failure_asked_s"] = max((visit.at - at for visit in unnoticed if visit.cause), default=0.0)
    await served.fleet.says("host", "start", host.name)
    await served.fleet.until_connected(served.client, [host.name], True, BACK_SECONDS)
    await served.until_steady()


# Versions that cannot be deployed.


async def crashing(served: Served, visitors: Visitors, trial: Trial) -> None:
    """Each that crashes had requests by then, as the load balancer found it well: what was at it is lost."""
    before, now_millis = await served.crashed(), time.time() * 1000 - time.monotonic() * 1000
    await _deploy_badly(served, trial, nginx.CRASHES)
    for id_, task in (await served.crashed()).items():
        if id_ not in before:
            at = (task.execution_stopped_at - now_millis) / 1000
            trial.may_fail += visitors.under_way_within(at - CRASH_SECONDS, at + CRASH_SECONDS)


async def never_healthy(served: Served, visitors: Visitors, trial: Trial) -> None:
    await _deploy_badly(served, trial, nginx.SICK)


async def not_existing(served: Served, visitors: Visitors, trial: Trial) -> None:
    await _deploy_badly(served, trial, Version("absent"))


async def registry_dies(served: Served, visitors: Visitors, trial: Trial) -> None:
    """In the middle of the first pull, and the supervisor is stopped so that it does not start it again."""
    supervisor = processes.identify(served.fleet.cluster.pid("supervisor"))
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGSTOP)
    try:
        deploying = asyncio.create_task(_deploy_badly(served, trial, nginx.HEAVY))
        await wait_until(served.is_pulling, timeout_seconds=BACK_SECONDS, why="some of the image is there")
        served.fleet.cluster.kill("registry")
        await deploying
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)
    await wait_until(lambda: served.fleet.is_well(), timeout_seconds=BACK_SECONDS, why="the registry is back")


async def _deploy_well(served: Served, version: Version) -> None:
    done = await served.deploy(version, DEPLOY_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    await served.until_steady()


async def _deploy_badly(served: Served, trial: Trial, version: Version) -> None:
    """It ends by itself, back where it began, and the command says so."""
    began = time.monotonic()
    done = await served.deploy(version, ROLLED_BACK_SECONDS)
    trial.figures["until_rolled_back_s"] = time.monotonic() - began
    assert done.returncode == 1, done.stdout + done.stderr
    deployment = await served.last_deployment()
    assert deployment.status in ENDED_BADLY, deployment
    assert set(shares(trial.visits)) <= {served.version.says, version.says}
    await served.until_steady()


async def _killed(served: Served, program: str) -> None:
    """Returns when it runs again."""
    old = served.fleet.cluster.kill(program)
    await wait_until(
        lambda: served.fleet.cluster.has_restarted(program, old), timeout_seconds=BACK_SECONDS, why=f"{program} is back"
    )


async def _closed(address: tuple[str, int]) -> float:
    """When, as time.monotonic() tells, nobody listened there any more."""

    async def refuses() -> bool:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(*address)
        except TimeoutError:  # nobody answers, and nobody says no
            return False
        except OSError:
            return True
        writer.close()
        return False

    def is_so(found: bool) -> bool:
        return found

    await wait_until(refuses, is_so, BACK_SECONDS, "the port of what was killed is closed")
    return time.monotonic()


async def _replaced(served: Served, before: dict[str, Task], count: int) -> list[Task]:
    """Those that run now and were not there before."""

    async def new() -> list[Task]:
        found = await served.tasks()
        return [task for id_, task in found.items() if id_ not in before and task.last_status == "RUNNING"]

    def all_there(found: list[Task]) -> bool:
        return len(found) >= count

    return await wait_until(new, all_there, BACK_SECONDS, f"{count} tasks of {NAME} take the place of others")


def _replacement(new: list[Task], killed_at: float) -> dict[str, float]:
    """until_replaced: until the task is there that takes its place; the rest is the engine's."""
    (task,) = new
    return {
        "until_replaced_s": (task.created_at - killed_at) / 1000,
        "until_running_s": (task.started_at - killed_at) / 1000,
    }
