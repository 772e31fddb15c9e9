"""When a certificate is renewed, and what is tried when it cannot be."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from shoal import errors
from shoal.certificates import ensure_authority, issue_to_agent, write_private
from shoal.joining.identity import IdentityFiles
from shoal.rpc import Credentials, Identity
from shoal_agent import certificate_renewal
from shoal_agent.certificate_renewal import Renewal, retry_seconds
from shoal_agent.identity import NotAnAgent, Validity, validity_of

ISSUED = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY_SECONDS = 24 * 3600.0


class Cluster:
    """Issues to one agent, at the time of its clock; `now` moves as the agent sleeps."""

    def __init__(self, folder: Path) -> None:
        self.authority = ensure_authority(folder, "default", ISSUED - timedelta(days=1))
        self.files = IdentityFiles(self.authority.path, folder / "agent.crt", folder / "agent.key")
        self.key = ec.generate_private_key(ec.SECP256R1())
        write_private(self.files.key, self.key)
        self.now = ISSUED.timestamp()
        self.outage: list[Exception] = []
        self.asked: list[tuple[float, bool]] = []
        self.renewed: list[Credentials] = []
        self.issue()

    def issue(self) -> None:
        identity = Identity("default", "agent", "1f" * 16)
        at = datetime.fromtimestamp(self.now, UTC)
        certificate = issue_to_agent(self.authority, self.key.public_key(), identity, at, timedelta(days=1))
        self.files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def renew(self, _files: IdentityFiles, _endpoints: list[str], *, run_out: bool) -> None:
        self.asked.append(((self.now - ISSUED.timestamp()) / 3600, run_out))
        if self.outage:
            raise self.outage.pop()
        self.issue()

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    async def until(self, hours: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lets the agent's renewal run until so long after the first certificate was issued."""
        monkeypatch.setattr(certificate_renewal, "renew", self.renew)
        monkeypatch.setattr(certificate_renewal, "LOOK_SECONDS_MAX", 1800.0)
        made = Renewal(self.files, ["a:1"], self.renewed.append, lambda: self.now, self.sleep)
        running = asyncio.create_task(made.run())
        while (self.now - ISSUED.timestamp()) / 3600 < hours:
            assert not running.done(), running.result()
            await asyncio.sleep(0)
        running.cancel()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


async def test_it_is_renewed_at_half_its_life(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await cluster.until(36.5, monkeypatch)
    assert [round(hours) for hours, _ in cluster.asked] == [12, 24, 36]
    assert {run_out for _, run_out in cluster.asked} == {False}
    assert len(cluster.renewed) == 3
    assert cluster.renewed[-1].certificate == cluster.files.certificate.read_bytes()


async def test_while_it_cannot_be_it_is_tried_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.outage = [errors.Unreachable("away"), OSError("full"), ValueError("odd")]
    await cluster.until(13, monkeypatch)
    assert len(cluster.asked) == 4
    assert len(cluster.renewed) == 1


async def test_one_that_has_run_out_proves_its_key(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.now += 3 * DAY_SECONDS  # the host was off
    await cluster.until(73, monkeypatch)
    assert [run_out for _, run_out in cluster.asked] == [True]
    assert len(cluster.renewed) == 1


async def test_a_host_that_is_no_member_any_more_goes_on_asking_and_ends_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.outage = [errors.Denied("revoked")] * 1000
    await cluster.until(14, monkeypatch)
    assert 10 < len(cluster.asked) < 60
    assert not cluster.renewed
    assert "no member any more" in caplog.text


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_tries_are_apart_and_not_together(chance: float) -> None:
    day = Validity(0.0, DAY_SECONDS + 300)
    minute = Validity(0.0, 60.0 + 300)
    assert retry_seconds(day, chance) == 600 * (0.5 + chance / 2)
    assert 0.5 < retry_seconds(minute, chance) < 1.3


def test_how_long_it_is_good_is_read(cluster: Cluster) -> None:
    found = validity_of(cluster.files.certificate.read_bytes())
    assert found == Validity(ISSUED.timestamp() - 300, ISSUED.timestamp() + DAY_SECONDS)
    assert found.renew_at == ISSUED.timestamp() + DAY_SECONDS / 2


@pytest.mark.parametrize("year", [2049, 2050, 2066])
def test_times_beyond_two_digits_of_a_year(tmp_path: Path, year: int) -> None:
    """The authority lives ten years; its encoding of times changes with 2050."""
    now = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    authority = ensure_authority(tmp_path, "default", now)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    certificate = issue_to_agent(authority, key, Identity("default", "agent", "x"), now, timedelta(days=1))
    found = validity_of(certificate.public_bytes(serialization.Encoding.PEM))
    assert found == Validity(now.timestamp() - 300, now.timestamp() + DAY_SECONDS)


def test_what_is_no_certificate() -> None:
    with pytest.raises(NotAnAgent):
        validity_of(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
