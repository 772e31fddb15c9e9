"""The agent's page for Prometheus: read by its own parser, true, and only for who may look."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from shoal.certificates import AGENT_NAME
from shoal_agent.configuration import BadConfiguration, load
from shoal_agent.metrics.files import HostCpu, HostMemory, Transfer
from shoal_agent.metrics.listener import MetricsListener
from shoal_agent.metrics.sampler import Sample, Sampler
from shoal_agent.metrics.usage import ContainerReading, HostReading, HostUsage, TaskReading

from tests.ground.certificates import Certificates
from tests.ground.waiting import wait_until

INSTANCE = "1f" * 16
READING = TaskReading(
    "t1",
    1.0,
    {
        "c1": ContainerReading("app", 1.0, 2_500_000_000, 4096, Transfer(10, 20)),
        "c2": ContainerReading("side", 1.0),
    },
    {7: Transfer(100, 50), 8: Transfer(1, 2)},
)
SAMPLE = Sample(
    HostReading(1.0, HostCpu(1, 2), HostMemory(3, 8), Transfer(5, 6), None, 70, 100), {"t1": READING}, HostUsage(25.0)
)


class Known:
    """As much of a sampler as is looked at."""

    newest: Sample | None = SAMPLE
    dropped = 4


@pytest.fixture
async def listener(certificates: Certificates, tmp_path: Path) -> AsyncIterator[MetricsListener]:
    issued = certificates.files("agent", INSTANCE)
    certificate, key = tmp_path / "own.crt", tmp_path / "own.key"
    shutil.copy(issued.certificate, certificate)
    shutil.copy(issued.key, key)
    made = MetricsListener("127.0.0.1:0", certificates.authority, certificate, key, cast(Sampler, Known()))
    running = asyncio.create_task(made.run())
    await wait_until(lambda: made.port)
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def scraped(listener: MetricsListener, certificates: Certificates, role: str | None) -> tuple[int, str]:
    """As a scraper does that checks whom it speaks to."""
    tls = ssl.create_default_context(cafile=str(certificates.authority))
    if role is not None:
        issued = certificates.files(role, "someone" if role != "agent" else INSTANCE)
        tls.load_cert_chain(issued.certificate, issued.key)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        url = f"https://127.0.0.1:{listener.port}/metrics"
        async with session.get(url, server_hostname=AGENT_NAME) as answer:
            return answer.status, await answer.text()


async def test_counters_are_the_kernels(listener: MetricsListener, certificates: Certificates) -> None:
    status, text = await scraped(listener, certificates, "monitor")
    assert status == 200
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {
        ("shoal_agent_samples_dropped_total",): 4,
        ("shoal_agent_tasks",): 1,
        ("shoal_host_cpu_utilization_ratio",): 0.25,
        ("shoal_host_memory_used_bytes",): 3,
        ("shoal_host_memory_total_bytes",): 8,
        ("shoal_host_filesystem_used_bytes",): 70,
        ("shoal_host_filesystem_total_bytes",): 100,
        ("shoal_host_network_receive_bytes_total",): 5,
        ("shoal_host_network_transmit_bytes_total",): 6,
        ("shoal_container_cpu_seconds_total", "app", "t1"): 2.5,
        ("shoal_container_memory_bytes", "app", "t1"): 4096,
        ("shoal_container_storage_read_bytes_total", "app", "t1"): 10,
        ("shoal_container_storage_written_bytes_total", "app", "t1"): 20,
        ("shoal_task_network_receive_bytes_total", "t1"): 101,
        ("shoal_task_network_transmit_bytes_total", "t1"): 52,
    }


async def test_before_the_first_sample_there_is_nothing(listener: MetricsListener, certificates: Certificates) -> None:
    cast(Known, listener._sampler).newest = None
    assert "shoal_host" not in (await scraped(listener, certificates, "operator"))[1]


async def test_who_may_not_look(listener: MetricsListener, certificates: Certificates) -> None:
    assert (await scraped(listener, certificates, "agent"))[0] == 403
    with pytest.raises((aiohttp.ClientError, OSError)):
        await scraped(listener, certificates, None)


async def test_a_renewed_certificate_is_shown(
    listener: MetricsListener, certificates: Certificates, tmp_path: Path
) -> None:
    other = certificates.files("agent", "2e" * 16)
    shutil.copy(other.certificate, tmp_path / "own.crt")
    listener._load()  # the key that belongs to it is not there yet
    assert (await scraped(listener, certificates, "monitor"))[0] == 200
    shutil.copy(other.key, tmp_path / "own.key")
    listener._load()
    assert (await scraped(listener, certificates, "monitor"))[0] == 200


async def test_an_address_that_is_taken_ends_nothing(
    listener: MetricsListener, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    issued = certificates.files("agent", INSTANCE)
    taken = f"127.0.0.1:{listener.port}"
    second = MetricsListener(taken, certificates.authority, issued.certificate, issued.key, cast(Sampler, Known()))
    running = asyncio.create_task(second.run())
    await wait_until(lambda: "no metrics for scrapers" in caplog.text)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("address", ["7610", ":7610", "host:", "host:x", "host:70000"])
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    (tmp_path / "agent.toml").write_text(f'metrics_listen = "{address}"\n')
    with pytest.raises(BadConfiguration, match="host:port"):
        load(tmp_path / "agent.toml")
