"""A stand-in for dockerd, called by the same command line: answers on its socket until it is told to end."""

import argparse
import signal
from pathlib import Path

from tests.fakes.engine import FakeEngine

parser = argparse.ArgumentParser()
parser.add_argument("--live-restore", action="store_true", required=True)
parser.add_argument("--host", required=True)
arguments = parser.parse_args()

path = Path(arguments.host.removeprefix("unix://"))
path.unlink(missing_ok=True)
engine = FakeEngine(path)
signal.signal(signal.SIGTERM, lambda *_: None)
signal.pause()
