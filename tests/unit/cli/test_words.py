"""The pure parts: words in, values out, and back."""

import doctest
import subprocess
import sys
from types import ModuleType

import click
import pytest
from shoal import certificates, rpc
from shoal.cli import checks, explain, image_definition, metrics, options, placement, plot, show, tasks, text
from shoal.supervisor import programs
from shoal.v1 import resource_pb2, task_pb2


@pytest.mark.parametrize(
    ("words", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("250ms", 0.25)]
)
def test_durations(words: str, seconds: float) -> None:
    assert options.duration(words) == seconds


@pytest.mark.parametrize("words", ["", "m", "1x", "-1s", "1h 2m", "１s"])
def test_what_is_no_duration(words: str) -> None:
    with pytest.raises(Exception, match="not a duration"):
        options.duration(words)


@pytest.mark.parametrize(
    ("words", "size_mib"), [("64", 64), ("64m", 64), ("64M", 64), ("1g", 1024), ("2G", 2048), ("2147483647", 2**31 - 1)]
)
def test_sizes(words: str, size_mib: int) -> None:
    assert options.mebibytes(words) == size_mib


@pytest.mark.parametrize("words", ["", "0", "0g", "-1", "64k", "1.5g", "m", "64 m", "2147483648", "9" * 5000, "６４"])
def test_what_is_no_size(words: str) -> None:
    with pytest.raises(click.BadParameter, match=r"such as 64 \(MiB\), 64m or 1g"):
        options.mebibytes(words)


def test_ports() -> None:
    assert image_definition.port_mapping("80") == {"containerPort": 80, "protocol": "tcp"}
    assert image_definition.port_mapping("0:80") == {"containerPort": 80, "protocol": "tcp", "hostPort": 0}


@pytest.mark.parametrize("words", ["99999", "65536:80", "0", "80:0", "9" * 5000])
def test_a_port_out_of_range(words: str) -> None:
    with pytest.raises(ValueError, match=r"is not \[HOST:\]PORT: a port is a number from 1 to 65535"):
        image_definition.port_mapping(words)


@pytest.mark.parametrize("words", ["", ":", "80:", ":80", "eighty", "127.0.0.1:8080:80", "-1"])
def test_what_is_no_port(words: str) -> None:
    with pytest.raises(ValueError, match=r"is not \[HOST:\]PORT, as in 80 or 8080:80"):
        image_definition.port_mapping(words)


def test_exit_code_of_a_task_is_the_first_that_is_not_zero() -> None:
    def task(*codes: int | None) -> task_pb2.Task:
        return task_pb2.Task(containers=[task_pb2.Container(exit_code=code) for code in codes])

    assert tasks.exit_code(task(0, 0)) == 0
    side = task_pb2.Container(essential=False, exit_code=143)
    assert tasks.exit_code(task_pb2.Task(containers=[side, task_pb2.Container(essential=True, exit_code=5)])) == 5
    assert tasks.exit_code(task(0, 3, 4)) == 3
    assert tasks.exit_code(task(None)) == 125
    assert tasks.exit_code(task()) == 125


def test_a_task_that_has_stopped_holds_no_ports() -> None:
    binding = task_pb2.NetworkBinding(host_port=8080, container_port=80)
    task = task_pb2.Task(last_status="RUNNING", containers=[task_pb2.Container(network_bindings=[binding])])
    assert tasks.ports(task) == "0.0.0.0:8080->80/tcp"
    task.last_status = "STOPPED"
    assert tasks.ports(task) == ""


def test_ids_of_ranges() -> None:
    ranges = [task_pb2.TaskIdRange(prefix="a" * 24, first=15, last=17)]
    assert tasks.expand(ranges) == [f"{'a' * 24}0000000{digit}" for digit in "f"] + [
        f"{'a' * 24}00000010",
        f"{'a' * 24}00000011",
    ]


