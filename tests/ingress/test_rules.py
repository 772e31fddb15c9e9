"""What of the ingress is pure: health, patterns, Traefik's configuration, counts, answers of DNS."""

import doctest
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import dnslib
import pytest
from shoal.ingress import checks, counts, names, patterns, traefik
from shoal.ingress.folders import Folders, complaint, write
from shoal.ingress.health import HEALTHY, INITIAL, UNHEALTHY, Health, Key, Verdict, after, pause_seconds, serving
from shoal.ingress.names import Endpoint, answer
from shoal.ingress.traefik import Certificate, arguments, configuration
from shoal.v1 import traffic_pb2 as pb

from tests.ingress.routes import group, routes, rule, target

WELL, ILL = Verdict(True), Verdict(False, "Target.Timeout", "Request timed out")
PLACES = {"web": [("10.0.0.1", 32768), ("10.0.0.2", 32769)]}
NAMES = {"web.default.shoal.internal": [Endpoint("1f", "10.0.0.1", 8001), Endpoint("2e", "10.0.0.2", 8002)]}


@pytest.mark.parametrize("module", [checks, counts, patterns, traefik], ids=lambda each: each.__name__)
def test_the_examples_are_true(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


def states(*verdicts: Verdict, begin: str = INITIAL, step_millis: int = 1000) -> list[str]:
    """After each of these checks, of a group with an interval of 1 s and thresholds of 2."""
    known, found = Health(0, begin), []
    for number, verdict in enumerate(verdicts, 1):
        known = after(known, verdict, group(), number * step_millis)
        found.append(known.state)
    return found


def test_a_new_target_needs_one_check_to_be_healthy() -> None:
    assert states(WELL) == [HEALTHY]
    assert states(ILL, WELL) == [INITIAL, HEALTHY]


def test_a_new_target_has_the_time_that_its_checks_would_take_to_become_healthy() -> None:
    assert states(ILL, ILL) == [INITIAL, UNHEALTHY]
    assert states(*[ILL] * 21, step_millis=100) == [*[INITIAL] * 19, UNHEALTHY, UNHEALTHY]


def test_so_many_checks_on_end_change_a_target() -> None:
    assert states(ILL, WELL, ILL, ILL, begin=HEALTHY) == [HEALTHY, HEALTHY, HEALTHY, UNHEALTHY]
    assert states(WELL, ILL, WELL, WELL, begin=UNHEALTHY) == [UNHEALTHY, UNHEALTHY, UNHEALTHY, HEALTHY]


def test_since_and_why_are_of_the_change() -> None:
    known = after(Health(5, HEALTHY), ILL, group(unhealthy_threshold_count=1), 99)
    assert (known.since, known.reason, known.description) == (99, *ILL[1:])
    assert after(known, ILL, group(), 200).since == 99
    assert pause_seconds(known, group(health_check_interval_seconds=30)) == 30
    assert pause_seconds(Health(0), group(health_check_interval_seconds=30)) == 1


def test_healthy_ones_get_the_requests_and_all_if_there_is_none() -> None:
    targets = [target("b", 2), target("a", 1), target("x", 9, "api")]
    health = {Key("web", "a"): Health(0, UNHEALTHY), Key("web", "b"): Health(0, HEALTHY)}
    here = "127.0.0.1"
    assert serving(targets, health) == {"web": [(here, 2)], "api": [(here, 9)]}
    health[Key("web", "b")] = Health(0, UNHEALTHY)
    assert serving(targets, health)["web"] == [(here, 1), (here, 2)]


async def test_a_check_that_stumbles_is_a_failed_one(caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = None  # no session
    verdict = await checks.check(broken, group(), "127.0.0.1", 1)
    assert (verdict.is_well, verdict.reason) == (False, "Elb.InternalError")
    assert "a check stumbled" in caplog.text


def test_a_port_has_its_own_rules_only() -> None:
    known = routes([rule("one", 80, hosts=["a.example"]), rule("two", 81)])
    made = configuration(80, known, PLACES, {})
    assert list(made) == ["http"]
    assert list(made["http"]["routers"]) == ["one"]
    assert made["http"]["routers"]["one"]["rule"] == "Host(`a.example`)"
    servers = made["http"]["services"]["web"]["loadBalancer"]["servers"]
    assert servers == [{"url": "http://10.0.0.1:32768"}, {"url": "http://10.0.0.2:32769"}]


def test_the_rule_with_the_lowest_priority_is_asked_first() -> None:
    known = routes([rule("first", 80, priority=1), rule("last", 80, priority=50_000)])
    routers = configuration(80, known, PLACES, {})["http"]["routers"]
    assert routers["first"]["priority"] > routers["last"]["priority"] > 0


def test_several_groups_share_by_weight_and_a_client_that_stays_stays_with_its_group() -> None:
    sticky = pb.TargetGroupStickiness(enabled=True, duration_seconds=60, cookie_name="mine")
    known = routes([rule("all", 80, [("web", 3), ("api", 0)])], groups=[group(stickiness=sticky), group("api")])
    http = configuration(80, known, PLACES, {})["http"]
    assert http["routers"]["all"]["service"] == "all.rule"
    weighted = http["services"]["all.rule"]["weighted"]
    assert weighted["services"] == [{"name": "web", "weight": 3}, {"name": "api", "weight": 0}]
    assert weighted["sticky"]["cookie"]["name"] == "shoal-all-group"
    assert http["services"]["web"]["loadBalancer"]["sticky"]["cookie"] == {
        "name": "mine",
        "httpOnly": True,
        "maxAge": 60,
    }


@pytest.mark.parametrize(
    ("protocol", "version", "scheme"),
    [("HTTP", "HTTP1", "http"), ("HTTP", "HTTP2", "h2c"), ("HTTP", "GRPC", "h2c"), ("HTTPS", "GRPC", "https")],
)
def test_targets_are_spoken_to_as_their_group_says(protocol: str, version: str, scheme: str) -> None:
    known = routes([rule("all", 80)], groups=[group(protocol=protocol, protocol_version=version)])
    service = configuration(80, known, PLACES, {})["http"]["services"]["web"]
    assert service["loadBalancer"]["servers"][0]["url"] == f"{scheme}://10.0.0.1:32768"
    assert service["loadBalancer"]["serversTransport"] == ("targets" if version == "HTTP1" else "streams")


def test_a_rule_without_its_certificate_is_left_out() -> None:
    known = routes([rule("one", 443, protocol="HTTPS", certificate="one")])
    assert configuration(443, known, PLACES, {}) == {}
    made = configuration(443, known, PLACES, {"one": Certificate("chain", "key"), "other": Certificate("", "")})
    assert made["http"]["routers"]["one"]["tls"] == {}
    assert made["tls"]["certificates"] == [{"certFile": "chain", "keyFile": "key"}]


def test_tcp_is_told_apart_by_name_where_there_is_one() -> None:
    known = routes([rule("db", 5432, protocol="TCP")], groups=[group(protocol="TCP")])
    made = configuration(5432, known, PLACES, {})["tcp"]
    assert made["routers"]["db"]["rule"] == "HostSNI(`*`)"
    assert made["services"]["web"]["loadBalancer"]["servers"][0] == {"address": "10.0.0.1:32768"}
    known = routes([rule("db", 5432, hosts=["db.example"], protocol="TLS", certificate="db")])
    router = configuration(5432, known, PLACES, {"db": Certificate("chain", "key")})["tcp"]["routers"]["db"]
    assert (router["rule"], router["tls"]) == ("HostSNI(`db.example`)", {})


def test_a_traefik_listens_at_its_port_and_tells_of_itself_on_this_machine_only() -> None:
    line = arguments(80, 4000, "/state/routes.yaml")
    assert "--entryPoints.public.address=:80" in line
    assert "--entryPoints.internal.address=127.0.0.1:4000" in line
    assert "--providers.file.filename=/state/routes.yaml" in line


def test_files_are_written_only_when_they_change(short_folder: Path) -> None:
    folders = Folders(short_folder)
    assert write(folders, {80: {"http": {}}, 81: {}})
    assert folders.ports() == {80, 81}
    assert folders.routes(80).stat().st_mode & 0o077 == 0  # there may be a key in it
    assert not write(folders, {80: {"http": {}}, 81: {}})
    assert write(folders, {80: {"http": {}}})
    assert folders.ports() == {80}
    assert json.loads(folders.routes(80).read_text()) == {"http": {}}


def test_the_last_error_of_a_log_is_what_is_told(short_folder: Path) -> None:
    folders = Folders(short_folder)
    assert complaint(folders, 80) == ""
    folders.log(80).parent.mkdir()
    lines = ['{"level":"error","error":"old"}', '{"level":"fatal","error":"new"}', '{"level":"warn"}', "no JSON"]
    folders.log(80).write_text("\n".join(lines))
    assert complaint(folders, 80) == "new"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("address already in use", "another program listens at port 80"),
        ("permission denied", "this user may not listen at port 80"),
    ],
)
def test_a_port_that_cannot_be_had_is_told_of_in_words(short_folder: Path, reason: str, words: str) -> None:
    folders = Folders(short_folder)
    folders.log(80).parent.mkdir()
    chain = "building listener: error opening listener: listen tcp :80: bind: " + reason
    folders.log(80).write_text(json.dumps({"level": "error", "error": f"command traefik error: {chain}"}))
    assert complaint(folders, 80) == words


