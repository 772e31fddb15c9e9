"""What an agent knows of the cluster's image registry, and has its engine trust."""

import os
import stat
from pathlib import Path

import pytest
from shoal import engine_trust
from shoal.joining.identity import IdentityFiles
from shoal_agent.images.cluster_registry import ClusterRegistry

ADDRESS = "10.0.0.5:7680"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "authority.crt"
    path.write_bytes(b"the authority")
    return path


def registry(state: Path, authority: Path, trusted: Path | None = None) -> ClusterRegistry:
    return ClusterRegistry(state, IdentityFiles(authority, authority, authority), trusted)


async def test_what_a_scheduler_says_is_known_after_a_restart(tmp_path: Path, authority: Path) -> None:
    await registry(tmp_path, authority).learn(ADDRESS)
    again = registry(tmp_path, authority)
    assert again.address == ADDRESS
    await again.learn("")
    assert registry(tmp_path, authority).address == ""


async def test_the_engine_trusts_it_from_then_on(tmp_path: Path, authority: Path) -> None:
    folder = tmp_path / "docker" / "certs.d"
    before = os.umask(0o077)
    try:
        await registry(tmp_path, authority, folder).learn(ADDRESS)
    finally:
        os.umask(before)
    written = folder / ADDRESS / "shoal.crt"
    assert written.read_bytes() == b"the authority"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (written, written.parent, folder)]
    assert modes == [0o644, 0o755, 0o755], "clients of every user look there"
    written.write_bytes(b"of a cluster that was here before")
    await registry(tmp_path, authority, folder).learn(ADDRESS)
    assert written.read_bytes() == b"the authority"


@pytest.mark.parametrize("address", ["127.0.0.1:7680", "localhost:7680", ""])
async def test_nothing_is_written_where_engines_take_any_certificate(
    tmp_path: Path, authority: Path, address: str
) -> None:
    await registry(tmp_path, authority, tmp_path / "certs.d").learn(address)
    assert not (tmp_path / "certs.d").exists()


@pytest.mark.parametrize("address", ["../../etc:1", "a/b:1", "host", "host:", "-x:1", "a b:1"])
async def test_what_is_no_address_becomes_no_folder(
    tmp_path: Path, authority: Path, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = registry(tmp_path, authority, tmp_path / "certs.d")
    await made.learn(address)
    assert made.address == ""
    assert not (tmp_path / "certs.d").exists()
    assert "no address of a registry" in caplog.text


async def test_an_agent_that_may_not_write_there_goes_on(
    tmp_path: Path, authority: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    made = registry(tmp_path, authority, tmp_path / "file")
    await made.learn(ADDRESS)
    assert made.address == ADDRESS
    assert "may not trust the cluster's registry" in caplog.text


def test_what_was_written_goes_again_and_nothing_else(tmp_path: Path) -> None:
    assert not engine_trust.is_trusted(ADDRESS, b"ours", tmp_path)
    engine_trust.trust(ADDRESS, b"ours", tmp_path)
    assert engine_trust.is_trusted(ADDRESS, b"ours", tmp_path)
    assert not engine_trust.is_trusted(ADDRESS, b"another's", tmp_path)
    engine_trust.forget(ADDRESS, b"another cluster's", tmp_path)
    assert (tmp_path / ADDRESS / "shoal.crt").exists()
    (tmp_path / ADDRESS / "ca.crt").write_bytes(b"another's")
    engine_trust.forget(ADDRESS, b"ours", tmp_path)
    assert [path.name for path in (tmp_path / ADDRESS).iterdir()] == ["ca.crt"]
    (tmp_path / ADDRESS / "ca.crt").unlink()
    engine_trust.trust(ADDRESS, b"ours", tmp_path)
    engine_trust.forget(ADDRESS, b"ours", tmp_path)
    assert list(tmp_path.iterdir()) == []
    engine_trust.forget(ADDRESS, b"ours", tmp_path)
