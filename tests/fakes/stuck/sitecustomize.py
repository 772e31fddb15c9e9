"""On the path of a program, makes it one whose loop gets stuck: on SIGUSR1 its main thread sleeps.

For as many seconds as the file says that $STUCK_SECONDS_FILE names; then it goes on as if nothing had been.
"""

import os
import signal
import time
from pathlib import Path


def _sleep(_number: int, _frame: object) -> None:
    time.sleep(float(Path(os.environ["STUCK_SECONDS_FILE"]).read_text()))


signal.signal(signal.SIGUSR1, _sleep)