def test_requests_are_summed_over_codes_and_methods() -> None:
    text = """
# TYPE traefik_service_requests_total counter
traefik_service_requests_total{code="200",method="GET",protocol="http",service="web@file"} 7
traefik_service_requests_total{code="502",method="POST",protocol="http",service="web@file"} 2
traefik_service_requests_total{code="200",method="GET",protocol="http",service="api@file"} 1
# TYPE other counter
other_total{service="web@file"} 99
"""
    assert counts.totals(text) == {"web": 9, "api": 1}


def asked(name: str, kind: str, *, udp: bool = True, number: int = 0) -> dnslib.DNSRecord:
    question = dnslib.DNSRecord.question(name, kind)
    question.header.id = number
    said = answer(question.pack(), NAMES, udp=udp)
    assert said is not None
    return dnslib.DNSRecord.parse(said)


def test_each_question_finds_another_one_first() -> None:
    firsts = {str(asked("WEB.default.shoal.internal", "A", number=number).rr[0].rdata) for number in range(2)}
    assert firsts == {"10.0.0.1", "10.0.0.2"}


def test_a_port_comes_with_a_name_that_leads_to_its_address() -> None:
    reply = asked("web.default.shoal.internal", "SRV")
    target_name = str(reply.rr[0].rdata.target)
    assert {str(each.rname): str(each.rdata) for each in reply.ar}[target_name] == "10.0.0.1"
    (address,) = asked(target_name, "A").rr
    assert str(address.rdata) == "10.0.0.1"


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nobody.default.shoal.internal", "A", dnslib.RCODE.NXDOMAIN),
        ("3d.web.default.shoal.internal", "A", dnslib.RCODE.NXDOMAIN),
        ("default.shoal.internal", "A", dnslib.RCODE.NOERROR),
        ("web.default.shoal.internal", "AAAA", dnslib.RCODE.NOERROR),
        ("example.org", "A", dnslib.RCODE.REFUSED),
    ],
)
def test_what_is_not_there_is_said_to_be_so(name: str, kind: str, code: int) -> None:
    reply = asked(name, kind)
    assert (reply.header.rcode, reply.rr) == (code, [])


