"""The terminal that this program was started in: its size, and its raw mode."""

import contextlib
import os
import termios
import tty
from collections.abc import Iterator


def is_terminal(file: int) -> bool:
    """False if it is closed."""
    try:
        return os.isatty(file)
    except OSError:
        return False


def size(*files: int) -> tuple[int, int]:
    """Rows and columns of the first of them that is a terminal; zeros if none is."""
    for file in files:
        try:
            columns, rows = os.get_terminal_size(file)
        except OSError:
            continue
        return rows, columns
    return 0, 0


@contextlib.contextmanager
def raw(file: int) -> Iterator[None]:
    """Every key goes through as it is typed, Ctrl-C too. Restored whichever way this is left."""
    before = termios.tcgetattr(file)
    try:
        tty.setraw(file, termios.TCSADRAIN)
        yield
    finally:
        # Without waiting for output: whoever reads it may be gone.
        termios.tcsetattr(file, termios.TCSANOW, before)
