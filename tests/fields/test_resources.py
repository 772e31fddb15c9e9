"""What a container may use: as the engine has it, and as the kernel shows it inside."""

from dataclasses import replace

import pytest
from shoal_scheduler.model.ask import resources_of
from shoal_scheduler.model.definition import Definition

from tests.fields.conftest import MakeRun
from tests.fields.running import MIB, Ran, container, definition
from tests.ground.engine import Engine

# The kernel's two generations of control groups, each in its own words.
LOOK = """
cd /sys/fs/cgroup
echo "memory: $(cat memory/memory.limit_in_bytes memory.max 2>/dev/null)"
echo "reservation: $(cat memory/memory.soft_limit_in_bytes memory.low 2>/dev/null)"
echo "shares: $(cat cpu/cpu.shares 2>/dev/null || cat cpu.weight)"
"""


@pytest.fixture(scope="module")
def ran(task: MakeRun) -> Ran:
    linux = {"maxSwap": 16, "swappiness": 10, "sharedMemorySize": 5}
    return task(
        definition(container(LOOK, cpu=512, memory=48, memoryReservation=24, linuxParameters=linux))
    ).to_the_end()


@pytest.fixture(scope="module")
def generation(engine: Engine) -> int:
    return int(engine.docker("info", "--format", "{{.CgroupVersion}}"))


def test_cpu(ran: Ran, generation: int) -> None:
    assert ran.host["CpuShares"] == 512
    as_weight = 1 + (512 - 2) * 9999 // 262142
    assert int(ran.said["shares"]) == (512 if generation == 1 else as_weight)


def test_memory(ran: Ran) -> None:
    assert ran.host["Memory"] == 48 * MIB == int(ran.said["memory"])


def test_memory_reservation(ran: Ran) -> None:
    assert ran.host["MemoryReservation"] == 24 * MIB == int(ran.said["reservation"])


def test_max_swap(ran: Ran) -> None:
    assert ran.host["MemorySwap"] == (48 + 16) * MIB


def test_swappiness(ran: Ran, generation: int, task: MakeRun) -> None:
    """The second generation of control groups has none; the engine drops it there."""
    if generation == 1:
        assert ran.host["MemorySwappiness"] == 10
    linux = {"maxSwap": 0, "swappiness": 0}
    body = task(definition(container("true", linuxParameters=linux))).specification().body
    assert body["HostConfig"]["MemorySwappiness"] == 0


def test_shared_memory_size(ran: Ran) -> None:
    assert ran.host["ShmSize"] == 5 * MIB


def test_gpus(task: MakeRun) -> None:
    """As many as placement takes for it. Made, not started: that would need some."""
    run = task(definition(container("true", resourceRequirements=[{"type": "GPU", "value": "2"}])))
    taken = resources_of(Definition(family="fields", revision=1, registered_at=0, document=run.accepted()), {}).gpus
    made = replace(run, gpu_ids={"app": ("GPU-1", "GPU-2", "GPU-3")[:taken]}).create()
    (request,) = made["HostConfig"]["DeviceRequests"]
    assert (request["DeviceIDs"], request["Capabilities"]) == (["GPU-1", "GPU-2"], [["gpu"]])


def test_a_share_of_a_gpu(task: MakeRun) -> None:
    sharing = {"nvidiaMps": {"memory": 4096, "maxComputePercent": 25}}
    app = container("true", resourceRequirements=[{"type": "GPU", "sharingStrategy": sharing}])
    made = task(definition(app), gpu_ids={"app": ("GPU-1",)}).create()
    limits = {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=4096M"}
    assert limits <= set(made["Config"]["Env"])
    assert made["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["GPU-1"]


def test_a_task_s_limits_hold_for_a_container_without_its_own(task: MakeRun) -> None:
    app = container(LOOK)
    del app["memory"]
    ran = task(definition(app, cpu="512", memory="64")).to_the_end()
    assert int(ran.said["memory"]) == 64 * MIB
    assert ran.host["NanoCpus"] == 500_000_000
