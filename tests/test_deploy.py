"""What an operator installs by: units, user data, images. Each is read by the tool it is for where that is here, and
every command in it is one that the programs know."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
import yaml
from shoal import awsjson, engine_trust
from shoal.cli.app import root
from shoal.ingress import __main__ as ingress
from shoal.ingress import proxies
from shoal.supervisor.binaries import find_etcd
from shoal.v1 import service_pb2
from shoal_registry import configuration as registry_configuration
from shoal_scheduler import configuration
from shoal_scheduler.api.services.validate_service import create_problems

from tests.ground import daemon, etcd
from tests.ground.certificates import Certificates

ROOT = Path(__file__).parent.parent
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
DOCKERFILES = sorted((ROOT / "deploy/docker").glob("*.Dockerfile"))
USER_DATA = ROOT / "deploy/cloud-init/agent.yaml"

# Looser than this nothing of ours may be, by systemd's own measure (10 is a unit that shuts nothing). An agent is root,
# and sees the host.
EXPOSURE_MAX = {
    "shoal-etcd": 2.0,
    "shoal-scheduler": 2.0,
    "shoal-registry": 2.0,
    "shoal-ingress": 2.0,
    "shoal-proxies": 2.5,
    "shoal-agent": 8.0,
}


def settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def check_shoal(words: Sequence[str]) -> None:
    """Raises click's own error if the command line does not know these words."""
    command: click.Command = root
    context = click.Context(root, info_name="shoal")
    rest = list(words)
    while isinstance(command, click.Group):
        found = command.get_command(context, rest[0])
        assert found is not None, f"there is no `shoal {shlex.join(words)}`"
        command, rest = found, rest[1:]
        context = click.Context(command, parent=context)
    command.make_context(command.name, rest, parent=context.parent, resilient_parsing=True)
    options = {option for each in command.params for option in each.opts}
    assert {word for word in rest if word.startswith("--")} <= options


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    here = tmp_path / unit.name
    # Verified are programs that are here.
    program = str(Path(sys.executable))
    here.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", unit.read_text(), flags=re.MULTILINE))
    verified = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, timeout=60)
    said = [line for line in verified.stderr.splitlines() if unit.name in line]
    assert said == []
    assert verified.returncode == 0, verified.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_shut_as_far_as_it_can_be(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", "security", "--offline=true", str(unit)]
    measured = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", measured)
    assert found is not None, measured
    assert float(found[1]) <= EXPOSURE_MAX[unit.stem]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_comes_back(unit: Path) -> None:
    found = settings(unit)
    assert found["Restart"] == ["always"]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["WantedBy"] == ["multi-user.target"]


def test_only_the_agents_own_process_is_ended_with_it() -> None:
    assert settings(ROOT / "deploy/systemd/shoal-agent.service")["KillMode"] == ["process"]


def test_the_units_call_our_programs_as_they_are() -> None:
    (agent,) = settings(ROOT / "deploy/systemd/shoal-agent.service")["ExecStart"]
    check_shoal(shlex.split(agent)[1:])
    (scheduler,) = settings(ROOT / "deploy/systemd/shoal-scheduler.service")["ExecStart"]
    words = shlex.split(scheduler)
    assert words[1:4] == ["-P", "-m", "shoal_scheduler"]
    given = configuration.parse([word.replace("${SHOAL_REGISTRY}", "registry.example:7680") for word in words[4:]])
    assert given.registry == "registry.example:7680"
    assert configuration.parse([word.replace("${SHOAL_REGISTRY}", "") for word in words[4:]]).registry is None
    assert given.http_listen is not None
    assert given.authority_key is not None
    (registry,) = settings(ROOT / "deploy/systemd/shoal-registry.service")["ExecStart"]
    words = shlex.split(registry)
    assert words[1:4] == ["-P", "-m", "shoal_registry"]
    (folders,) = settings(ROOT / "deploy/systemd/shoal-registry.service")["StateDirectory"]
    started = registry_configuration.parse(words[4:])
    check_registry(started, *(Path("/var/lib", folder) for folder in folders.split()))
    assert started.authority is not None


def test_the_load_balancer_shares_a_folder_with_what_drives_it() -> None:
    for unit, module in (("shoal-ingress", "shoal.ingress"), ("shoal-proxies", "shoal.ingress.proxies")):
        found = settings(ROOT / f"deploy/systemd/{unit}.service")
        words = shlex.split(found["ExecStart"][0])
        assert words[1:4] == ["-P", "-m", module]
        given = (ingress if unit == "shoal-ingress" else proxies).parser().parse_args(words[4:])
        assert (given.state, found["StateDirectory"]) == (Path("/var/lib/shoal-ingress"), ["shoal-ingress"])
        assert found["User"] == ["shoal-ingress"]


def check_registry(started: registry_configuration.Configuration, store: Path, keys: Path) -> None:
    """It asks who somebody is, and its keys lie where a copy of its store does not take them along."""
    assert not started.is_open
    assert started.store == store
    assert started.token_key.parent == keys
    assert started.protection.master_key is not None
    assert started.protection.master_key.parent == keys


def test_agents_may_tell_the_engine_of_the_registry() -> None:
    (folder,) = settings(ROOT / "deploy/systemd/shoal-agent.service")["ConfigurationDirectory"]
    assert Path("/etc", folder) == engine_trust.FOLDER


def test_keys_are_told_by_systemd_and_not_readable_for_the_unit() -> None:
    for name in ("shoal-etcd", "shoal-scheduler", "shoal-registry", "shoal-ingress"):
        found = settings(ROOT / f"deploy/systemd/{name}.service")
        assert found["DynamicUser"] == ["yes"]
        loaded = {value.partition(":")[0] for value in found["LoadCredential"]}
        used = set(re.findall(r"%d/(\S+)", " ".join([*found["ExecStart"], *found.get("Environment", [])])))
        assert used == loaded


def test_etcd_runs_with_what_its_unit_says(tmp_path: Path, certificates: Certificates) -> None:
    """Other addresses, the same variables: one that etcd does not know it would only warn of."""
    if lacking := etcd.missing():
        pytest.skip(lacking)
    issued = certificates.files("etcd", "test")
    shutil.copy(certificates.authority, tmp_path / "authority.crt")
    shutil.copy(issued.certificate, tmp_path / "etcd.crt")
    shutil.copy(issued.key, tmp_path / "etcd.key")
    server = etcd.EtcdServer(tmp_path, certificates)
    lines = (ROOT / "deploy/systemd/etcd.env").read_text().splitlines()
    lines += " ".join(settings(ROOT / "deploy/systemd/shoal-etcd.service")["Environment"]).split()
    said = dict(re.findall(r"^(ETCD_\w+)=(.*)$", "\n".join(lines), re.MULTILINE))
    text = "\n".join(f"{name}={value}" for name, value in said.items()).replace("%d/", f"{tmp_path}/")
    text = text.replace("10.0.0.1:2379", server.endpoint).replace("10.0.0.1:2380", f"127.0.0.1:{server.peer_port}")
    text = re.sub(r",etcd-[23]=\S+", "", text).replace("/var/lib/shoal-etcd", str(tmp_path / "data"))
    environment = dict(line.split("=", 1) for line in text.splitlines())
    running = daemon.start([find_etcd() or ""], tmp_path / "log", environment)
    try:
        daemon.await_ready(running, server.is_healthy)
        assert "unrecognized environment variable" not in running.log.read_text()
    finally:
        running.stop()


def test_the_user_data_has_the_unit_and_commands_that_exist() -> None:
    text = USER_DATA.read_text()
    assert text.startswith("#cloud-config\n")
    document = yaml.safe_load(text)
    assert set(document) == {"hostname", "packages", "write_files", "runcmd"}
    files = {each["path"]: each for each in document["write_files"]}
    unit = files["/etc/systemd/system/shoal-agent.service"]["content"]
    assert unit == (ROOT / "deploy/systemd/shoal-agent.service").read_text()
    assert files["/run/shoal/token"] == {"path": "/run/shoal/token", "permissions": "0600", "content": "TOKEN"}
    ((script,),) = document["runcmd"]
    content = files[script]["content"]
    assert subprocess.run(["sh", "-n"], input=content, text=True, timeout=10).returncode == 0
    (joins,) = [shlex.split(line) for line in content.splitlines() if "/opt/shoal/bin/shoal " in line]
    assert joins[3] == "SCHEDULERS"
    check_shoal(joins[1:])


@pytest.mark.parametrize("word", ["NAME", "SCHEDULERS", "TOKEN", "PACKAGE"])
def test_each_word_to_fill_in_stands_in_one_place(word: str) -> None:
    lines = [line for line in USER_DATA.read_text().splitlines() if not line.lstrip().startswith("#")]
    assert len(re.findall(rf"(?<![A-Z_]){word}(?![A-Z_])", "\n".join(lines))) == 1


def steps(dockerfile: Path) -> Iterator[tuple[str, str]]:
    for line in dockerfile.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, rest


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_is_made_of_what_there_is(dockerfile: Path) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [source for name, rest in steps(dockerfile) if name == "COPY" for source in rest.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored


def test_images_start_programs_that_exist() -> None:
    scheduler = dict(steps(ROOT / "deploy/docker/scheduler.Dockerfile"))
    assert json.loads(scheduler["ENTRYPOINT"])[1:] == ["-P", "-m", "shoal_scheduler"]
    assert scheduler["USER"] == "65532:65532"
    registry = dict(steps(ROOT / "deploy/docker/registry.Dockerfile"))
    entry = json.loads(registry["ENTRYPOINT"])
    assert entry[1:4] == ["-P", "-m", "shoal_registry"]
    started = registry_configuration.parse([*entry[4:], "--certificate", "a", "--key", "b"])
    check_registry(started, Path("/var/lib/shoal-registry"), Path("/var/lib/shoal-registry-keys"))
    assert registry["USER"] == "65532:65532"
    balancer = dict(steps(ROOT / "deploy/docker/ingress.Dockerfile"))
    assert (json.loads(balancer["ENTRYPOINT"])[1:], balancer["USER"]) == (["-P", "-m"], "65532:65532")
    agent = dict(steps(ROOT / "deploy/docker/agent.Dockerfile"))
    entry = json.loads(agent["ENTRYPOINT"])
    assert entry[0] == "shoal"
    check_shoal([*entry[1:], *json.loads(agent["CMD"])])


PIPELINES = [ROOT / "deploy/examples/Jenkinsfile", ROOT / "deploy/examples/github-workflow.yml"]


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda path: path.name)
def test_a_pipeline_says_what_the_command_knows(pipeline: Path) -> None:
    said = re.findall(r"(?:run: |sh ')shoal ([^'\n]+)", pipeline.read_text())
    assert {words.split()[0] for words in said} == {"deploy", "service"}
    for words in said:
        check_shoal(shlex.split(words))


def test_what_becomes_of_other_commands_is_known() -> None:
    """The table of docs/services.md."""
    table = (ROOT / "docs/services.md").read_text().partition("| before | now |")[2]
    said = re.findall(r"`shoal ([^`]+)`", table)
    assert len(said) > 15
    for words in said:
        check_shoal(shlex.split(words.replace("…", "web")))


def test_the_service_of_the_examples_is_one() -> None:
    document = json.loads((ROOT / "deploy/examples/web-service.json").read_text())
    awsjson.to_message(document, service_pb2.CreateServiceRequest, strict=True)
    assert create_problems(document, None) == []


def test_the_workflow_of_the_examples_is_one() -> None:
    """As far as its schema can be told here: one job of steps that each use or run something."""
    workflow = yaml.safe_load((ROOT / "deploy/examples/github-workflow.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
