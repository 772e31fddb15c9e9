"""What the agent costs with a hundred tasks on its instance that have nothing to do.

    python -m tests.load.crowded [--quick] [--json FILE]

Goals: at most 120 MiB of memory and 3 % of a core. The engine's own share is shown beside it.
"""

import asyncio
from dataclasses import dataclass

import psutil

from tests.load import sleepers
from tests.load.report import arguments, show, store

FAMILY = "crowd"
RSS_MIB_MAX = 120
CORE_SHARE_MAX = 0.03
SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Used:
    rss_mib: float
    cores: float


async def main() -> None:
    options = arguments(__doc__).parse_args()
    tasks, seconds = (10, 10.0) if options.quick else (100, 120.0)
    async with sleepers.ground() as (client, _, cluster, engine):
        await sleepers.register(client, FAMILY, "none")
        ids = await sleepers.run(client, FAMILY, tasks)
        await sleepers.all_run(client, ids)
        await asyncio.sleep(SETTLE_SECONDS)
        agent, dockerd = await asyncio.gather(*(watch(pid, seconds) for pid in (cluster.pid("agent"), engine.pid)))
        await sleepers.stop(client, ids)
    rows = [
        ("agent", agent.rss_mib, agent.cores, f"<={RSS_MIB_MAX} MiB, <={CORE_SHARE_MAX}"),
        ("dockerd", dockerd.rss_mib, dockerd.cores, ""),
    ]
    show(f"{tasks} idle tasks on one instance, over {seconds:g} s", ("", "RSS MiB", "cores", "goal"), rows)
    figures = {name: {"rss_mib": rss_mib, "cores": cores} for name, rss_mib, cores, _ in rows}
    store(options.json, {"tasks": tasks, "seconds": seconds, **figures})


async def watch(pid: int, seconds: float) -> Used:
    """Its share of a core over that time, and its memory at the end."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    await asyncio.sleep(seconds)
    after = process.cpu_times()
    used_seconds = after.user + after.system - before.user - before.system
    return Used(process.memory_info().rss / 2**20, used_seconds / seconds)


if __name__ == "__main__":
    asyncio.run(main())
