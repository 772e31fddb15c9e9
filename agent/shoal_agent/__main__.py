"""`python -m shoal_agent`: starts the agent and keeps it until SIGTERM, which leaves every container running."""

import argparse
import asyncio
import gc
import logging
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shoal.joining.identity import IdentityFiles
from shoal.rpc import Credentials, Identity

from shoal_agent import VERSION, lease_file
from shoal_agent.certificate_renewal import Renewal
from shoal_agent.configuration import BadConfiguration, Configuration, load
from shoal_agent.definition.labels import Owner
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.fingerprint import Fingerprint, fingerprint, look
from shoal_agent.identity import NotAnAgent, identity_of
from shoal_agent.images.cleaner import ImageCleaner
from shoal_agent.images.cluster_registry import ClusterRegistry, folder_of_authorities
from shoal_agent.images.held import HeldImages
from shoal_agent.images.pulling import Puller
from shoal_agent.images.records import ImageRecords
from shoal_agent.interruption import HostInterruption
from shoal_agent.interruption_notice import NoticeWatch
from shoal_agent.lease import Lease
from shoal_agent.life.case import Surroundings
from shoal_agent.life.cgroup import Cgroups
from shoal_agent.life.verdict import EngineStart
from shoal_agent.logs.store import LogStore
from shoal_agent.memory import record
from shoal_agent.memory.journal import Journal, StateInUse
from shoal_agent.metadata.endpoint import Metadata
from shoal_agent.metadata.protection import TaskProtection
from shoal_agent.metrics.listener import MetricsListener
from shoal_agent.metrics.sampler import Sampler
from shoal_agent.networks.namespaces import KernelNamespaces
from shoal_agent.networks.ready import ReadyNetworks
from shoal_agent.reporter import Reporter
from shoal_agent.session import Caller, Session
from shoal_agent.slots import Pulls, Slots
from shoal_agent.watch import Watch
from shoal_agent.watchdog_keeper import WatchdogKeeper
from shoal_agent.worker import Worker

log = logging.getLogger("shoal_agent")

# How long the first session waits for the engine to show what it has.
ENGINE_SECONDS = 5.0
OOM_SCORE = -900


def main() -> int:
    arguments = _parser().parse_args()
    level = logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        rules = load(arguments.config)
        credentials = Credentials.load(arguments.authority, arguments.certificate, arguments.key)
        identity = identity_of(credentials.certificate)
        journal = Journal(arguments.state)
        log_store = LogStore(arguments.state / "logs", rules.log_host_mib * 1024**2, rules.log_keep_seconds)
        host = fingerprint(look(arguments.state), rules)
    except (BadConfiguration, NotAnAgent, StateInUse, OSError) as error:
        log.error("cannot start reason=%s", error)
        return 2
    _protect()
    import uvloop

    try:
        uvloop.run(_serve(arguments, rules, host, credentials, identity, journal, log_store))
    finally:
        journal.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("shoal_agent", description="Runs the tasks that a scheduler assigns to this host.")
    parser.add_argument(
        "--scheduler",
        required=True,
        action="append",
        metavar="HOST:PORT[,...]",
        help="every scheduler, in any order; may be given several times",
    )
    parser.add_argument("--state", required=True, type=Path, help="a folder of this agent's own")
    parser.add_argument("--authority", required=True, type=Path, help="the cluster's authority (PEM)")
    parser.add_argument("--certificate", required=True, type=Path, help="this agent's certificate (PEM)")
    parser.add_argument("--key", required=True, type=Path, help="its key (PEM)")
    parser.add_argument("--renew-at", metavar="HOST:PORT[,...]", help="HTTPS of schedulers that renew the certificate")
    parser.add_argument("--docker-host", default="unix:///var/run/docker.sock", help="the engine's address")
    parser.add_argument("--config", type=Path, help="what this host gives to tasks (TOML)")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--version", action="version", version=VERSION)
    return parser


