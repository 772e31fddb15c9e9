"""Every command in the README does what it is there for."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from shoal_agent.configuration import load

from tests.conftest import demand
from tests.ground.engine import Engine
from tests.ground.home import ROOT, Home
from tests.ground.network import free_port
from tests.ground.waiting import block_until

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """Without what is said about them."""
    lines = (re.sub(r"\s+# .*", "", line).strip() for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


SHELL_BLOCKS = [commands(block) for block in blocks("sh")]


@pytest.fixture
def home(engine: Engine, short_folder: Path) -> Iterator[Home]:
    made = Home(short_folder, engine.host)
    made.settle()
    yield made
    made.end()


@pytest.fixture
def three_hosts(engine: Engine, short_folder: Path) -> Iterator[Home]:
    """A home whose user has the image of the README, and is root."""
    made = Home(short_folder, engine.host)
    made.types("deploy/hello-image")
    yield made
    made.end()


def test_the_first_minutes(home: Home) -> None:
    home.types("deploy/hello-image")
    first = SHELL_BLOCKS[0]
    assert first[0] == "shoal up"
    for line in first:
        home.types(line)


def test_operating(home: Home, engine: Engine) -> None:
    home.types("shoal up")
    instance = json.loads(home.types("shoal up -o json"))["instanceId"]
    for line in SHELL_BLOCKS[4]:
        # Where the README says what an administrator would: here the same of our own.
        home.types(
            line.replace("/var/lib/shoal", str(home.folder / ".local/state/shoal"))
            .replace("--listen 0.0.0.0:7600", "--listen 127.0.0.1:0")
            .replace("unix:///run/docker.sock", engine.host)
            .replace("INSTANCE", instance)
        )


def test_services(home: Home) -> None:
    demand("" if shutil.which("busybox") else "the image has no web server: busybox is not installed")
    home.types("deploy/hello-image && shoal up")
    port = str(free_port())
    typed = [(line, home.types(line.replace("8080", port))) for line in SHELL_BLOCKS[3]]
    asked = [text for line, text in typed if line.startswith("curl")]
    assert [text.split(" on ")[0] for text in asked] == ["web 1", "web 2"]
    said = dict(typed)
    everything = "".join(said.values())
    assert "ROLLBACK_SUCCESSFUL after" in everything
    assert "CannotStartContainerError" in everything
    assert said["shoal service rollback web"].startswith("web: back to web:1\n")
    assert "5 of 5 run" in said["shoal service describe web"]
    assert "No services." in home.types("shoal service ls")
    assert "No rules" in home.types("shoal rule ls")


def test_three_hosts(three_hosts: Home) -> None:
    commands_of_the_fleet = SHELL_BLOCKS[1]
    assert commands_of_the_fleet[0] == "shoal up --hosts 3"
    assert commands_of_the_fleet[-1] == "shoal down --purge"
    said = {}
    for line in commands_of_the_fleet:
        if line == "shoal ps":
            block_until(lambda: running_on(three_hosts) == {"host1": 2, "host3": 4}, 60.0, "host2's run on host3")
        said[line] = three_hosts.types(line)
    assert all(host in said["shoal instances"] for host in ("host1", "host2", "host3"))
    assert "host2 started" in said["shoal host start host2"]
    assert not (three_hosts.folder / ".local/state/shoal").exists()


def running_on(home: Home) -> dict[str, int]:
    """How many tasks run, by the name of the host."""
    listed = json.loads(home.types("shoal instances -o json"))["containerInstances"]
    return {each["ec2InstanceId"]: each["runningTasksCount"] for each in listed if each.get("runningTasksCount")}


def test_no_block_of_commands_is_left_out() -> None:
    assert len(SHELL_BLOCKS) == 5  # that of jobs: see test_batch_example
    assert len(blocks("python")) == 1


def test_the_client_in_ten_lines(home: Home, tmp_path: Path) -> None:
    (program,) = blocks("python")
    lines = [line for line in program.splitlines() if line.strip()]
    assert len(lines) <= 12, "ten lines, and the import that names them"
    (tmp_path / "client.py").write_text(program)
    home.types("shoal up")
    said = home.types(f"python {tmp_path}/client.py deploy/examples/hello.json")
    assert re.fullmatch(r"arn:shoal:ecs:local:\d+:task-definition/hello:\d+", said.strip())


def test_the_two_commands_of_the_first_screen() -> None:
    for command in ("./deploy/quickstart", "./deploy/test", "./deploy/hosts"):
        assert command in README
        assert (ROOT / command).stat().st_mode & 0o111


def test_the_agents_configuration_is_one(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    (tmp_path / "agent.toml").write_text(block)
    configuration = load(tmp_path / "agent.toml")
    assert configuration.host_mounts == ("/srv/data",)
    assert configuration.attributes == {"stack": "prod"}
