"""Limits of tasks as slices of a real systemd: a service manager of this test's own, for one user, in a mount
namespace where it finds a system that was started by systemd."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from shoal.cgroups import ROOT, Systemd, slice_of
from shoal_agent.life.cgroup import Cgroups, Limits

from tests.ground.waiting import wait_until

MANAGER = "/lib/systemd/systemd"
MIB = 1024 * 1024
_START = """
set -e
echo $$ > "$PLACE/cgroup.procs"
[ -d /run/systemd/system ] || { mkdir -p /run/systemd; mount -t tmpfs tmpfs /run/systemd; mkdir /run/systemd/system; }
exec "$MANAGER" --user --unit=basic.target --log-target=null
"""


@pytest.fixture
def systemd(short_folder: Path) -> Iterator[Systemd]:
    lacking = [it for it in ("systemctl", "systemd-run", "unshare", MANAGER) if shutil.which(it) is None]
    if lacking or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(lacking) or 'no more'}")
    above = ROOT / "systemd" if (ROOT / "systemd").is_dir() else ROOT
    place = above / f"shoal-test-{uuid.uuid4().hex[:8]}"
    place.mkdir()
    runtime = {"XDG_RUNTIME_DIR": str(short_folder), "HOME": str(short_folder)}
    environment = {**os.environ, **runtime, "PLACE": str(place), "MANAGER": MANAGER}
    manager = subprocess.Popen(["unshare", "--mount", "sh", "-c", _START], env=environment)
    variables = [f"{key}={value}" for key, value in runtime.items()]
    control = short_folder / "systemd" / "user.control"
    yield Systemd(("env", *variables, "systemctl", "--user"), control)
    manager.terminate()
    manager.wait(30)
    for folder, _, _ in os.walk(place, topdown=False):
        Path(folder).rmdir()


def answers(systemd: Systemd) -> bool:
    systemd.ask("list-units")
    return True


def run_in(systemd: Systemd, name: str) -> None:
    """As the engine starts a container in it."""
    scope = [*systemd.command[:-2], "systemd-run", "--user", "--scope", f"--slice={name}", "true"]
    subprocess.run(scope, check=True, capture_output=True)


def shown(systemd: Systemd, name: str, *wanted: str) -> dict[str, str]:
    command = [*systemd.command, "show", f"--property={','.join(wanted)}", name]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(row.split("=", 1) for row in text.splitlines())


async def test_a_slice_has_its_tasks_limits_and_goes_with_it(systemd: Systemd, tmp_path: Path) -> None:
    await wait_until(lambda: answers(systemd))
    made = Cgroups("i", 2, "", systemd, tmp_path)
    name = made.make("t", Limits(256, 64, 8))
    assert name == slice_of("i", "t")
    run_in(systemd, name)
    limits = shown(systemd, name, "MemoryMax", "MemorySwapMax", "CPUQuotaPerSecUSec", "CPUWeight", "ControlGroup")
    assert limits["ControlGroup"].endswith(f"/system.slice/{name}")
    assert (limits["MemoryMax"], limits["MemorySwapMax"]) == (str(64 * MIB), str(8 * MIB))
    assert (limits["CPUQuotaPerSecUSec"], limits["CPUWeight"]) == ("250ms", "10")
    made.make("other", Limits(memory_mib=64))
    made.keep_only(["other"])
    assert shown(systemd, name, "MemoryMax", "ActiveState") == {"MemoryMax": "infinity", "ActiveState": "inactive"}
    assert [path.name for path in systemd.control.iterdir()] == [f"{slice_of('i', 'other')}.d"]
    made.remove("other")
    assert list(systemd.control.iterdir()) == []


async def test_what_systemd_refuses_is_told(systemd: Systemd, tmp_path: Path) -> None:
    await wait_until(lambda: answers(systemd))
    with pytest.raises(OSError, match="set-property"):
        Cgroups("i", 2, "", systemd, tmp_path).make("t", Limits(cpu=0))