async def _serve(
    arguments: argparse.Namespace,
    rules: Configuration,
    host: Fingerprint,
    credentials: Credentials,
    identity: Identity,
    journal: Journal,
    log_store: LogStore,
) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    incarnation = max(journal.memory.incarnation + 1, time.time_ns() // 1_000_000)
    await journal.append(record.incarnation(incarnation))
    records = ImageRecords(arguments.state)
    lease = Lease(arguments.state / lease_file.FILE)
    files = IdentityFiles(arguments.authority, arguments.certificate, arguments.key)
    registry = ClusterRegistry(arguments.state, files, folder_of_authorities(arguments.docker_host))
    around = _surroundings(arguments.docker_host, rules, identity, journal, log_store, records, lease, registry)
    keeper = _watchdog_keeper(arguments, rules, around)
    remembered = [task.as_task(task_id) for task_id, task in journal.memory.tasks.items()]
    worker = Worker(around, remembered)
    watch = Watch(around, worker)
    protection = TaskProtection()
    metadata = Metadata(arguments.state, around, worker, protection)
    port = await metadata.open()
    host = replace(host, ports=tuple(sorted({*host.ports, port})))
    cleaner = ImageCleaner(around, worker, records)
    caller = Caller(credentials, incarnation, host, secrets.token_hex(16))
    sampler = Sampler(around, worker)
    images = HeldImages(around.engine, records)
    name = f"{identity.name} ({host.hostname})"
    interruption = HostInterruption(name, worker.interrupt, lease.clock)
    endpoints = ",".join(arguments.scheduler).split(",")
    session = Session(endpoints, caller, around, worker, watch, sampler, images, interruption, protection)
    log.info("agent began instance=%s version=%s tasks=%d", identity.name, VERSION, len(remembered))
    beside = (_renewal(arguments, session), _listener(arguments, rules, sampler), _notices(rules, interruption))
    work = asyncio.create_task(
        _work(around, watch, worker, session, metadata, cleaner, sampler, images, keeper, beside)
    )
    end = asyncio.create_task(ending.wait())
    await asyncio.wait({work, end}, return_when=asyncio.FIRST_COMPLETED)
    for task in (work, end):
        task.cancel()
    await asyncio.wait({work, end})
    if keeper is not None and not worker.has_exclusive:
        keeper.end()
    await metadata.close()
    await session.close()
    await worker.close()
    if around.networks is not None:
        await around.networks.close()
    await around.pulls.close()
    await around.log_store.close()
    await around.engine.close()
    log.info("agent ended")
    if not work.cancelled():
        work.result()


def _listener(arguments: argparse.Namespace, rules: Configuration, sampler: Sampler) -> MetricsListener | None:
    if rules.metrics_listen is None:
        return None
    return MetricsListener(rules.metrics_listen, arguments.authority, arguments.certificate, arguments.key, sampler)


def _notices(rules: Configuration, interruption: HostInterruption) -> NoticeWatch | None:
    return NoticeWatch(rules.interruption_notice, interruption.found) if rules.interruption_notice else None


def _renewal(arguments: argparse.Namespace, session: Session) -> Renewal | None:
    """None for an agent whose certificate somebody else looks after."""
    if not arguments.renew_at:
        return None
    files = IdentityFiles(arguments.authority, arguments.certificate, arguments.key)
    return Renewal(files, arguments.renew_at.split(","), session.renewed)


def _watchdog_keeper(
    arguments: argparse.Namespace, rules: Configuration, around: Surroundings
) -> WatchdogKeeper | None:
    if not rules.watchdog:
        return None
    keeper = WatchdogKeeper(arguments.state, arguments.docker_host, around.owner)
    around.guarded = lambda: keeper.runs
    return keeper


async def _work(
    around: Surroundings,
    watch: Watch,
    worker: Worker,
    session: Session,
    metadata: Metadata,
    cleaner: ImageCleaner,
    sampler: Sampler,
    images: HeldImages,
    keeper: WatchdogKeeper | None,
    beside: Sequence[Renewal | MetricsListener | NoticeWatch | None],
) -> None:
    async with asyncio.TaskGroup() as group:
        for each in beside:
            if each is not None:
                group.create_task(each.run())
        if keeper is not None:
            group.create_task(keeper.run())
        group.create_task(cleaner.run())
        group.create_task(watch.run())
        group.create_task(around.log_store.run())
        group.create_task(around.lease.run(worker.lease_over))
        group.create_task(metadata.run())
        group.create_task(_tidy(around, watch, worker))
        if around.networks is not None:
            group.create_task(around.networks.run(_settled(watch, worker)))
        # The first inventory should be whole, but an engine that is down must not keep the agent silent.
        try:
            async with asyncio.timeout(ENGINE_SECONDS):
                await watch.wait_up()
                await worker.settled()
                if keeper is not None:
                    await keeper.up()
        except TimeoutError:
            log.warning("not seen yet: the engine, or the watchdog")
        # What was imported lives as long as the process: not to be walked through by every collection.
        gc.collect()
        gc.freeze()
        group.create_task(sampler.run())
        group.create_task(images.run())
        group.create_task(session.end_left_commands())
        group.create_task(session.run())


async def _settled(watch: Watch, worker: Worker) -> None:
    await watch.wait_up()
    await worker.settled()


async def _tidy(around: Surroundings, watch: Watch, worker: Worker) -> None:
    """Removes what agents before this one left of tasks that nobody knows any more."""
    await _settled(watch, worker)
    await asyncio.to_thread(around.cgroups.keep_only, worker.task_ids)


def _surroundings(
    docker_host: str,
    rules: Configuration,
    identity: Identity,
    journal: Journal,
    log_store: LogStore,
    records: ImageRecords,
    lease: Lease,
    registry: ClusterRegistry,
) -> Surroundings:
    engine = DockerEngine(docker_host)
    owner = Owner(identity.cluster, identity.name, journal.memory.epoch)
    # A create is a tenth of a start's work: apart, so that in a crowd the first starts need not wait for the last
    # create.
    creates, starts = Slots(max(1, rules.concurrent_starts // 2)), Slots(rules.concurrent_starts)
    pulls = Pulls(engine, rules.concurrent_pulls, Puller(engine, rules, records, registry))
    return Surroundings(
        engine=engine,
        journal=journal,
        lease=lease,
        log_store=log_store,
        reporter=Reporter(),
        rules=rules,
        owner=owner,
        creates=creates,
        starts=starts,
        pulls=pulls,
        networks=ReadyNetworks(engine, owner, rules.ready_networks, pulls, creates, starts, KernelNamespaces()),
        registry=registry,
        pulled_before=records.names,
        engine_trouble=asyncio.Event(),
        engine_start=EngineStart(),
        cgroups=Cgroups(identity.name),
    )


def _protect() -> None:
    """When memory runs out, the kernel should choose a task rather than the agent. Containers are the engine's
    children and inherit nothing from here; without the right to do it, nothing is done."""
    try:
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    except OSError as error:
        log.debug("not protected reason=%s", error)


if __name__ == "__main__":
    sys.exit(main())
