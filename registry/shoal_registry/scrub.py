"""`python -m shoal_registry.scrub`: reads every content of a store again, beside the registries that run on it.

Ends with 1 if something is damaged or cannot be read.
"""

import argparse
import asyncio
import sys
import time

from shoal_registry import configuration, leave
from shoal_registry.scrubbing import Finding, Pace, Report, Scrub, contents
from shoal_registry.storage.master_keys import KeyFileUnusable
from shoal_registry.storage.places import Place, is_there, opened
from shoal_registry.storage.protection import StartRefused, Wanted, note_all_encrypted, protected, read
from shoal_registry.storage.store import Store, StoreUnavailableError

PROGRESS_SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="shoal_registry.scrub", description=__doc__)
    configuration.add_store(parser)
    configuration.add_protection(parser)
    configuration.add_scrub_rate(parser)
    parser.add_argument("--encrypt", action="store_true", help="encrypts what is not, in a store that became encrypted")
    parser.add_argument("--json", action="store_true", help="the report for programs")
    given = parser.parse_args()
    if not is_there(given.store):
        sys.exit(f"There is no store {given.store}.")
    if given.encrypt and given.no_encryption:
        parser.error("--encrypt needs --master-key")
    wanted = configuration.wanted(parser, given, None)
    try:
        report = asyncio.run(_scrub_at(given.store, wanted, given.scrub_mib_per_second, given.encrypt))
    except (StartRefused, KeyFileUnusable, StoreUnavailableError) as refused:
        sys.exit(str(refused))
    print(report.document().decode() if given.json else described(report))
    if report.damaged or report.unreadable:
        sys.exit(1)


async def _scrub_at(place: Place, wanted: Wanted, mib_per_second: float, encrypts: bool) -> Report:
    async with opened(place) as kept:
        if await read(kept) is None:
            raise StartRefused(f"There is nothing in the store {place}.")
        return await _scrub(kept, wanted, mib_per_second, encrypts)


async def _scrub(kept: Store, wanted: Wanted, mib_per_second: float, encrypts: bool) -> Report:
    scrub, said = Scrub(await protected(kept, wanted), kept), time.monotonic()

    def progress(report: Report) -> None:
        nonlocal said
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            print(f"{report.contents} contents, {report.size >> 20} MiB read", file=sys.stderr, flush=True)

    report = await scrub.run(Pace(mib_per_second * 2**20), progress)
    if not encrypts:
        return report
    async for digest in contents(kept):
        report.plain -= await scrub.encrypt(digest)
    if not report.plain and not report.unreadable:
        await note_all_encrypted(kept)
    return report


def described(report: Report) -> str:
    """For people."""
    lines = [f"{report.contents} contents of {report.size >> 20} MiB read in {report.ended - report.began:.0f} s."]
    if report.plain:
        lines.append(f"{report.plain} of them are not encrypted.")
    for each in report.damaged:
        lines += [f"DAMAGED {each.digest}: {each.reason}", *_uses(each)]
    for each in report.unreadable:
        lines += [f"CANNOT BE READ {each.digest}: {each.reason}", *_uses(each)]
    if report.damaged:
        lines.append(
            "What is damaged was set aside, in `damaged` of the store. Pushing the same images again heals it."
        )
    return "\n".join(lines) if len(lines) > 1 else f"{lines[0]} All are whole."


def _uses(finding: Finding) -> list[str]:
    return [f"    used in {use.repository}: {', '.join(use.tags or use.manifests) or 'no tag'}" for use in finding.uses]


if __name__ == "__main__":
    leave.run(main)
