"""Faults by name: each strikes now and then while they last, and what it breaks is mended again after a while.

Each is a function of the cluster and a chance; PERSISTENT ones are a state of the world from the beginning.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from shoal_scheduler.control import inputs as i
from shoal_scheduler.state import etcd_v3_pb2 as pb

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

from tests.simulation.store import HOST as ETCD
from tests.simulation.users import HOST as USER

Strike = Callable[["Cluster", Random], None]


def _pair(cluster: "Cluster", rng: Random) -> tuple[str, str]:
    """Two that speak with each other."""
    scheduler = rng.choice(cluster.schedulers).name
    other = rng.choice([ETCD, USER, *(host.name for host in cluster.hosts)])
    return (scheduler, other) if rng.random() < 0.5 else (other, scheduler)


def _span(rng: Random) -> float:
    return rng.choice((0.5, 3.0, 8.0, 20.0, 60.0)) * rng.uniform(0.3, 1.0)


def cut(cluster: "Cluster", rng: Random) -> None:
    one, other = _pair(cluster, rng)
    for sender, receiver in ((one, other), (other, one)):
        cluster.network.cut(sender, receiver)

    def mend() -> None:
        cluster.network.mend(one, other)
        cluster.network.mend(other, one)

    cluster.later(_span(rng), mend)


def cut_one_way(cluster: "Cluster", rng: Random) -> None:
    one, other = _pair(cluster, rng)
    cluster.network.cut(one, other)
    cluster.later(_span(rng), lambda: cluster.network.mend(one, other))


def scheduler_crash(cluster: "Cluster", rng: Random) -> None:
    cluster.crash_scheduler(
        rng.choice(cluster.schedulers), rng.choice((5.0, 5.0, 30.0)) * rng.random(), silently=rng.random() < 0.2
    )


def agent_crash(cluster: "Cluster", rng: Random) -> None:
    cluster.crash_agent(rng.choice(cluster.hosts), rng.choice((0.1, 2.0, 5.0, 20.0)) * rng.random())


def scheduler_pause(cluster: "Cluster", rng: Random) -> None:
    scheduler = rng.choice(cluster.schedulers)
    cluster.pause(scheduler.life, rng.choice((1.0, 8.0, 20.0, 40.0)) * rng.uniform(0.5, 1.0))


def agent_pause(cluster: "Cluster", rng: Random) -> None:
    cluster.pause(rng.choice(cluster.hosts).life, _span(rng))


def double_start(cluster: "Cluster", rng: Random) -> None:
    cluster.start_agent(rng.choice(cluster.hosts))


def etcd_away(cluster: "Cluster", rng: Random) -> None:
    cluster.members.available = False

    def back() -> None:
        cluster.members.available = True
        if rng.random() < 0.5:  # a member that begins to lead gives each lease its full time again
            cluster.members.model.extend_all()

    cluster.later(_span(rng), back)


def lease_revoked(cluster: "Cluster", rng: Random) -> None:
    leases = list(cluster.members.model.leases)
    if leases and cluster.members.available:
        cluster.witness.lease_meddled_until = cluster.clock.now + 5.0
        cluster.members.model.revoke(pb.LeaseRevokeRequest(ID=rng.choice(leases)))
        leader = next((each for each in cluster.schedulers if each.leads), None)
        if (
            leader is not None and rng.random() < 0.5
        ):  # and who had it cannot ask, and goes on until its own clock says no
            cluster.network.cut(leader.name, ETCD)
            cluster.later(rng.uniform(2.0, 6.0), lambda: cluster.network.mend(leader.name, ETCD))


def lease_kept(cluster: "Cluster", _rng: Random) -> None:
    cluster.members.model.extend_all()


def etcd_full(cluster: "Cluster", rng: Random) -> None:
    cluster.members.full = True
    cluster.later(_span(rng), lambda: setattr(cluster.members, "full", False))


def etcd_slow(cluster: "Cluster", rng: Random) -> None:
    """What is asked is done at once, and said late: often too late for who asked."""
    cluster.members.slow = rng.uniform(1.0, 5.0)
    cluster.later(rng.uniform(5.0, 20.0), lambda: setattr(cluster.members, "slow", 0.0))


def compaction(cluster: "Cluster", _rng: Random) -> None:
    model = cluster.members.model
    if model.revision > model.compacted:
        model.compact(model.revision)


def clock_jump(cluster: "Cluster", rng: Random) -> None:
    name = rng.choice([*(each.name for each in cluster.schedulers), *(each.name for each in cluster.hosts)])
    cluster.skews[name] += rng.uniform(-3600, 3600)
    cluster.furthest = max(cluster.furthest, cluster.skews[name])


def disk_full(cluster: "Cluster", rng: Random) -> None:
    disk = rng.choice(cluster.hosts).disk
    disk.full = True
    cluster.later(_span(rng), lambda: setattr(disk, "full", False))


def disk_slow(cluster: "Cluster", rng: Random) -> None:
    disk = rng.choice(cluster.hosts).disk
    disk.slow = rng.choice((0.1, 1.0, 10.0))
    cluster.later(_span(rng), lambda: setattr(disk, "slow", 0.0))


def journal_lost(cluster: "Cluster", rng: Random) -> None:
    host = rng.choice(cluster.hosts)
    cluster.crash_agent(host, rng.uniform(0.0, 5.0))
    host.disk.wipe()
    cluster.witness.highest.pop(host.name, None)


def host_dies(cluster: "Cluster", rng: Random) -> None:
    host = rng.choice(cluster.hosts)
    seconds = rng.uniform(1.0, 30.0)
    host.engine.host_dies()
    death = host.engine.deaths
    cluster.later(seconds, lambda: host.engine.come_back_from(death, host_was_down=True))
    cluster.crash_agent(host, seconds + rng.uniform(0.0, 3.0), silently=True)


def engine_restart(cluster: "Cluster", rng: Random) -> None:
    engine = rng.choice(cluster.hosts).engine
    if engine.up:
        engine.die()
        death = engine.deaths
        cluster.later(rng.choice((0.2, 5.0, 20.0)) * rng.random(), lambda: engine.come_back_from(death))


def engine_hangs(cluster: "Cluster", rng: Random) -> None:
    troubles = rng.choice(cluster.hosts).engine.troubles
    troubles.hangs = True
    cluster.later(_span(rng), lambda: setattr(troubles, "hangs", False))


def removed_by_hand(cluster: "Cluster", rng: Random) -> None:
    """Where it hurts most: while nobody looks, what was made last."""
    alone = [host for host in cluster.hosts if not host.is_up and host.engine.boxes]
    engine = rng.choice(alone if alone and rng.random() < 0.8 else cluster.hosts).engine
    if engine.boxes and engine.up:
        ids = list(engine.boxes)
        box = engine.boxes[ids[-1] if rng.random() < 0.5 else rng.choice(ids)]
        engine.exit(box, 137, "hand", box.runs)
        del engine.boxes[box.id]


def foreign_container(cluster: "Cluster", rng: Random) -> None:
    """Under the name that the next launch's first container will have, with no labels or somebody else's."""
    engine = rng.choice(cluster.hosts).engine
    task = f"{cluster.ids_given() + 1 + rng.choice((0, 0, 1)):024x}{rng.choice((0, 0, 1)):08x}"
    forged = {"shoal.cluster": "default", "shoal.instance": "another", "shoal.task": task, "shoal.container": "app"}
    name = f"default.{task}.app"
    if not any(box.name == name for box in engine.boxes.values()):
        box = engine.put(name, rng.choice(({}, forged)), ("0", "0", "1"), 1)
        engine.run(box)


def burst(cluster: "Cluster", rng: Random) -> None:
    for _ in range(rng.randint(2, 10)):
        cluster.submit(rng.randint(1, 5))


def cancel_race(cluster: "Cluster", rng: Random) -> None:
    """Runs, and stops what it ran as soon as it is told of it."""
    cluster.stop_soon = 0.9
    cluster.submit(rng.randint(1, 5))


def drain(cluster: "Cluster", rng: Random) -> None:
    host = rng.choice(cluster.hosts).name
    cluster.users.ask(i.UpdateInstances("default", (host,), "DRAINING"))
    again = i.UpdateInstances("default", (host,), "ACTIVE")
    cluster.later(rng.uniform(1.0, 20.0), lambda: cluster.users.ask(again))


def deregister(cluster: "Cluster", rng: Random) -> None:
    host = rng.choice(cluster.hosts)
    cluster.users.ask(i.DeregisterInstance("default", host.name, force=rng.random() < 0.7))


def interruption(cluster: "Cluster", rng: Random) -> None:
    """An operator says that a host goes, perhaps once more, and takes it back: perhaps before anything has ended."""
    host = rng.choice(cluster.hosts).name
    seconds = rng.choice((1, 5, 30, 600))
    for _ in range(rng.choice((1, 1, 2))):
        cluster.users.ask(i.UpdateInstances("default", (host,), "DRAINING", max(1, seconds), "test"))
        seconds //= 2
    again = i.UpdateInstances("default", (host,), "ACTIVE")
    cluster.later(rng.choice((0.2, 5.0, 30.0)) * rng.random(), lambda: cluster.users.ask(again))


def interruption_notice(cluster: "Cluster", rng: Random) -> None:
    """A spot host gets its notice. Mostly it goes when its time is over, and comes back to be told that it is welcome;
    some are left alone."""
    host = rng.choice(cluster.hosts)
    seconds = rng.uniform(1.0, 15.0)
    host.get_notice(seconds)

    def go() -> None:
        host.notice = None
        if host.engine.up and rng.random() < 0.7:
            host.engine.host_dies()
            death, away = host.engine.deaths, rng.uniform(1.0, 30.0)
            cluster.later(away, lambda: host.engine.come_back_from(death, host_was_down=True))
            cluster.crash_agent(host, away, silently=True)
        again = i.UpdateInstances("default", (host.name,), "ACTIVE")
        cluster.later(rng.uniform(1.0, 30.0), lambda: cluster.users.ask(again))

    cluster.later(seconds, go)


STRIKES: dict[str, tuple[Strike, float]] = {  # the mean pause between two, in seconds, at full strength
    "cut": (cut, 4.0),
    "cut one way": (cut_one_way, 4.0),
    "scheduler crash": (scheduler_crash, 5.0),
    "agent crash": (agent_crash, 3.0),
    "scheduler pause": (scheduler_pause, 5.0),
    "agent pause": (agent_pause, 3.0),
    "double start": (double_start, 3.0),
    "etcd away": (etcd_away, 8.0),
    "lease revoked": (lease_revoked, 5.0),
    "lease kept": (lease_kept, 4.0),
    "etcd full": (etcd_full, 8.0),
    "etcd slow": (etcd_slow, 6.0),
    "compaction": (compaction, 1.0),
    "clock jump": (clock_jump, 4.0),
    "disk full": (disk_full, 5.0),
    "disk slow": (disk_slow, 5.0),
    "journal lost": (journal_lost, 6.0),
    "host dies": (host_dies, 10.0),
    "engine restart": (engine_restart, 5.0),
    "engine hangs": (engine_hangs, 8.0),
    "removed by hand": (removed_by_hand, 2.0),
    "foreign container": (foreign_container, 2.0),
    "burst": (burst, 6.0),
    "cancel race": (cancel_race, 4.0),
    "drain": (drain, 5.0),
    "deregister": (deregister, 6.0),
    "interruption": (interruption, 5.0),
    "interruption notice": (interruption_notice, 6.0),
}


def standing(cluster: "Cluster", rng: Random) -> None:
    """What is a state of the world as long as faults last."""
    plan, strength = cluster.plan, cluster.plan.strength
    network, members = cluster.network, cluster.members
    network.loss = 0.3 * strength if plan.has("loss") else 0.0
    network.slow = 0.2 * strength if plan.has("delay") else 0.0
    network.reset = 0.05 * strength if plan.has("reset") else 0.0
    cluster.users.repeats = 0.3 * strength if plan.has("repeated requests") else 0.0
    members.unknown = 0.7 * strength if plan.has("unknown outcome") else 0.0
    cluster.crash_chance = 0.02 * strength if plan.has("crash at persist") else 0.0
    for name in cluster.skews:
        cluster.skews[name] = rng.uniform(-600, 600) if plan.has("clock skew") else 0.0
    for host in cluster.hosts:
        host.engine.live_restore = rng.random() < 0.5
        troubles = host.engine.troubles
        troubles.reply_lost = 0.1 * strength if plan.has("reply lost") else 0.0
        troubles.start_fails = 0.2 * strength if plan.has("start fails") else 0.0
        troubles.stop_hangs = 0.3 * strength if plan.has("stop hangs") else 0.0
        troubles.image_missing = 0.3 * strength if plan.has("image missing") else 0.0
        troubles.silent_events = plan.has("silent events")


def schedule(cluster: "Cluster", rng: Random) -> None:
    for kind in cluster.plan.kinds:
        if kind in STRIKES:
            _next(cluster, rng, *STRIKES[kind], kind)


def _next(cluster: "Cluster", rng: Random, strike: Strike, pause: float, kind: str) -> None:
    moment = cluster.clock.now + rng.expovariate(cluster.plan.strength / pause)
    if moment >= cluster.plan.seconds:
        return

    def happen() -> None:
        cluster.trace.say("fault", kind)
        strike(cluster, rng)
        _next(cluster, rng, strike, pause, kind)

    cluster.clock.at(moment, happen)
