"""Short words for people: ids, ages, sizes. Pure; imports nothing."""

import datetime
from collections.abc import Iterable

SHORT_LENGTH = 8
SUBMISSION_LENGTH = 24
ID_LENGTH = 32


def short_instance(instance_id: str) -> str:
    return instance_id[:SHORT_LENGTH]


def short_task(task_id: str) -> str:
    """A task id is 24 digits of its submission and 8 of its number there: both, shortly.

    >>> short_task("5e1f90ab0000000000000000" + "00000011")
    '5e1f90ab-17'
    """
    if len(task_id) != ID_LENGTH:
        return task_id
    try:
        return f"{task_id[:SHORT_LENGTH]}-{int(task_id[SUBMISSION_LENGTH:], 16)}"
    except ValueError:
        return task_id


def matches(name: str, identifier: str) -> bool:
    """True if what a person typed names this id: a prefix of it, or its short form.

    >>> matches("5e1f90ab-17", "5e1f90ab0000000000000000" + "00000011")
    True
    >>> matches("5e1", "5e1f"), matches("e1", "5e1f")
    (True, False)
    """
    submission, dash, number = name.partition("-")
    if not dash:
        return bool(name) and identifier.startswith(name.lower())
    if not (number.isascii() and number.isdigit() and submission):
        return False
    return (
        identifier[:SUBMISSION_LENGTH].startswith(submission.lower())
        and identifier[SUBMISSION_LENGTH:] == f"{int(number):08x}"
    )


def could_be_id(name: str) -> bool:
    """True if it looks like an id, a prefix of one, or a task's short form."""
    submission, _, number = name.partition("-")
    digits = set("0123456789abcdef")
    return 0 < len(submission) <= ID_LENGTH and set(submission.lower()) <= digits and (not number or number.isdigit())


def age(then_millis: int, now_millis: int) -> str:
    """How long ago, in the two largest units that matter.

    >>> [age(0, seconds * 1000) for seconds in (0, 59, 61, 3600 + 120, 90000, 86400 * 12)]
    ['0s', '59s', '1m1s', '1h2m', '1d1h', '12d']
    """
    return span(max(0, now_millis - then_millis) / 1000)


def span(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 600:
        return f"{whole // 60}m{whole % 60}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60}m"
    if whole < 10 * 86400:
        return f"{whole // 86400}d{whole % 86400 // 3600}h"
    return f"{whole // 86400}d"


def moment(millis: int) -> str:
    """Local time, to the second."""
    when = datetime.datetime.fromtimestamp(millis / 1000, datetime.UTC).astimezone()
    return when.strftime("%Y-%m-%d %H:%M:%S %z")


def clock(millis: int) -> str:
    """Local time of day, to the millisecond; for lines that follow one another."""
    when = datetime.datetime.fromtimestamp(millis / 1000, datetime.UTC).astimezone()
    return f"{when:%H:%M:%S}.{millis % 1000:03d}"


def stamp(millis: int, now_millis: int) -> str:
    """The time of day, with the date if that was not today."""
    day = moment(millis)[:10]
    return clock(millis) if moment(now_millis).startswith(day) else f"{day} {clock(millis)}"


def mebibytes(mib: float) -> str:
    """
    >>> mebibytes(512), mebibytes(24576)
    ('512 MiB', '24 GiB')
    """
    return f"{mib / 1024:.3g} GiB" if mib >= 1024 else f"{mib:g} MiB"


def size(count: float) -> str:
    """Of bytes.

    >>> size(0), size(999), size(1536), size(40 * 1024**2), size(3 * 1024**4)
    ('0 B', '999 B', '1.5 KiB', '40 MiB', '3 TiB')
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    at = 0
    while count >= 999.5 and at < len(units) - 1:
        count, at = count / 1024, at + 1
    return f"{count:.3g} {units[at]}"


def printable(words: str) -> str:
    r"""What others wrote, without what would move the cursor, colour the screen or break the line.

    >>> printable("red \x1b[31m\nalert")
    'red ?[31m alert'
    """
    if words.isprintable():
        return words
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in words)


def plural(count: int, noun: str) -> str:
    """
    >>> plural(1, "task"), plural(1200, "task")
    ('1 task', '1,200 tasks')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def waiting(count: int, whole: int) -> str:
    """
    >>> waiting(1, 1), waiting(2, 5), waiting(5, 5)
    ('The task waits', '2 of 5 tasks wait', 'All 5 tasks wait')
    """
    if whole == 1:
        return "The task waits"
    return f"All {whole:,} tasks wait" if count == whole else f"{count:,} of {whole:,} tasks wait"


def sentence_list(words: Iterable[str], limit: int = 5) -> str:
    """
    >>> sentence_list("abcdefg", 3)
    'a, b, c and 4 more'
    """
    found = list(words)
    shown = ", ".join(found[:limit])
    return shown if len(found) <= limit else f"{shown} and {len(found) - limit:,} more"
