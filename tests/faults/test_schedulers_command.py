"""`shoal schedulers`, on real ones."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from shoal import context
from shoal.cli import checks
from shoal.cli.app import execute

from tests.conftest import ControlPlaneFactory
from tests.ground.waiting import wait_until


async def shoal(*words: str) -> tuple[int, str, str]:
    """Exit code, what it printed, what it complained of."""

    def run() -> tuple[int, str, str]:
        with CliRunner().isolation() as streams:
            code = execute(words)
            return code, streams[0].getvalue().decode(), streams[1].getvalue().decode()

    return await asyncio.to_thread(run)


async def until(wanted: Mapping[str, str]) -> None:
    """Until the command shows these roles, by endpoint."""

    async def roles() -> dict[str, str]:
        _, out, _ = await shoal("schedulers", "-o", "json")
        return {each["endpoint"]: each.get("role", "") for each in json.loads(out)["schedulers"]}

    def well(seen: dict[str, str]) -> bool:
        return seen == wanted

    await wait_until(roles, well, 20.0, "the schedulers have their roles")


async def test_shows_who_leads_and_hands_over(
    control_plane_factory: ControlPlaneFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path / "contexts.json"))
    plane = control_plane_factory(schedulers=2)
    first = plane.schedulers[await plane.until_led()].endpoint
    (other,) = set(plane.endpoints) - {first}
    async with plane.client() as client:
        context.save(context.load().with_context(client.context))
    await until({first: "LEADER", other: "STANDBY"})
    code, out, _ = await shoal("schedulers")
    assert code == 0 and out.splitlines()[0].split() == ["SCHEDULER", "ENDPOINT", "ROLE", "SINCE", "BEHIND", "VERSION"]

    async def told() -> list[str]:
        return (await shoal("schedulers"))[1].splitlines()

    def has_caught_up(lines: list[str]) -> bool:
        return any("STANDBY" in line and "0 commits" in line for line in lines)

    await wait_until(told, has_caught_up, 20.0, "the standby has what the leader has")
    code, out, err = await shoal("schedulers", "hand-over")
    assert code == 0 and "leads, after" in out, err
    await until({first: "STANDBY", other: "LEADER"})

    # The context need know of one only.
    code, out, _ = await shoal("--endpoint", first, "schedulers", "-o", "json")
    assert {each["endpoint"] for each in json.loads(out)["schedulers"]} == {first, other}
    plane.kill(next(name for name, each in plane.schedulers.items() if each.endpoint == first))
    code, _, err = await shoal("schedulers", "hand-over")
    assert code == 1 and "No other scheduler stands by" in err
    assert "does not answer" in (await shoal("schedulers"))[1]


@pytest.mark.parametrize(
    ("roles", "silent", "verdict"),
    [
        (["LEADER", "STANDBY"], [], checks.OK),
        (["LEADER", "STARTING"], [], checks.WARN),
        (["LEADER", "STANDBY", ""], ["c:1"], checks.WARN),
    ],
)
def test_the_doctor_says_whether_anybody_stands_by(roles: list[str], silent: list[str], verdict: str) -> None:
    found = checks.standbys(roles, silent)
    assert found.verdict == verdict and bool(found.mend) == (verdict != checks.OK)
