"""The small pure parts: what engines answer, log frames, exit codes, reports, configuration, waiting."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shoal.certificates import ensure_authority, ensure_certificate
from shoal.rpc import Identity
from shoal_agent import convert, fingerprint
from shoal_agent.configuration import BadConfiguration, Configuration, load, parse
from shoal_agent.definition.labels import read
from shoal_agent.engine import answers
from shoal_agent.engine.lines import LineReader
from shoal_agent.engine.port import Inspected, Port
from shoal_agent.fingerprint import Host
from shoal_agent.identity import NotAnAgent, identity_of
from shoal_agent.life.verdict import EngineStart, exit_code_known
from shoal_agent.pause import RETRY_SECONDS_MAX, retry_seconds
from shoal_agent.reporter import Reporter
from shoal_agent.slots import Slots
from shoal_agent.task import ContainerPlan, Report
from shoal_agent.watch import Health

# What the engine answers.


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("2026-11-23T13:07:01.704832546Z", 1795439221704),
        ("2026-11-23T13:07:01Z", 1795439221000),
        ("2026-11-23T15:07:01.5+02:00", 1795439221500),
        ("2026-11-23 13:07:59.973267297 +0000 UTC", 1795439279973),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_times(text: str | None, millis: int | None) -> None:
    assert answers.milliseconds(text) == millis


def test_a_container_that_never_ran_has_no_code() -> None:
    """The engine shows exit code 0 for one that was only made."""
    state = {"Status": "created", "ExitCode": 0, "StartedAt": "0001-01-01T00:00:00Z", "OOMKilled": False}
    found = answers.inspected({"Id": "a", "Name": "/n", "State": state, "Config": {"Labels": None}})
    assert (found.exit_code, found.started_at, found.name, found.labels) == (None, None, "n", {})


@pytest.mark.parametrize(
    ("status", "words", "said", "health"),
    [
        ("running", "Up 5 seconds (health: starting)", "starting", "UNKNOWN"),
        ("running", "Up 2 minutes (healthy)", "healthy", "HEALTHY"),
        ("running", "Up 2 minutes (unhealthy)", "unhealthy", "UNHEALTHY"),
        ("running", "Up 2 minutes", "none", None),
        ("exited", "Exited (0) 3 seconds ago", "unhealthy", None),
    ],
)
def test_health_is_read_from_a_listing_and_from_a_look(status: str, words: str, said: str, health: str | None) -> None:
    line = {"Id": "a", "Names": ["/n"], "State": status, "Status": words}
    assert answers.listed(line).health_status == health
    state = {"Status": status, "ExitCode": 0, "Health": {"Status": said}}
    assert answers.inspected({"Id": "a", "Name": "/n", "State": state}).health_status == health


def test_ports_are_told_once_for_both_families() -> None:
    bound = {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "49153"}, {"HostIp": "::", "HostPort": "49153"}],
        "53/udp": [{"HostIp": "", "HostPort": "5353"}],
        "81/tcp": None,
    }
    state = {"Status": "running", "ExitCode": 0}
    found = answers.inspected({"Id": "a", "Name": "/n", "State": state, "NetworkSettings": {"Ports": bound}})
    assert found.ports == (Port(53, 5353, "udp"), Port(80, 49153))


# Exit codes around the engine's own restarts.

READY = 1000


@pytest.mark.parametrize(
    ("code", "finished_at", "oom_killed", "signalled", "known"),
    [
        (0, READY + 1, False, False, True),
        (137, READY + 1, False, False, True),  # under its eyes
        (255, READY + 1, False, False, True),
        (4, READY - 1, False, False, True),  # by itself while the engine was away
        (0, READY - 1, False, False, True),
        (9, READY - 1, False, True, False),  # the engine asked it to end
        (0, READY - 1, False, True, False),
        (137, READY - 1, False, False, False),
        (143, READY - 1, False, False, False),
        (255, READY - 1, False, False, False),  # vanished with its host
        (137, READY - 1, True, False, True),
        (255, None, False, False, False),
    ],
)
def test_which_exit_codes_are_believed(
    code: int, finished_at: int | None, oom_killed: bool, signalled: bool, known: bool
) -> None:
    found = Inspected("id", "n", {}, "exited", code, oom_killed, finished_at=finished_at)
    assert exit_code_known(found, EngineStart(READY, frozenset({"id"} if signalled else ()))) is known


def test_an_engine_that_does_not_tell_its_start_is_believed() -> None:
    assert exit_code_known(Inspected("id", "n", {}, "exited", 137, finished_at=5), EngineStart())


# Logs.


def frame(stream: int, text: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


STAMP = b"2026-11-23T13:07:01.704832546Z "


@given(st.lists(st.integers(1, 40), max_size=20))
def test_frames_may_arrive_in_any_pieces(cuts: list[int]) -> None:
    raw = frame(1, STAMP + b"one\n") + frame(2, STAMP + b"two\r\n") + frame(1, STAMP + b"") + frame(1, STAMP + b"end")
    reader, found = LineReader(tty=False), []
    for size in [*cuts, len(raw)]:
        piece, raw = raw[:size], raw[size:]
        found += list(reader.feed(piece))
    found += list(reader.flush())
    assert [(line.stream, line.text) for line in found] == [
        ("stdout", b"one"),
        ("stderr", b"two"),
        ("stdout", b""),
        ("stdout", b"end"),
    ]
    assert {line.at for line in found} == {1795439221704}


def test_a_terminals_lines_have_no_frames() -> None:
    reader = LineReader(tty=True)
    found = [*reader.feed(STAMP + b"one\r\n" + STAMP + b"tw"), *reader.feed(b"o"), *reader.flush()]
    assert [line.text for line in found] == [b"one", b"two"]


@given(st.binary(max_size=300))
def test_no_stream_makes_the_reader_stumble(raw: bytes) -> None:
    for tty in (True, False):
        list(LineReader(tty).feed(raw))


# Reports.


def test_only_the_newest_report_of_a_task_waits() -> None:
    reporter = Reporter()
    reporter.offer(Report("t1", "RUNNING"))
    reporter.offer(Report("t1", "STOPPED"))
    batch = reporter.take()
    assert batch is not None and [it.last_status for it in batch.reports] == ["STOPPED"]
    assert reporter.take() is None
    assert reporter.acknowledge(batch.sequence) == ["t1"]
    assert not reporter.unacknowledged


def test_an_acknowledgement_of_an_older_report_ends_nothing() -> None:
    reporter = Reporter()
    reporter.offer(Report("t1", "RUNNING"))
    first = reporter.take()
    reporter.offer(Report("t1", "STOPPED"))
    assert first is not None and reporter.acknowledge(first.sequence) == []
    second = reporter.take()
    assert second is not None and reporter.acknowledge(second.sequence) == ["t1"]


def test_a_report_that_is_told_again_while_it_is_under_way_ends_once() -> None:
    reporter, report = Reporter(), Report("t1", "STOPPED")
    reporter.offer(report)
    first = reporter.take()
    reporter.offer(report)
    assert first is not None and reporter.acknowledge(first.sequence) == ["t1"]
    assert reporter.take() is None


def test_a_broken_session_sends_all_of_it_again() -> None:
    reporter = Reporter()
    for task_id in ("t1", "t2"):
        reporter.offer(Report(task_id, "STOPPED"))
    first = reporter.take()
    reporter.rewind()
    second = reporter.take()
    assert first is not None and second is not None
    assert second.sequence > first.sequence and second.reports == first.reports
    assert reporter.acknowledge(first.sequence) == []


# Places.


async def test_who_is_stuck_gives_its_place_away() -> None:
    slots = Slots(1, patience_seconds=0.05)
    stuck = asyncio.Event()

    async def hold() -> None:
        async with slots.one():
            await stuck.wait()

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    async with asyncio.timeout(5), slots.one():
        stuck.set()
    await holding
    async with slots.one():
        blocked = asyncio.create_task(hold())
        done, _ = await asyncio.wait({blocked}, timeout=0.01)
        assert not done, "a place that was given away must not come back twice"
    await blocked


# Configuration, identity, fingerprint, labels.


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"allow_priviledged": True}, "allow_priviledged"),
        ({"allow_privileged": 1}, "allow_privileged"),
        ({"reserved_ports": [80, 70000]}, "reserved_ports[1]"),
        ({"reserved_ports": 80}, "reserved_ports"),
        ({"metadata_port": 0}, "metadata_port"),
        ({"image_pull_behavior": "never"}, "image_pull_behavior"),
        ({"registry_credentials_file": "config.json"}, "registry_credentials_file"),
        ({"image_cleanup_disk_percent": 101}, "image_cleanup_disk_percent"),
        ({"image_cleanup_interval_seconds": 0}, "image_cleanup_interval_seconds"),
        ({"metadata_port": 65536}, "metadata_port"),
        ({"reserved_memory_mib": -1}, "reserved_memory_mib"),
        ({"reserved_memory_mib": True}, "reserved_memory_mib"),
        ({"concurrent_starts": 0}, "concurrent_starts"),
        ({"host_mounts": ["srv"]}, "host_mounts[0]"),
        ({"attributes": {"rack": 1}}, "attributes.rack"),
        ({"attributes": {"rack": " 7"}}, "attributes.rack"),
        ({"attributes": {"a b": "7"}}, "attributes.a b"),
        ({"attributes": ["rack"]}, "attributes"),
        ({"attributes": {f"a{number}": "" for number in range(81)}}, "attributes"),
        ({"resources": {"licence": "10"}}, "resources.licence"),
        ({"resources": {"licence": -1}}, "resources.licence"),
        ({"resources": {"licence": True}}, "resources.licence"),
        ({"resources": {"licence": 2**31}}, "resources.licence"),
        ({"resources": {"gpu": 1}}, "resources.gpu"),
        ({"resources": {"MEMORY": 1}}, "resources.MEMORY"),
        ({"resources": {"a b": 1}}, "resources.a b"),
        ({"resources": 3}, "resources"),
        ({"resources": {f"r{number}": 1 for number in range(31)}}, "resources"),
        ({"gpus": ["GPU-1", "GPU-2", "GPU-1"]}, "gpus[2]"),
        ({"os_family": "windows"}, "os_family"),
        ({"dynamic_ports": "30000"}, "dynamic_ports"),
        ({"dynamic_ports": "30000-20000"}, "dynamic_ports"),
        ({"dead_container_keep_seconds": "3h"}, "dead_container_keep_seconds"),
    ],
)
def test_a_bad_key_is_named(document: dict[str, object], key: str) -> None:
    with pytest.raises(BadConfiguration) as error:
        parse(document)
    assert error.value.key == key


def test_a_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(
        'reserved_ports = [8080]\nhost_mounts = ["/srv"]\nresources = { licence = 10 }\n'
        '[attributes]\nrack = "7"\nssd = ""\n'
    )
    rules = load(path)
    assert (rules.reserved_ports, rules.host_mounts) == ((8080,), ("/srv",))
    assert (rules.attributes, rules.resources) == ({"rack": "7", "ssd": ""}, {"licence": 10})
    assert load(None) == Configuration()
    path.write_text("reserved_ports = [")
    with pytest.raises(BadConfiguration):
        load(path)


def test_who_i_am_is_in_my_certificate(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = ensure_authority(tmp_path, "blue", now)
    for role, name in (("agent", "a" * 32), ("operator", "me")):
        issued = ensure_certificate(authority, tmp_path, role, Identity("blue", role, name), now)
        pem = issued.certificate.read_bytes()
        if role == "agent":
            assert identity_of(pem) == Identity("blue", "agent", "a" * 32)
        else:
            with pytest.raises(NotAnAgent):
                identity_of(pem)
    with pytest.raises(NotAnAgent):
        identity_of(b"not a certificate")


def test_what_the_operator_sets_wins() -> None:
    host = Host(4, 1000, 5000, ("GPU-1",), "Linux", "x86_64", "h")
    plain = fingerprint.fingerprint(host, Configuration())
    assert (plain.cpu, plain.memory_mib, plain.ports, plain.gpus) == (4096, 1000, (22, 2375, 2376), ("GPU-1",))
    rules = Configuration(
        reserved_cpu=96,
        reserved_memory_mib=2000,
        reserved_ports=(80, 22),
        gpus=(),
        instance_type="m5",
        attributes={"ecs.os-type": "other", "rack": "7"},
    )
    shaped = fingerprint.fingerprint(host, rules)
    assert (shaped.cpu, shaped.memory_mib, shaped.ports, shaped.gpus) == (4000, 0, (22, 80, 2375, 2376), ())
    assert shaped.attributes["ecs.instance-type"] == "m5" and shaped.attributes["rack"] == "7"
    assert shaped.attributes["ecs.os-type"] == "other"


@pytest.mark.parametrize(
    ("system", "said", "os_type", "family"),
    [
        ("Linux", None, "linux", "LINUX"),
        ("Linux", "LINUX", "linux", "LINUX"),
        ("Windows", None, "windows", None),
        ("Windows", "WINDOWS_SERVER_2022_CORE", "windows", "WINDOWS_SERVER_2022_CORE"),
        ("Darwin", None, "darwin", None),
    ],
)
def test_an_operating_system_is_claimed_only_if_it_is_known(
    system: str, said: str | None, os_type: str, family: str | None
) -> None:
    host = Host(4, 1000, 5000, (), system, "AMD64", "h")
    found = fingerprint.fingerprint(host, Configuration(os_family=said)).attributes
    assert (found["ecs.os-type"], found.get("ecs.os-family")) == (os_type, family)
    assert found["ecs.cpu-architecture"] == "x86_64"


@pytest.mark.parametrize(("system", "said"), [("Linux", "WINDOWS_SERVER_2022_CORE"), ("Windows", "LINUX")])
def test_a_host_is_not_what_it_does_not_run(system: str, said: str) -> None:
    with pytest.raises(BadConfiguration, match=f"this host runs {system}"):
        fingerprint.fingerprint(Host(4, 1000, 5000, (), system, "x86_64", "h"), Configuration(os_family=said))


def test_resources_of_its_own_are_told_as_integers() -> None:
    rules = Configuration(resources={"licence": 10}, gpus=("GPU-1",))
    host = fingerprint.fingerprint(Host(4, 1000, 5000, (), "Linux", "x86_64", "h"), rules)
    resources = {each.name: each for each in convert.hello("blue", 7, "2e", host, "", Health()).hello.resources}
    assert (resources["licence"].type, resources["licence"].integer_value) == ("INTEGER", 10)
    assert list(resources["GPU"].string_set_value) == ["GPU-1"]


def test_this_host_can_be_looked_at(tmp_path: Path) -> None:
    found = fingerprint.look(tmp_path)
    assert found.cores > 0 and found.memory_mib > 0 and found.disk_mib > 0


def test_labels_that_say_less_are_read_as_far_as_they_go() -> None:
    assert read({"shoal.task": "t"}) is None and read({}) is None
    partial = read({"shoal.task": "t", "shoal.container": "web", "shoal.epoch": "-4"})
    assert partial is not None and partial.containers == (ContainerPlan("web"),) and partial.epoch == 0


@given(st.floats(0, 1e6), st.floats(0, 1))
def test_a_retry_is_never_far(outage_seconds: float, chance: float) -> None:
    assert 0 <= retry_seconds(outage_seconds, chance) <= min(RETRY_SECONDS_MAX, max(0.2, outage_seconds / 8))
