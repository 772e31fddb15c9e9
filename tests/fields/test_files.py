"""What a container sees of disks: its root, folders of the instance, volumes, files in memory."""

from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.refusal import Refused
from shoal_agent.engine.port import CannotCreate

from tests.fields.conftest import MakeRun
from tests.fields.running import Ran, Run, container, definition
from tests.ground.engine import Engine

LOOK = """
may_write() { (echo x >$1/written) 2>/dev/null && echo yes || echo no; }
echo "root: $(may_write /)"
echo "host: $(cat /host/hello) $(may_write /host)"
echo "read only: $(cat /host-read-only/hello) $(may_write /host-read-only)"
echo "of the task: $(may_write /task)"
echo "shared: $(may_write /shared)"
echo "in memory: $(df -k /memory | tail -n 1 | xargs)"
echo "options: $(grep ' /memory ' /proc/mounts | cut -d ' ' -f 4)"
"""


def mounted(volume: str, path: str, **more: Any) -> dict[str, Any]:
    return {"sourceVolume": volume, "containerPath": path, **more}


def docker_volume(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "dockerVolumeConfiguration": configuration}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    (made / "hello").write_text("hello\n")
    return made


@pytest.fixture(scope="module")
def run(task: MakeRun, folder: Path) -> Run:
    """A container that mounts one of each, and one that takes all from that, to read only."""
    tmpfs = {"containerPath": "/memory", "size": 3, "mountOptions": ["mode=700", "noatime"]}
    app = container(
        LOOK,
        readonlyRootFilesystem=True,
        linuxParameters={"tmpfs": [tmpfs]},
        mountPoints=[
            mounted("data", "/host"),
            mounted("data", "/host-read-only", readOnly=True),
            mounted("scratch", "/task"),
            mounted("fields-shared", "/shared"),
        ],
    )
    other = container(LOOK, name="other", volumesFrom=[{"sourceContainer": "app", "readOnly": True}])
    volumes = [
        {"name": "data", "host": {"sourcePath": str(folder)}},
        {"name": "scratch"},
        docker_volume("fields-shared", scope="shared", autoprovision=True, driver="local", labels={"team": "web"}),
    ]
    return task(definition(app, other, volumes=volumes), rules=Configuration(host_mounts=(str(folder),)))


@pytest.fixture(scope="module")
def ran(run: Run) -> Ran:
    return run.to_the_end()


def test_read_only_root(ran: Ran) -> None:
    assert ran.said["root"] == "no"


def test_a_folder_of_the_host(ran: Ran, folder: Path) -> None:
    assert ran.said["host"] == "hello yes"
    assert (folder / "written").exists()


def test_a_folder_that_is_not_there_is_made(task: MakeRun, folder: Path) -> None:
    app = container("touch /v/written", mountPoints=[mounted("new", "/v")])
    for name in ("new", "new:with-a-colon"):
        document = definition(app, volumes=[{"name": "new", "host": {"sourcePath": str(folder / name)}}])
        run = task(document, rules=Configuration(host_mounts=(str(folder),)))
        if ":" in name:
            with pytest.raises(CannotCreate, match="does not exist"):
                run.create()
        else:
            run.to_the_end()
            assert (folder / name / "written").exists()


def test_read_only_mounts(ran: Ran) -> None:
    assert ran.said["read only"] == "hello no"


def test_volumes_of_scope_task_are_named_after_it(run: Run, ran: Ran) -> None:
    assert ran.said["of the task"] == "yes"
    (volume,) = (mount for mount in ran.inspected["Mounts"] if mount["Destination"] == "/task")
    assert volume["Name"] == f"shoal.fields.{run.id}.scratch" in run.specification().volumes


def test_shared_volumes_keep_their_name_driver_and_labels(ran: Ran, engine: Engine) -> None:
    assert ran.said["shared"] == "yes"
    form = '{{.Driver}} {{index .Labels "team"}}'
    assert engine.docker("volume", "inspect", "--format", form, "fields-shared") == "local web"