def test_what_a_client_cannot_take_by_udp_it_is_to_ask_for_by_tcp() -> None:
    many = {"web.default.shoal.internal": [Endpoint(f"{n:x}", f"10.0.0.{n}", 80) for n in range(1, 60)]}
    question = dnslib.DNSRecord.question("web.default.shoal.internal", "A").pack()
    cut = answer(question, many, udp=True)
    assert cut is not None and len(cut) <= 512 and dnslib.DNSRecord.parse(cut).header.tc
    whole = answer(question, many, udp=False)
    assert whole is not None and len(dnslib.DNSRecord.parse(whole).rr) == 59


@pytest.mark.parametrize("data", [b"", b"\0" * 12, b"\xff" * 40, dnslib.DNSRecord.question("a.").reply().pack()])
def test_what_is_no_question_gets_no_answer(data: bytes) -> None:
    assert answer(data, NAMES, udp=True) is None


def test_addresses_of_the_sixth_version_are_told_as_such() -> None:
    six = {"web.default.shoal.internal": [Endpoint("1", "fd00::1", 80)]}
    said = answer(dnslib.DNSRecord.question("web.default.shoal.internal", "AAAA").pack(), six, udp=True)
    assert said is not None
    assert [str(each.rdata) for each in dnslib.DNSRecord.parse(said).rr] == ["fd00::1"]
    assert names.TTL_SECONDS <= 10  # tasks move
