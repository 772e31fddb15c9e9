"""What `shoal up --hosts` and `shoal host` say where there can be no hosts."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shoal


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder that holds three hosts."""
    folder = tmp_path / "state"
    folder.mkdir()
    hosts = {"bridge": "shoal-000000", "network": "10.224.0.0/19", "instances": ["1" * 32, "2" * 32, "3" * 32]}
    (folder / "hosts.json").write_text(json.dumps(hosts))
    return folder


def test_hosts_need_root(shoal: Shoal, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for command in (("up", "--hosts", "3"), ("up",), ("host",), ("host", "kill", "host1")):
        result = shoal(*command)
        assert result.code == 1
        assert "root" in result.err
        assert "Try: sudo" in result.err


def test_where_there_are_none_it_says_how_to_have_some(shoal: Shoal) -> None:
    result = shoal("host")
    assert result.code == 3
    assert "Try: shoal up --hosts 3" in result.err


def test_a_path_too_long_for_sockets_is_refused(shoal: Shoal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: name)
    result = shoal("up", "--hosts", "2", "--state", tmp_path / ("long" * 30))
    assert result.code == 1
    assert "characters too long for sockets below it" in result.err
    assert not (tmp_path / ("long" * 30)).exists()


def test_what_is_missing_is_named_by_its_package(shoal: Shoal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: None)
    result = shoal("up", "--hosts", "2")
    assert "Try: apt-get install containerd docker.io iproute2 iptables util-linux" in result.err


def test_a_cluster_without_hosts_gets_none_later(shoal: Shoal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "settings.json").write_text("{}")
    result = shoal("up", "--hosts", "2", "--state", tmp_path / "state")
    assert result.code == 2
    assert "made without --hosts" in result.err
