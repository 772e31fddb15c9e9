"""Reads a log in the Standard Workload Format, as the Parallel Workloads Archive has them: plain, .gz or .zip.

A line is a job: 18 numbers, of which these count: number, submit time, run time, processors that it got and that it
asked for; -1 stands for what is not known. Header lines begin with a semicolon. Rules for what is not as it should be:

- Processors are those it got; where they are not known, those it asked for. A job with neither is left out, and so is
  one whose run time is not known: most of them never started.
- A run time below a second counts as a second, and is not left out: such jobs are submitted and take a place in line.
- The machine has as many processors as `MaxProcs` says, or `MaxNodes` where there is none, or the biggest job asks for.
- A job that asks for more than the machine has is left out: no machine of that size could ever run it.
- Jobs come in the order of their submit times, and of their numbers where those are equal; a time before the log's
  start (below 0) counts as 0.
"""

import gzip
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

# Up to the last one that is read: some logs leave the rest away.
_FIELDS_MIN = 5
_HEADER = re.compile(r";\s*(\w+)\s*:\s*(-?\d+)\b")


class LoggedJob(NamedTuple):
    """Times in seconds."""

    number: int
    submitted: int
    run: int
    processors: int


class Log(NamedTuple):
    name: str
    processors: int
    jobs: list[LoggedJob]

    # By the reason: how many are left out.
    left_out: Counter[str]


def read(path: Path) -> Log:
    """Ends the program with a sentence where the file is no such log."""
    if not path.is_file():
        sys.exit(f"{path} is not there: give a file in the Standard Workload Format (.swf, .swf.gz or .zip)")
    try:
        return parse(path.name, _lines(path))
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"{path}: {error}")


def _lines(path: Path) -> list[str]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            logs = [name for name in names if name.lower().endswith(".swf")] or names
            if len(logs) != 1:
                raise ValueError(f"an archive of {len(logs)} logs, want one: unpack it and name the file")
            return archive.read(logs[0]).decode("latin-1").splitlines()
    content = path.read_bytes()
    return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("latin-1").splitlines()


def parse(name: str, lines: Iterable[str]) -> Log:
    """Raises ValueError, with the line."""
    header: dict[str, int] = {}
    found: list[LoggedJob] = []
    left_out: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith(";"):
            known = _HEADER.match(text)
            if known:
                header.setdefault(known[1].lower(), int(known[2]))
        elif text and not text.startswith("#"):
            job = _job(number, text.split())
            if isinstance(job, str):
                left_out[job] += 1
            else:
                found.append(job)
    if not found:
        raise ValueError("there is no job in it whose processors and run time are known")
    biggest = max(job.processors for job in found)
    processors = next((size for size in map(header.get, ("maxprocs", "maxnodes")) if size and size > 0), biggest)
    jobs = sorted((job for job in found if job.processors <= processors), key=lambda job: (job.submitted, job.number))
    left_out["more processors than the machine has"] += len(found) - len(jobs)
    return Log(name, processors, jobs, +left_out)


def _job(line: int, fields: list[str]) -> LoggedJob | str:
    """Or why it is left out."""
    if len(fields) < _FIELDS_MIN:
        raise ValueError(f"line {line}: {len(fields)} fields, a job has 18")
    try:
        number, submitted, _, run, got, *rest = (int(float(field)) for field in _known(fields))
    except (ValueError, OverflowError):
        raise ValueError(f"line {line}: all fields of a job are numbers") from None
    asked = rest[2] if len(rest) > 2 else -1
    processors = got if got > 0 else asked
    if processors <= 0:
        return "processors not known"
    if run < 0:
        return "run time not known"
    return LoggedJob(number, max(0, submitted), max(1, run), processors)


def _known(fields: list[str]) -> Iterator[str]:
    return iter(fields[:8])


def at_load(jobs: Iterable[LoggedJob], factor: float) -> list[LoggedJob]:
    """The same jobs, arriving so many times as fast, from the first one's time on."""
    listed = list(jobs)
    start = listed[0].submitted if listed else 0
    return [job._replace(submitted=int((job.submitted - start) / factor)) for job in listed]
