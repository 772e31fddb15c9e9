"""Series over a restart: as they were, or none at all."""

import asyncio
import logging
import math
from pathlib import Path

import numpy as np
import pytest
from shoal_scheduler.metrics import file
from shoal_scheduler.metrics.frames import Point
from shoal_scheduler.metrics.names import KINDS
from shoal_scheduler.metrics.statistics import periods
from shoal_scheduler.metrics.store import Metric, Metrics

from tests.ground.waiting import wait_until

START = 1_000_000_200
MINE = Metric("Mine", "Length", (("Queue", "q"),))
TASK = Metric("ECS/ContainerInsights", "CpuUtilized", (("ClusterName", "c"), ("TaskId", "t1")))
GROUP = Metric("AWS/ECS", "CPUUtilization", (("ClusterName", "c"), ("ServiceName", "web")))


def filled() -> Metrics:
    """With a row that was taken and given back, so that rows are not in order."""
    metrics = Metrics()
    metrics.record(START, Metric("Mine", "Gone", ()), "None", Point(START, 9, 9, 9, 9))
    for step in range(90):
        now = START + 10 * step
        metrics.record(now, MINE, "Count", Point(now, step, step + 1, 2 * step + 1, 2))
        values = np.full((2, len(KINDS["task"].columns)), math.nan)
        values[:, 0] = step, 2 * step
        metrics.tables["task"].record(now, [("c", "t0"), ("c", "t1")], values)
        share = np.full((1, len(KINDS["group"].columns)), 1.5)
        metrics.tables["group"].record(now, [("c", "service:web")], share)
    metrics.put.drop([Metric("Mine", "Gone", ())])
    metrics.tables["task"].drop([("c", "t0")])
    return metrics


def told(metrics: Metrics) -> list[list[Point]]:
    now = START + 900
    found = []
    for metric in (MINE, TASK, GROUP):
        series = metrics.find(metric, now)
        assert series is not None
        found += [periods(series, START, now, period) for period in (10, 60, 300)]
    return found


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    before = filled()
    file.write(tmp_path / "state" / "metrics", file.content_of(before))
    after = file.read(tmp_path / "state" / "metrics")
    assert told(after) == told(before)
    assert set(after.all()) == set(before.all()) == {MINE, TASK, *_of_group(before)}
    assert after.unit(MINE) == "Count"
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["metrics"]
    # It goes on where it was.
    for metrics in (before, after):
        metrics.record(START + 900, MINE, "Count", Point(START + 890, 500, 500, 500, 1))
    assert told(after) == told(before)


def _of_group(metrics: Metrics) -> set[Metric]:
    return {metric for metric in metrics.all() if dict(metric.dimensions).get("ServiceName") == "web"}


def test_without_a_file_it_begins_anew(tmp_path: Path) -> None:
    assert not list(file.read(tmp_path / "none").all())


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "version"])
def test_a_file_that_is_damaged_is_left_aside(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics"
    if damage == "version":
        monkeypatch.setattr(file, "VERSION", 0)
    file.write(path, file.content_of(filled()))
    monkeypatch.undo()
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    damaged: dict[str, bytes | bytearray] = {
        "empty": b"",
        "cut": data[: len(data) // 2],
        "flipped": data,
        "text": b"hello",
    }
    if damage in damaged:
        path.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        assert not list(file.read(path).all())
    assert "metrics begin anew" in caplog.text


def test_what_another_version_measures_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write(tmp_path / "metrics", file.content_of(filled()))
    fewer = KINDS["task"]._replace(columns=KINDS["task"].columns[:3])
    monkeypatch.setattr("shoal_scheduler.metrics.store.KINDS", {**KINDS, "task": fewer})
    after = file.read(tmp_path / "metrics")
    assert after.find(TASK, START + 900) is None
    assert after.find(MINE, START + 900) is not None


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = filled()
    monkeypatch.setattr(file, "BYTES_MAX", before.put.nbytes + before.tables["group"].nbytes)
    file.write(tmp_path / "metrics", file.content_of(before))
    after = file.read(tmp_path / "metrics")
    assert after.find(GROUP, START + 900) is not None and after.find(TASK, START + 900) is None


async def test_it_is_written_when_it_ends_and_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, metrics = tmp_path / "metrics", filled()
    keeping = asyncio.create_task(file.keep(metrics, path))
    await asyncio.sleep(0)
    assert not path.exists()
    keeping.cancel()
    await asyncio.wait({keeping})
    assert told(file.read(path)) == told(metrics)
    path.unlink()
    monkeypatch.setattr(file, "PERIOD_SECONDS", 0.01)
    keeping = asyncio.create_task(file.keep(metrics, path))
    await wait_until(path.exists)
    keeping.cancel()
    await asyncio.wait({keeping})


async def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    keeping = asyncio.create_task(file.keep(filled(), tmp_path / "file" / "metrics"))
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait({keeping})
    assert "metrics are not kept" in caplog.text


async def test_who_measured_nothing_writes_nothing(tmp_path: Path) -> None:
    """A scheduler that stood by all the time leaves what it measured when it led."""
    keeping = asyncio.create_task(file.keep(Metrics(), tmp_path / "metrics"))
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait({keeping})
    assert not (tmp_path / "metrics").exists()
