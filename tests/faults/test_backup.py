"""A backup is taken of a cluster at work, and restored into another etcd: nothing runs twice, no number goes back."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from shoal.v1 import cluster_pb2

from tests.conftest import ControlPlaneFactory
from tests.faults.work import at_work
from tests.ground import work as tasks
from tests.ground.control_plane import ControlPlane


async def backup(plane: ControlPlane, do: str, file: Path) -> "tuple[int, str]":
    """Its exit code, and what it said."""
    issued = plane.certificates.files("scheduler", "backup")
    options = {"etcd": ",".join(plane.etcd_endpoints), "authority": plane.certificates.authority}
    options |= {"certificate": issued.certificate, "key": issued.key}
    command = ["-m", "shoal_scheduler.backup", do, str(file), *(f"--{name}={value}" for name, value in options.items())]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_a_restored_cluster_goes_on_above_all_it_ever_said(
    control_plane_factory: ControlPlaneFactory, tmp_path: Path
) -> None:
    file = tmp_path / "snapshot"
    plane = control_plane_factory()
    async with at_work(plane) as work:
        await work.until_placed(20)
        await work.pause()
        code, said = await backup(plane, "take", file)
        assert code == 0, said
        kept = list(work.placed)
        work.resume()
        await work.until_placed(20)
        await work.pause()
        lost = work.placed[len(kept) :]
        ended = kept[0]
        await tasks.stop(work.client, [ended])
        await tasks.until_all(work.client, [ended], "STOPPED")
        before = await work.client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        fences, epochs = dict(work.witness.fences), list(work.witness.epochs)

        # Another etcd behind the same schedulers, as after the loss of the first.
        plane.kill(*plane.schedulers, *plane.etcd)
        for member in plane.etcd.values():
            (member.folder / "data").rename(member.folder / "lost")
        plane.start(*plane.etcd)
        code, said = await backup(plane, "load", file)
        assert code == 0, said
        assert json.loads(said)["base"] > before.store_revision
        refused, words = await backup(plane, "load", file)
        assert (refused, "holds a cluster already" in words) == (1, True)
        plane.start(*plane.schedulers)
        await plane.until_led()

        after = await work.client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        assert after.epoch > max(before.store_revision, *epochs)
        work.placed = []
        work.resume()
        await work.until_placed(5, timeout_seconds=60.0)
        new = list(work.placed)
        await work.pause()
        assert min(work.witness.fences[task] for task in new) > max(fences.values())
        found = await tasks.describe(work.client, [*kept, *lost, *new])
        assert found.keys() == {*kept, *new}
        await tasks.until_all(work.client, [*kept[1:], *new], "RUNNING")
        await tasks.until_all(work.client, [ended], "STOPPED")
        assert {task: fence for task, fence in work.witness.fences.items() if task in fences} == fences
        assert not work.witness.doubled


@pytest.mark.parametrize("damage", ["cut", "changed", "not one"])
async def test_a_damaged_snapshot_is_refused(
    control_plane_factory: ControlPlaneFactory, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "snapshot"
    plane = control_plane_factory(schedulers=0)
    assert (await backup(plane, "take", file))[0] == 0
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "changed":
        content[len(content) // 3] ^= 1
    file.write_bytes(b"hello" if damage == "not one" else content)
    code, words = await backup(plane, "load", file)
    assert code == 1
    assert str(file) in words
