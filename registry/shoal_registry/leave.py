"""How every program of the registry ends.

The client of S3 has threads of its own. One of them that comes back to Python while the interpreter is being taken down
aborts the process (SIGABRT) after all is done, and the program seems to have failed. So nothing is taken down: what was
said is written out, and the process is over.
"""

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

INTERRUPTED = 130


def run(main: Callable[[], None]) -> NoReturn:
    """Runs the program and ends the process, with the exit code that Python would give."""
    code = _code_of(main)
    with contextlib.suppress(OSError):  # whoever listened has gone
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _code_of(main: Callable[[], None]) -> int:
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
