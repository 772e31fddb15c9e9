"""The pure parts of logs: lines in parts, places and going on from one, what is missing."""

from hypothesis import given
from hypothesis import strategies as st
from shoal_agent.engine.lines import LINE_BYTES_MAX, PART_BYTES, LineReader
from shoal_agent.engine.log_position import NOTICE, Position, Resumption, following, parse_position
from shoal_agent.engine.port import LogLine
from shoal_agent.logs.loss import Held, Measure, missing_at_the_beginning
from shoal_agent.logs.pace import Pace

STAMP = b"2026-11-23T13:07:01.704832546Z "
MOMENT = 1795439221704832546
SECOND = 1_000_000_000


def frame(text: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def test_a_long_lines_parts_are_one_line() -> None:
    part, reader = b"x" * PART_BYTES, LineReader(tty=False)
    raw = frame(STAMP + part) + frame(STAMP + b"err\n", 2) + frame(STAMP + part) + frame(STAMP + b"end\n")
    assert [(line.stream, line.text) for line in reader.feed(raw)] == [
        ("stderr", b"err"),
        ("stdout", part * 2 + b"end"),
    ]
    assert list(reader.flush()) == []


def test_a_line_without_an_end_is_cut_in_pieces_that_memory_can_hold() -> None:
    part, reader = b"x" * PART_BYTES, LineReader(tty=False)
    found = [line for _ in range(40) for line in reader.feed(frame(STAMP + part))] + list(reader.flush())
    assert b"".join(line.text for line in found) == part * 40
    assert max(len(line.text) for line in found) <= LINE_BYTES_MAX + PART_BYTES


def test_a_terminals_long_line_is_one_line() -> None:
    part = b"x" * PART_BYTES
    (line,) = LineReader(tty=True).feed(STAMP + part + STAMP + part + STAMP + b"end\r\n")
    assert line.text == part * 2 + b"end"


def test_a_moment_is_exact() -> None:
    (line,) = LineReader(tty=False).feed(frame(STAMP + b"a\n"))
    assert line.moment == MOMENT and line.at == MOMENT // 1_000_000


def output(moments: list[int]) -> list[LogLine]:
    return [LogLine("stdout", m // 1_000_000, str(number).encode(), m) for number, m in enumerate(moments)]


# Nearly in order, and several at the same moment.
moments = st.lists(st.integers(0, 30), min_size=1, max_size=40).map(
    lambda steps: [MOMENT + sum(steps[: at + 1]) // 3 * 1000 - (7000 if at % 5 == 4 else 0) for at in range(len(steps))]
)


@given(moments, st.data())
def test_going_on_from_any_line_gives_what_comes_after_it(found: list[int], data: st.DataObject) -> None:
    lines, places = output(found), list[Position]()
    for line in lines:
        places.append(following(places[-1] if places else None, line))
    at = data.draw(st.integers(0, len(lines) - 1))
    resumption = Resumption(parse_position(str(places[at])) or places[at])
    again = [each for line in lines if line.moment >= places[at].since * 1e9 for each in resumption.feed(line)]
    first_such = places.index(places[at])  # the same moment may come twice: then from the first
    assert [*again, *resumption.flush()] == lines[first_such + 1 :]


def test_a_place_that_is_gone_is_told_with_how_much_is() -> None:
    lines = output([MOMENT + 5 * SECOND, MOMENT + 6 * SECOND])
    resumption = Resumption(Position(MOMENT, 1))
    told, *rest = [each for line in lines for each in resumption.feed(line)]
    assert told.stream == NOTICE and b"5.0 s is missing" in told.text and rest == lines


def test_a_place_that_is_gone_just_before_what_is_left() -> None:
    lines = output([MOMENT + SECOND // 2])
    resumption = Resumption(Position(MOMENT, 1))
    assert list(resumption.feed(lines[0])) == []
    told, rest = resumption.flush()
    assert told.stream == NOTICE and rest == lines[0]


def test_no_position() -> None:
    for text in ("", "x", "1", "1.", "1.2.3", "-1.1", "9" * 30 + ".1"):
        assert parse_position(text) is None


MIB = 1024 * 1024


def test_what_the_engine_dropped_is_told_by_its_time_and_rate() -> None:
    held = Held(25 * MIB, MOMENT + 100 * SECOND, MOMENT + 101 * SECOND)
    told = missing_at_the_beginning(held, MOMENT // 1_000_000, 30 * MIB)
    assert told is not None and told.stream == NOTICE
    words = b"output of the first 100.0 s is missing here, about 2.4 GiB: the instance keeps the last 30 MiB"
    assert words in told.text


def test_nothing_is_missing() -> None:
    start = MOMENT // 1_000_000
    later = MOMENT + 100 * SECOND
    assert missing_at_the_beginning(Held(5 * MIB, later, later + SECOND), start, 30 * MIB) is None  # no file was full
    assert missing_at_the_beginning(Held(25 * MIB, MOMENT, later), start, 30 * MIB) is None  # it begins at the start
    assert missing_at_the_beginning(Held(25 * MIB, later, later + SECOND), start, None) is None  # nothing is dropped
    slow = Held(25 * MIB, MOMENT + SECOND, MOMENT + 3600 * SECOND)
    assert missing_at_the_beginning(slow, start, 30 * MIB) is None


@given(st.lists(st.integers(1, 90), max_size=30))
def test_a_measure_needs_no_whole_frames(cuts: list[int]) -> None:
    last = b"2026-11-23T13:07:09.704832546Z end\n"
    raw = frame(STAMP + b"one\n") + frame(STAMP + b"y" * 200 + b"\n") + frame(last)
    measure, size = Measure(), len(raw)
    for cut in [*cuts, len(raw)]:
        measure.feed(raw[:cut])
        raw = raw[cut:]
    assert measure.held == Held(size, MOMENT, MOMENT + 8 * SECOND)


def paced(lines_per_second: int, file_bytes: float | None = 10 * MIB) -> Pace:
    pace = Pace(file_bytes)
    for number in range(2000):
        moment = MOMENT + number * SECOND // lines_per_second
        pace.note(LogLine("stdout", moment // 1_000_000, b"x" * 920, moment))
    return pace


def test_how_old_a_line_may_be_depends_on_how_fast_they_come() -> None:
    assert paced(100_000).too_much(SECOND // 10) and not paced(100_000).too_much(SECOND // 100)
    assert not paced(1000).too_much(SECOND) and paced(1000).too_much(10 * SECOND)
    assert not paced(100_000, None).too_much(1000 * SECOND)
    assert not Pace(MIB).too_much(1000 * SECOND)


def test_a_sudden_burst_is_noticed() -> None:
    pace, moment = paced(10), MOMENT + 1000 * SECOND
    for number in range(200):
        pace.note(LogLine("stdout", 0, b"x" * 920, moment + number * 10_000))
    assert pace.too_much(SECOND)
