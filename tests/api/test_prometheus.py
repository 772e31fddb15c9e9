"""The scheduler's page for Prometheus: read by Prometheus' own parser, and true."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from shoal.rpc import SERVER_NAME
from shoal.v1 import agent_pb2 as pb
from shoal_scheduler.api import prometheus
from shoal_scheduler.api.http import Files, HttpServer
from shoal_scheduler.control.inputs import SessionClosed
from shoal_scheduler.metrics.meters import BUCKETS

from tests.api.requests import register, run
from tests.api.test_http import client_tls
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates

INSTANCE = "1f" * 16
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
async def server(scheduler: Scheduler, certificates: Certificates) -> AsyncIterator[HttpServer]:
    issued = certificates.files("scheduler", "one")
    files = Files(certificates.authority, issued.certificate, issued.key)
    listening = HttpServer("127.0.0.1:0", files, prometheus.routes(scheduler.gate))
    await listening.start()
    yield listening
    await listening.stop()


async def scraped(
    server: HttpServer, certificates: Certificates, path: str = "/metrics", role: str | None = "monitor"
) -> tuple[int, str]:
    connector = aiohttp.TCPConnector(ssl=client_tls(certificates, role))
    async with aiohttp.ClientSession(connector=connector) as session:
        url = f"https://127.0.0.1:{server.port}{path}"
        async with session.get(url, server_hostname=SERVER_NAME) as answer:
            return answer.status, await answer.text()


def values(text: str) -> Values:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found: Values, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


async def sampled(scheduler: Scheduler, agent: SimulatedAgent, *tasks: pb.TaskSample) -> None:
    metrics = scheduler.plane.metrics
    host = pb.HostSample(cpu_percent=25, memory_used_bytes=1, memory_total_bytes=4)
    await agent.say(pb.AgentMessage(samples=pb.Samples(host=host, tasks=tasks, dropped=3)))
    async with asyncio.timeout(10):
        while not metrics.samples_taken:
            await scheduler.plane.engine.submit(SessionClosed("nobody", 1))
    metrics.tick(scheduler.plane.tables, time.time())


async def test_the_page_says_what_is(
    scheduler: Scheduler, agent: SimulatedAgent, server: HttpServer, certificates: Certificates
) -> None:
    await register(scheduler, cpu="256", memory="64")
    answer = await run(scheduler, 2, group="service:web")
    first, second = (task.task_arn.rpartition("/")[2] for task in answer.tasks)
    await agent.until(lambda: agent.acknowledged >= 1 and len(agent.tasks) == 2)
    await sampled(scheduler, agent, pb.TaskSample(task_id=first, cpu_units=512, memory_bytes=7))
    status, text = await scraped(server, certificates)
    assert status == 200
    found, meters, tables = values(text), scheduler.plane.engine.meters, scheduler.plane.tables
    assert of(found, "shoal_leader") == 1
    assert of(found, "shoal_leader_epoch") == scheduler.plane.epoch
    assert of(found, "shoal_store_revision") == tables.revision
    assert of(found, "shoal_sessions") == 1
    assert of(found, "shoal_placements_total") == 2
    assert of(found, "shoal_commits_total") == of(found, "shoal_commit_duration_seconds_count") >= 4
    assert of(found, "shoal_commits_total") == sum(meters.commits.counts)
    assert of(found, "shoal_step_duration_seconds_count") >= of(found, "shoal_commits_total")
    assert of(found, "shoal_step_duration_seconds_bucket", le="+Inf") == of(found, "shoal_step_duration_seconds_count")
    assert of(found, "shoal_step_duration_seconds_sum") == pytest.approx(meters.steps.total, abs=0.5)
    assert of(found, "shoal_queue_length", cluster="default") == 0
    assert of(found, "shoal_tasks", cluster="default", status="RUNNING") == 2
    assert of(found, "shoal_instances", cluster="default", status="ACTIVE") == 1
    assert of(found, "shoal_samples_taken_total") == 1
    assert of(found, "shoal_agent_samples_dropped_total", instance=INSTANCE) == 3
    assert of(found, "shoal_cluster_cpu_reservation_ratio", cluster="default") == 0.125
    assert of(found, "shoal_cluster_cpu_utilization_ratio", cluster="default") == 0.125
    assert of(found, "shoal_group_cpu_utilization_ratio", cluster="default", group="service:web") == 2.0
    assert of(found, "shoal_instance_host_cpu_utilization_ratio", cluster="default", instance=INSTANCE) == 0.25
    assert of(found, "shoal_instance_host_memory_utilization_ratio", cluster="default", instance=INSTANCE) == 0.25
    assert not [name for name, _ in found if "filesystem" in name]  # nobody said anything of it
    _, text = await scraped(server, certificates, "/metrics/tasks")
    labels = {"cluster": "default", "instance": INSTANCE, "group": "service:web", "task": first}
    assert values(text) == {
        ("shoal_task_cpu_cores", tuple(sorted(labels.items()))): 0.5,
        ("shoal_task_memory_bytes", tuple(sorted(labels.items()))): 7,
    }
    assert second not in text


async def test_what_waits_is_counted(scheduler: Scheduler, server: HttpServer, certificates: Certificates) -> None:
    await register(scheduler)
    await run(scheduler, 3, queue=True)
    found = values((await scraped(server, certificates))[1])
    assert of(found, "shoal_queue_length", cluster="default") == 3
    assert of(found, "shoal_placements_total") == 0


async def test_what_is_gone_has_no_labels(
    scheduler: Scheduler, agent: SimulatedAgent, server: HttpServer, certificates: Certificates
) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    task_id = task.task_arn.rpartition("/")[2]
    await agent.until(lambda: agent.acknowledged >= 1)
    await sampled(scheduler, agent, pb.TaskSample(task_id=task_id, cpu_units=1))
    assert task_id in (await scraped(server, certificates, "/metrics/tasks"))[1]
    await agent.report(pb.TaskReport(task_id=task_id, last_status="STOPPED"))
    await agent.until(lambda: agent.acknowledged >= agent.sequence and agent.tasks[task_id] == "STOPPED")
    assert task_id not in (await scraped(server, certificates, "/metrics/tasks"))[1]


async def test_a_follower_says_that_it_does_not_lead(
    scheduler: Scheduler, server: HttpServer, certificates: Certificates
) -> None:
    scheduler.gate.close()
    found = values((await scraped(server, certificates))[1])
    assert of(found, "shoal_leader") == 0
    assert {name for name, _ in found} == {"shoal_leader", "shoal_build_info"}
    assert (await scraped(server, certificates, "/metrics/tasks")) == (200, "")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/tasks"])
async def test_only_monitors_and_operators_may_look(server: HttpServer, certificates: Certificates, path: str) -> None:
    for role, status in (("operator", 200), ("monitor", 200), ("agent", 403), (None, 403)):
        assert (await scraped(server, certificates, path, role))[0] == status


def test_bounds_are_in_order() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))