def test_tmpfs(ran: Ran) -> None:
    assert ran.said["in memory"].startswith("tmpfs 3072 ")
    assert {"noatime", "mode=700", "size=3072k"} <= set(ran.said["options"].split(","))


def test_volumes_from(run: Run, ran: Ran) -> None:
    """All mounts of the other container, none of which may be written to."""
    taken = run.to_the_end("other")
    assert (taken.said["host"], taken.said["of the task"], taken.said["shared"]) == ("hello no", "no", "no")
    assert taken.said["root"] == "yes"


def test_driver_options(task: MakeRun) -> None:
    """A volume that the local driver mounts; here from memory, since that is at hand everywhere."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=2m"}
    app = container('echo "size: $(df -k /v | tail -n 1 | xargs)"', mountPoints=[mounted("v", "/v")])
    document = definition(app, volumes=[docker_volume("v", driver="local", driverOpts=options)])
    ran = task(document, rules=Configuration(allow_privileged=True)).to_the_end()
    assert ran.said["size"].startswith("tmpfs 2048 ")
    with pytest.raises(Refused, match=r"volumes\[0\]\.dockerVolumeConfiguration\.driverOpts"):
        task(document).specification()


def test_other_drivers(task: MakeRun) -> None:
    app = container("true", mountPoints=[mounted("v", "/v")])
    document = definition(app, volumes=[docker_volume("v", driver="no-such-driver")])
    with pytest.raises(CannotCreate, match="no-such-driver"):
        task(document, rules=Configuration(allow_privileged=True)).create()
    with pytest.raises(Refused, match=r"volumes\[0\]\.dockerVolumeConfiguration\.driver"):
        task(document).specification()


def nfs(options: str, **more: str) -> dict[str, Any]:
    wanted = {"type": "nfs", "device": ":/exports/data", "o": options, **more}
    app = container("true", mountPoints=[mounted("v", "/v")])
    return definition(app, volumes=[docker_volume("v", driverOpts=wanted)])


def test_nfs_of_a_listed_server(task: MakeRun, engine: Engine) -> None:
    """Made, not mounted: that would need the server."""
    rules = Configuration(nfs_servers=("10.0.0.5",))
    made = task(nfs("addr=10.0.0.5,nfsvers=4"), rules=rules).create()
    (volume,) = made["Mounts"]
    form = "{{.Options.type}} {{.Options.device}} {{.Options.o}}"
    told = engine.docker("volume", "inspect", "--format", form, volume["Name"])
    assert told == "nfs :/exports/data addr=10.0.0.5,nfsvers=4"


@pytest.mark.parametrize(
    "document",
    [
        nfs("addr=10.0.0.6"),
        nfs("addr=10.0.0.5,addr=10.0.0.6"),
        nfs("rw"),
        nfs("addr=10.0.0.5", device="/etc"),
        nfs("addr=10.0.0.5,bind", type="none"),
    ],
)
def test_other_servers_and_tricks_are_refused(task: MakeRun, document: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="driverOpts"):
        task(document, rules=Configuration(nfs_servers=("10.0.0.5",))).specification()


def test_a_shared_volume_is_not_made_unless_it_says_so(task: MakeRun) -> None:
    """What the agent then asks the engine for: tests/unit/agent/test_worker.py."""

    def must_exist(**more: bool) -> tuple[tuple[str, str], ...]:
        app = container("true", mountPoints=[mounted("found", "/v")])
        volumes = [docker_volume("found", scope="shared", **more)]
        return task(definition(app, volumes=volumes)).specification().must_exist

    needed = (("volumes[0].dockerVolumeConfiguration.autoprovision", "found"),)
    assert must_exist() == must_exist(autoprovision=False) == needed
    assert must_exist(autoprovision=True) == ()
