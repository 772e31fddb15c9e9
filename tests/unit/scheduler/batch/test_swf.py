"""Recorded logs: how they are read, and that the scheduler starts their jobs when the reference does."""

import gzip
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.load.swf import DATA, compare
from tests.load.swf_log import Log, LoggedJob, at_load, parse, read
from tests.load.swf_reference import first_come_first_served

TEXT = """\
; Version: 2.2
; MaxNodes: 8
;   MaxProcs:  16
; MaxProcs: 99 is said once
; Note: MaxProcs: 4

  2   10   -1   100    4   -1  -1   -1   -1 -1 1 1 1 -1 -1 -1 -1 -1
  1   10   -1     0    4   -1  -1   -1   -1 -1 1 1 1 -1 -1 -1 -1 -1
  3   -5    0    30   -1   -1  -1   16   60 -1 1 1 1 -1 -1 -1 -1 -1
  4   20    0    -1    4   -1  -1    4   60 -1 5 1 1 -1 -1 -1 -1 -1
  5   20    0    30   -1   -1  -1   -1   60 -1 1 1 1 -1 -1 -1 -1 -1
  6   20    0    30   17   -1  -1   -1   60 -1 1 1 1 -1 -1 -1 -1 -1
  7   25    0    2.6   1  0.5  -1    1   60 -1 1 1 1 -1 -1 -1 -1 -1
  8   30    0    3     2
"""


def test_a_log_is_read_by_the_rules() -> None:
    log = parse("some", TEXT.splitlines())
    assert log.processors == 16
    assert log.jobs == [
        LoggedJob(3, 0, 30, 16),
        LoggedJob(1, 10, 1, 4),
        LoggedJob(2, 10, 100, 4),
        LoggedJob(7, 25, 2, 1),
        LoggedJob(8, 30, 3, 2),
    ]
    assert log.left_out == {
        "run time not known": 1,
        "processors not known": 1,
        "more processors than the machine has": 1,
    }


@pytest.mark.parametrize(
    ("header", "processors"),
    [([], 17), (["; MaxNodes: 32"], 32), (["; MaxProcs: -1", "; MaxNodes: 32"], 32), (["; MaxProcs: 64"], 64)],
)
def test_the_machine_is_as_big_as_the_header_says_or_its_biggest_job(header: list[str], processors: int) -> None:
    assert parse("some", [*header, "1 0 -1 5 17"]).processors == processors


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["; MaxProcs: 4"], "there is no job in it"),
        (["1 0 -1"], "line 1: 3 fields, a job has 18"),
        ([";", "1 0 -1 much 4"], "line 2: all fields of a job are numbers"),
        (["1 0 -1 inf 4"], "line 1: all fields of a job are numbers"),
    ],
)
def test_what_is_no_log_is_said_to_be_none(lines: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse("some", lines)


def test_plain_and_packed_files_are_the_same_log(tmp_path: Path) -> None:
    plain, zipped, packed = (tmp_path / name for name in ("log.swf", "log.zip", "log.swf.gz"))
    plain.write_text(TEXT)
    packed.write_bytes(gzip.compress(TEXT.encode()))
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("folder/log.swf", TEXT)
        archive.writestr("README", "not a log")
    logs = [read(path)._replace(name="") for path in (plain, zipped, packed)]
    assert logs == [Log("", 16, logs[0].jobs, logs[0].left_out)] * 3
    with pytest.raises(SystemExit, match="is not there"):
        read(tmp_path / "none.swf")


def test_a_load_is_the_same_jobs_in_less_time() -> None:
    jobs = [LoggedJob(1, 100, 5, 1), LoggedJob(2, 130, 5, 1)]
    assert [job.submitted for job in at_load(jobs, 1.5)] == [0, 20]


def test_the_reference_lets_a_big_job_be_overtaken_so_often_and_no_more() -> None:
    jobs = [LoggedJob(1, 0, 10, 1), LoggedJob(2, 1, 10, 4), *(LoggedJob(3 + n, 2, 20, 1) for n in range(4))]
    assert first_come_first_served(jobs, 4, 100) == [0, 30, 2, 2, 2, 10]
    assert first_come_first_served(jobs, 4, 3) == [0, 22, 2, 2, 2, 32]
    assert first_come_first_served(jobs, 4, 0) == [0, 10, 20, 20, 20, 20]


@pytest.mark.skipif(not DATA.exists(), reason="the recorded log (shared/data/swf) is not beside this checkout")
@pytest.mark.parametrize(("first", "overtaking_max"), [(0, 100), (5_000, 100), (5_000, 3), (11_000, 0)])
def test_jobs_of_the_log_start_when_the_reference_starts_them(first: int, overtaking_max: int) -> None:
    log = read(DATA)
    assert (log.processors, len(log.jobs), log.left_out) == (128, 18_239, Counter())
    run = compare(log.jobs[first : first + 600], log.processors, 1.5, overtaking_max)
    assert run.reference.slowdown > 1, "nothing waits: the slice shows nothing"
    assert run.passes
    assert not run.different