@pytest.mark.parametrize("module", [text, image_definition, checks, explain, metrics, plot])
def test_what_the_docstrings_show(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_what_others_wrote_cannot_write_on_the_terminal() -> None:
    (_, line) = show.plain_lines(show.Table(("WHY",), [("\x1b[2J\x07 done\n\u202eevil",)]))
    assert line == "?[2J? done ?evil"


def test_every_short_form_names_its_task() -> None:
    for number in (0, 1, 255, 2**32 - 1):
        task_id = f"{'5e1f90ab' * 3}{number:08x}"
        assert text.matches(text.short_task(task_id), task_id)
        assert text.could_be_id(text.short_task(task_id))
    assert not text.could_be_id("web")
    assert not text.could_be_id("")


@pytest.mark.parametrize("words", ["nonsense", "memberOf", "memberOf(x", "distinctinstance"])
def test_what_is_no_constraint(words: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        placement.constraint(words)


def test_failures_without_an_instance_are_counted() -> None:
    failure = resource_pb2.Failure(reason="No Container Instances were found in your cluster.")
    assert placement.failure_lines([failure, failure]) == [f"{failure.reason} (2 times)"]


def test_a_detail_that_says_the_same_is_said_once() -> None:
    failure = resource_pb2.Failure(reason="INSTANCE:NONE", detail="the cluster has no container instances")
    assert placement.failure_lines([failure]) == ["the cluster has no container instances"]


@pytest.mark.parametrize(
    ("reasons", "hint"),
    [
        (["AGENT"], "its agent is reconnecting or down: shoal doctor"),
        (["INSTANCE:DRAINING"], "shoal activate INSTANCE"),
        (["INSTANCE:IMPAIRED"], "shoal instances describe INSTANCE says what is wrong with its engine"),
        (["MEMBEROF", "ATTRIBUTE"], "shoal attributes"),
        (["INSTANCE:NONE"], "shoal doctor says why no instance is there"),
        (
            ["RESOURCE:CPU", "RESOURCE:PORTS"],
            "the same with --dry-run, which says what would help; with --queue, to wait for room",
        ),
        (["AGENT", "MEMBEROF"], "its agent is reconnecting or down: shoal doctor; shoal attributes"),
    ],
)
def test_each_reason_has_its_hint(reasons: list[str], hint: str) -> None:
    assert placement.hint(resource_pb2.Failure(reason=reason) for reason in reasons) == hint


def test_a_family_of_its_own_for_images_that_are_run() -> None:
    document = image_definition.document(
        image_definition.ImageRun("a/b:1", publish=("53/udp",), environment={"A": "1"}, network="host")
    )
    assert document == {
        "family": "run-b",
        "networkMode": "host",
        "containerDefinitions": [
            {
                "name": "b",
                "image": "a/b:1",
                "essential": True,
                "memoryReservation": 64,
                "portMappings": [{"containerPort": 53, "protocol": "udp"}],
                "environment": [{"name": "A", "value": "1"}],
            }
        ],
    }


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("3.4.21", "warn"),
        ("3.4.23", "ok"),
        ("3.5.0", "warn"),
        ("3.5.5", "warn"),
        ("3.5.6", "ok"),
        ("3.6.1", "ok"),
        ("?", "warn"),
    ],
)
def test_etcd_versions(version: str, verdict: str) -> None:
    assert checks.etcd_version(version, "etcd").verdict == verdict


@pytest.mark.parametrize(("version", "verdict"), [("20.10.24+dfsg1", "warn"), ("27.1.1", "ok"), ("28.0.1", "ok")])
def test_engine_versions(version: str, verdict: str) -> None:
    assert checks.engine_version(version, "unix:///x").verdict == verdict


@pytest.mark.parametrize(
    ("lacking", "is_root", "verdict", "found"),
    [([], True, "ok", "publish no port"), (["ip"], True, "warn", "not installed: ip"), (["ip"], False, "ok", "root")],
)
def test_whether_networks_can_be_kept_ready(lacking: list[str], is_root: bool, verdict: str, found: str) -> None:
    check = checks.ready_networks(lacking, is_root)
    assert check.verdict == verdict and found in check.found and bool(check.mend) == (verdict == "warn")


@pytest.mark.parametrize(
    ("theirs", "verdict"), [(1000, "ok"), (1500, "ok"), (5000, "warn"), (-4000, "warn"), (10**6, "fail")]
)
def test_clock_skew(theirs: int, verdict: str) -> None:
    assert checks.clock(1000, theirs, 1800).verdict == verdict


def test_other_judgements() -> None:
    assert checks.python_version((3, 10, 1)).verdict == "fail"
    assert [checks.space(free, "/").verdict for free in (0, 2**30, 2**40)] == ["fail", "warn", "ok"]
    assert [checks.certificate("x", life, 1).verdict for life in (-1.0, 0.2, 0.9)] == ["fail", "warn", "ok"]
    assert checks.port("x", 1, free=False, ours=False).verdict == "fail"
    balancers = [checks.load_balancer(path, wanted) for path in (None, "/traefik") for wanted in (False, True)]
    assert [each.verdict for each in balancers] == ["ok", "fail", "ok", "ok"]


def test_a_table_for_pipes_is_aligned_and_cuts_nothing() -> None:
    lines = show.plain_lines(show.Table(("A", "BB"), [("long" * 20, "x"), ("", "y")]))
    assert {line.index(last) for line, last in zip(lines, ("BB", "x", "y"), strict=True)} == {83}


def test_the_supervisor_knows_the_servers_names_without_loading_their_modules() -> None:
    assert (programs.SCHEDULER_NAME, programs.ETCD_NAME) == (rpc.SERVER_NAME, certificates.ETCD_NAME)


@pytest.mark.parametrize("words", [(), ("image",), ("image", "push"), ("image", "ls")])
def test_help_imports_nothing_that_takes_long(words: tuple[str, ...]) -> None:
    program = "import sys; from shoal.cli.app import execute; execute(sys.argv[1:]); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", program, *words, "--help"], capture_output=True, text=True, check=True)
    assert not {"aiodocker", "aiohttp", "grpc", "isal", "rich", "yaml"} & set(said.stdout.splitlines()[-1].split())
