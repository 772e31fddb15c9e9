"""Services that are rebalanced while hosts come and go, counts change and replacements are slow: at every step within
their percents, and never where the rebalance keeps them off."""

from random import Random

import pytest
from shoal_scheduler.control.rebalance.leaving import under_way
from shoal_scheduler.control.services.health import is_healthy
from shoal_scheduler.control.services.view import view_of
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state.overlay import Overlay

from tests.unit.scheduler.rebalance.moving import Moving, host
from tests.unit.scheduler.services.stage import KEY, percents

ZONES = ("z1", "z2", "z3", "")
PERCENTS = ((100, 200), (50, 200), (50, 100), (0, 100), (75, 150), (100, 110))
STEPS = 60
WHAT = ("look", "look", "look", "start", "start", "wait", "end", "join", "drain", "count", "move", "halt")


class Checked(Moving):
    """Looks at what each step did."""

    def healthy(self) -> int:
        seen = view_of(Overlay(self.tables), KEY, self.context)
        assert seen is not None
        return sum(is_healthy(seen, task) for task in seen.wanted)

    def check(self, healthy_before: int, wanted_before: int, known: set[str]) -> None:
        service = self.service
        least = -(-service.desired_count * service.configuration.minimum_healthy_percent // 100)
        most = service.desired_count * service.configuration.maximum_percent // 100
        assert self.healthy() >= min(least, healthy_before), "too few are healthy"
        assert len(self.wanted) <= max(most, wanted_before), "too many are wanted"
        rebalance = under_way(Overlay(self.tables), "default")
        new = [task for task in self.tasks if task.instance and task.id not in known]
        assert not {task.instance for task in new} & set(rebalance.closed if rebalance else ())

    async def do(self, rng: Random) -> None:
        names = sorted(self.tables.instances)
        match rng.choice(
            ("look", "look", "look", "start", "start", "wait", "end", "join", "drain", "count", "move", "halt")
        ):
            case "look":
                await self.look(starts=rng.random() < 0.2)
            case "start":
                await self.start(*[task for task in self.tasks if task.last_status == "PENDING" and rng.random() < 0.7])
            case "wait":
                await self.wait(rng.choice((5, 40, 700)))
            case "end":
                await self.end()
            case "join":
                await self.join(host(f"h{len(names)}", rng.choice(ZONES)))
            case "drain":
                await self.drain(rng.choice(names), back=rng.random() < 0.6)
            case "count":
                await self.change(desired_count=rng.randrange(1, 10))
            case "move":
                kind = rng.choice(("SPREAD", "EMPTY", "ZONES"))
                named = rng.sample(names, 1) if kind == "EMPTY" and rng.random() < 0.7 else ()
                await self.rebalance(kind, *named, parallel=rng.choice((1, 3)))
            case "halt":
                await self.halt("a try")


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(12, 300))])
async def test_within_the_percents_at_every_step(seed: int) -> None:
    rng = Random(seed)
    hosts = [host(f"h{number}", rng.choice(ZONES)) for number in range(rng.randrange(1, 4))]
    stage = Checked()
    await stage.open(*hosts)
    await stage.create(
        rng.randrange(1, 8), configuration=percents(*rng.choice(PERCENTS)), zone_rebalancing=rng.random() < 0.5
    )
    await stage.start()
    await stage.wait(40)
    for _ in range(STEPS):
        healthy, wanted, known = stage.healthy(), len(stage.wanted), {task.id for task in stage.tasks if task.instance}
        try:
            await stage.do(rng)
        except Refused as refused:
            assert refused.reason in ("UpdateInProgressException", "ResourceNotFoundException")
        stage.check(healthy, wanted, known)
