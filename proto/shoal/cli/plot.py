"""A curve in a terminal, of block characters. Pure; imports nothing."""

from collections.abc import Callable, Sequence

EIGHTHS = " ▁▂▃▄▅▆▇█"


def plot(values: Sequence[float | None], height: int, label: Callable[[float], str]) -> list[str]:
    """Lines from the top to the bottom, a column for each value, and beside them what their heights mean.

    The bottom is 0, or the lowest value if that is below. None is what is not known: its column stays empty, while a
    value at the bottom has a line.

    >>> print("\\n".join(plot([0, 1, None, 4], 2, "{:g}".format)))
    4 ┤   █
    0 ┤▁▄ █
    """
    known = [value for value in values if value is not None]
    if not known:
        return []
    bottom, top = min(0.0, *known), max(0.0, *known)
    scale = (top - bottom) or 1.0
    heights = [None if value is None else max(1, round((value - bottom) / scale * height * 8)) for value in values]
    marks = {height - 1: label(top if known != [0.0] * len(known) else 1.0), 0: label(bottom)}
    width = max(map(len, marks.values()))
    return [
        f"{marks.get(line, '').rjust(width)} {'┤' if line in marks else '│'}"
        f"{''.join(_block(each, line) for each in heights)}".rstrip()
        for line in range(height - 1, -1, -1)
    ]


def _block(height: int | None, line: int) -> str:
    return " " if height is None else EIGHTHS[min(8, max(0, height - 8 * line))]


def fitted(values: Sequence[float | None], width: int) -> list[float | None]:
    """As many values as there are columns, at most: of each few that share one the mean, which is of those known.

    >>> fitted([1, 3, None, 5, None, None], 3)
    [2.0, 5.0, None]
    """
    if len(values) <= width:
        return list(values)
    shared = [values[column * len(values) // width : (column + 1) * len(values) // width] for column in range(width)]
    known = [[value for value in each if value is not None] for each in shared]
    return [sum(each) / len(each) if each else None for each in known]
