"""A task's cpu and memory as settings of a cgroup, and when there is none."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.engine.port import EngineFacts
from shoal_agent.life import cgroup
from shoal_agent.life.cgroup import Cgroups, Limits, found, limits, properties, settings

MIB = 1024 * 1024
FACTS = EngineFacts("20", "linux", "x86_64", 2, 1 << 32, cgroup_driver="cgroupfs", cgroup_version="2")


@pytest.mark.parametrize(
    ("task", "overrides", "expected"),
    [
        ({}, {}, None),
        ({"cpu": "256"}, {}, Limits(cpu=256)),
        ({"memory": "1 GB"}, {}, Limits(memory_mib=1024)),
        ({"cpu": "256", "memory": "512"}, {"cpu": ".5 vCPU", "memory": "64"}, Limits(512, 64)),
        ({}, {"memory": "64"}, Limits(memory_mib=64)),
        (
            {"memory": "64", "containerDefinitions": [{"linuxParameters": {"maxSwap": 8}}, {}]},
            {},
            Limits(memory_mib=64, swap_mib=8),
        ),
    ],
)
def test_limits_are_the_tasks_own_and_run_task_wins(
    task: dict[str, Any], overrides: dict[str, Any], expected: Limits | None
) -> None:
    assert limits(task, overrides) == expected


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        (
            1,
            Limits(256, 64, 8),
            {
                "memory.use_hierarchy": "1",
                "memory.limit_in_bytes": str(64 * MIB),
                "memory.memsw.limit_in_bytes": str(72 * MIB),
                "cpu.cfs_period_us": "100000",
                "cpu.cfs_quota_us": "25000",
                "cpu.shares": "256",
            },
        ),
        (
            2,
            Limits(2048, 64),
            {
                "memory.max": str(64 * MIB),
                "memory.swap.max": "0",
                "cpu.max": "200000 100000",
                "cpu.weight": "79",
            },
        ),
        (2, Limits(cpu=1), {"cpu.max": "1000 100000", "cpu.weight": "1"}),
        (1, Limits(memory_mib=6), {"memory.use_hierarchy": "1", "memory.limit_in_bytes": str(6 * MIB)}),
    ],
)
def test_settings_of_both_versions(version: int, wanted: Limits, expected: dict[str, str]) -> None:
    written = {setting.file: setting.value for setting in settings(version, wanted)}
    assert expected.items() <= written.items()


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        (
            2,
            Limits(256, 64, 8),
            [f"MemoryMax={64 * MIB}", f"MemorySwapMax={8 * MIB}", "CPUQuota=25.00%", "CPUWeight=10"],
        ),
        (1, Limits(cpu=333), ["CPUQuota=32.52%", "CPUShares=333"]),
        (2, Limits(memory_mib=6), [f"MemoryMax={6 * MIB}", "MemorySwapMax=0"]),
    ],
)
def test_systemd_is_told_the_same(version: int, wanted: Limits, expected: list[str]) -> None:
    assert properties(version, wanted) == expected


def test_in_version_2_controllers_are_handed_down_first(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").touch()
    parent = Cgroups("i", 2, "", root=tmp_path).make("t", Limits(512, 64))
    assert parent == "/docker/shoal.i.t"
    for folder in (tmp_path, tmp_path / "docker"):
        assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory"
    made = {file.name: file.read_text() for file in (tmp_path / parent[1:]).iterdir()}
    assert made == {"cpu.max": "50000 100000", "cpu.weight": "20", "memory.max": str(64 * MIB)}


@pytest.mark.parametrize(
    ("change", "local", "said"),
    [
        ({"cgroup_driver": ""}, True, "no cgroup driver"),
        ({"cgroup_version": "3"}, True, "cgroup driver"),
        ({}, False, "unix socket"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(
    tmp_path: Path, change: dict[str, Any], local: bool, said: str
) -> None:
    none = found(dataclasses.replace(FACTS, **change), "i", local, tmp_path)
    assert none.version == 0 and said in none.reason
    assert none.attributes == {"shoal.task-limits": "container"}


def test_a_namespace_of_the_agents_own_is_not_the_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_namespace", lambda: 7)
    assert "namespace" in found(FACTS, "i", True, tmp_path).reason


def test_where_nothing_can_be_written_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_namespace", lambda: cgroup._HOST_NAMESPACE)
    assert found(FACTS, "i", True, tmp_path).version == 2
    assert "may not write" in found(FACTS, "i", True, tmp_path / "none").reason


def test_an_agent_that_has_not_asked_says_nothing() -> None:
    assert Cgroups("i").attributes == {}
