"""`python -m shoal_registry.collect`: collects garbage once, beside the registries on a store, or says what would go.

Ends with 1 if a step failed; the next collection tries it again.
"""

import argparse
import asyncio
import json
import logging
import sys
from dataclasses import asdict

from shoal_registry import configuration, leave
from shoal_registry.garbage import Collector, Report
from shoal_registry.links import Links
from shoal_registry.repositories import Repositories
from shoal_registry.storage.master_keys import KeyFileUnusable
from shoal_registry.storage.places import Place, is_there, opened
from shoal_registry.storage.protection import StartRefused, Wanted, protected
from shoal_registry.storage.store import StoreUnavailableError


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(prog="shoal_registry.collect", description=__doc__)
    configuration.add_store(parser)
    configuration.add_protection(parser)
    configuration.add_garbage_grace(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would go now, and remove nothing")
    parser.add_argument("--json", action="store_true", help="the report for programs")
    given = parser.parse_args()
    if not is_there(given.store):
        sys.exit(f"There is no store {given.store}.")
    wanted = configuration.wanted(parser, given, None)
    try:
        report = asyncio.run(_collect(given.store, wanted, given.garbage_grace_seconds, given.dry_run))
    except (StartRefused, KeyFileUnusable, StoreUnavailableError) as refused:
        sys.exit(str(refused))
    print(json.dumps(asdict(report)) if given.json else described(report))
    if report.failed:
        sys.exit(1)


async def _collect(place: Place, wanted: Wanted, grace_seconds: float, is_dry: bool) -> Report:
    async with opened(place) as kept:
        store = await protected(kept, wanted)
        repositories = Repositories(store, Links(store, grace_seconds))
        return await Collector(store, repositories, grace_seconds).collect(is_dry)


def described(report: Report) -> str:
    """For people."""
    went, size = ("Would go" if report.is_dry else "Went"), f"{report.bytes / 2**20:.1f} MiB"
    lines = [
        f"{report.repositories} repositories.",
        f"{went}: {report.contents} contents of {size}, {report.links} links of blobs that no manifest needs, "
        f"{report.entries} entries about what is not there.",
        f"Nothing leads to {report.waiting_contents} more contents of {report.waiting_bytes / 2**20:.1f} MiB, whose "
        "grace is not over.",
    ]
    if report.strange:
        lines.append(f"{report.strange} names in the store are none of the registry's: they stay.")
    if report.failed:
        lines.append(f"{report.failed} steps failed: the next collection tries them again.")
    return "\n".join(lines)


if __name__ == "__main__":
    leave.run(main)
