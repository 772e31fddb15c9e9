import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from shoal import certificates
from shoal.supervisor import lock, settings
from shoal.supervisor.keep import BACKOFF_FIRST_SECONDS, BACKOFF_MAX_SECONDS, next_delay_seconds
from shoal.supervisor.layout import Layout
from shoal.supervisor.prepare import Asked, prepare
from shoal.supervisor.programs import programs
from shoal.supervisor.settings import Settings

CHOSEN = Settings("default", "0.0.0.0:7600", "unix:///d.sock", 1, 2, "1f" * 16)


def test_the_delay_grows_to_its_bound_and_begins_again_after_a_long_life() -> None:
    delays, delay = [], 0.0
    for _ in range(10):
        delay = next_delay_seconds(delay, lived_seconds=0.0)
        delays.append(delay)
    assert delays[0] == BACKOFF_FIRST_SECONDS
    assert delays == sorted(delays)
    assert delays[-1] == BACKOFF_MAX_SECONDS
    assert next_delay_seconds(delays[-1], lived_seconds=60.0) == BACKOFF_FIRST_SECONDS


def test_a_wildcard_address_is_not_dialled() -> None:
    assert CHOSEN.endpoint == "127.0.0.1:7600"


def test_every_port_speaks_tls_with_certificates_both_ways(tmp_path: Path) -> None:
    etcd, scheduler, registry, _, ingress, agent = programs(CHOSEN, Layout(tmp_path), "etcd", "dockerd")
    line = " ".join(etcd.arguments)
    assert "http://" not in line
    for option in ("client-cert-auth", "peer-client-cert-auth"):
        assert f"--{option}=true" in line
    assert "--client-cert-allowed-hostname=scheduler.shoal" in line
    for program in (scheduler, registry, ingress, agent):
        assert {"--authority", "--certificate", "--key"} <= set(program.arguments)


def test_the_ingress_waits_until_it_is_asked_for(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    made = {each.name: each for each in programs(CHOSEN, layout, "etcd", "dockerd")}
    assert {name for name, each in made.items() if each.needs == layout.ingress_wanted} == {"proxies", "ingress"}
    assert f"--ingress-wanted {layout.ingress_wanted}" in " ".join(made["scheduler"].arguments)


def test_an_engine_of_ours_survives_and_restores(tmp_path: Path) -> None:
    owned = Settings("default", "127.0.0.1:1", "unix:///d.sock", 1, 2, "1f" * 16, True, ("--debug",))
    dockerd = programs(owned, Layout(tmp_path), "etcd", "/sbin/dockerd")[0]
    assert dockerd.survives
    assert list(dockerd.arguments) == ["/sbin/dockerd", "--live-restore", "--host", "unix:///d.sock", "--debug"]


def test_a_free_port_is_chosen_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first, context = prepare(layout, Asked(listen="127.0.0.1:0"), owns_engine=False)
    second, _ = prepare(layout, Asked(listen="127.0.0.1:0"), owns_engine=False)
    third, _ = prepare(layout, Asked(), owns_engine=False)
    assert first.listen == second.listen == third.listen == context.endpoints[0]
    assert not first.listen.endswith(":0")
    assert first.http_port == second.http_port == third.http_port != 0
    assert settings.load(layout.settings) == third
    moved, _ = prepare(layout, Asked(listen="127.0.0.1:7601"), owns_engine=False)
    assert (moved.listen, moved.instance_id) == ("127.0.0.1:7601", first.instance_id)


def test_the_registry_is_beside_the_scheduler_and_stays_where_it_was(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first, context = prepare(layout, Asked(listen="127.0.0.1:0"), owns_engine=False)
    address = first.registry_address
    assert context.registry == address
    assert settings.split_address(address)[0] == "127.0.0.1"
    moved, _ = prepare(layout, Asked(listen="127.0.0.2:0"), owns_engine=False)
    assert moved.registry_address == address, "images carry it in their names"
    again, _ = prepare(layout, Asked(registry="127.0.0.1:0"), owns_engine=False)
    assert again.registry_address == address
    named, _ = prepare(layout, Asked(registry="registry.example:7999"), owns_engine=False)
    assert (named.registry_address, named.registry_listen) == ("registry.example:7999", "0.0.0.0:7999")
    certificate = certificates.read_certificate(layout.certificates / "registry.crt")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "registry.example" in names.get_values_for_type(x509.DNSName)


def test_a_registry_that_is_new_takes_a_free_port(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1] - settings.REGISTRY_PORT_OFFSET}"
        # As an older version has left it.
        settings.save(layout.settings, replace(CHOSEN, listen=listen))
        made, _ = prepare(layout, Asked(), owns_engine=False)
        assert made.registry_address != settings.registry_beside(listen)
    assert prepare(layout, Asked(), owns_engine=False)[0] == made


def test_an_address_of_the_registrys_is_listened_on_as_it_is() -> None:
    assert replace(CHOSEN, registry="10.0.0.5:7680").registry_listen == "10.0.0.5:7680"
    assert CHOSEN.registry_listen == "127.0.0.1:7680"


def test_the_keys_of_images_lie_outside_of_their_store(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert not layout.registry_keys.is_relative_to(layout.registry_store)


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock.holder(path) is None
    lock.acquire(path)
    assert lock.holder(path) is not None
    with pytest.raises(lock.Busy):
        lock.acquire(path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"cluster": 1}', "{"])
def test_broken_settings_are_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"settings file|Expecting"):
        settings.load(path)


def test_settings_without_anything_new_can_be_read_by_an_older_version(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    settings.save(path, CHOSEN)
    assert not [name for name in json.loads(path.read_text()) if name.startswith(("more_", "registry"))]
    several = replace(CHOSEN, more_schedulers=((3, 4),), more_members=((5, 6), (7, 8)))
    settings.save(path, several)
    assert settings.load(path) == several


def test_several_schedulers_and_members_know_one_another(tmp_path: Path) -> None:
    several = replace(CHOSEN, more_schedulers=((3, 4),), more_members=((5, 6), (7, 8)))
    made = {each.name: " ".join(each.arguments) for each in programs(several, Layout(tmp_path), "etcd", "dockerd")}
    assert list(made) == [
        "etcd",
        "etcd-2",
        "etcd-3",
        "scheduler",
        "scheduler-2",
        "registry",
        "proxies",
        "ingress",
        "agent",
    ]
    members = "shoal=https://127.0.0.1:2,etcd-2=https://127.0.0.1:6,etcd-3=https://127.0.0.1:8"
    assert all(f"--initial-cluster={members}" in made[name] for name in ("etcd", "etcd-2", "etcd-3"))
    assert all("--etcd 127.0.0.1:1,127.0.0.1:5,127.0.0.1:7" in made[name] for name in ("scheduler", "scheduler-2"))
    assert "--listen 0.0.0.0:3" in made["scheduler-2"]
    assert "--scheduler 127.0.0.1:7600,127.0.0.1:3" in made["agent"]


def test_settings_of_a_newer_version_with_more_fields_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    settings.save(path, CHOSEN)
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
    with pytest.raises(ValueError, match="colour"):
        settings.load(path)
