"""Series over a restart of the scheduler: one file, written whole beside the old one and then put in its place, with a
checksum of every array. A file that is not whole, or of another version, is left aside: history is no state.
"""

import asyncio
import io
import json
import logging
import os
import zipfile
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np

from shoal_scheduler.metrics.frames import Table
from shoal_scheduler.metrics.store import Metric, Metrics

log = logging.getLogger(__name__)

VERSION = 1
PERIOD_SECONDS = 300.0

# What would make the file larger is not kept: of a very large cluster, what its tasks and then its instances used.
BYTES_MAX = 128 * 1024 * 1024
PUT = "put"


async def keep(metrics: Metrics, path: Path) -> None:
    """Again and again, and once more when it is ended. What cannot be written is told, and tried again."""
    try:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            if metrics.nbytes:
                await asyncio.to_thread(_write_or_tell, path, content_of(metrics))
    finally:
        if metrics.nbytes:
            _write_or_tell(path, content_of(metrics))


def _write_or_tell(path: Path, content: dict[str, Any]) -> None:
    try:
        write(path, content)
    except OSError as error:
        log.error("metrics are not kept path=%s error=%s", path, error)


def content_of(metrics: Metrics) -> dict[str, Any]:
    """Copies, so that they can be written while new samples come."""
    arrays: dict[str, Any] = {}
    about: dict[str, Any] = {"version": VERSION, "tables": {}, "units": []}
    room = BYTES_MAX
    for name, table in _tables(metrics).items():
        room -= table.nbytes
        if room < 0:
            break
        about["tables"][name] = {**_shape(table), "keys": list(table.rows)}
        arrays |= {f"{name}/{part}": array for part, array in table.arrays().items()}
    about["units"] = list(metrics.units.items())
    return arrays | {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}


def write(path: Path, content: dict[str, Any]) -> None:
    """Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        np.savez(file, **content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read(path: Path) -> Metrics:
    """Empty if there is no file, or none that can be used."""
    try:
        return _restored(path.read_bytes())
    except FileNotFoundError:
        return Metrics()
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        log.warning("metrics begin anew: the file cannot be used path=%s error=%s", path, error)
        return Metrics()


def _restored(data: bytes) -> Metrics:
    metrics = Metrics()
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        if about["version"] != VERSION:
            raise ValueError(f"it is of version {about['version']}")
        for name, table in _tables(metrics).items():
            known = about["tables"].get(name)
            if known is None or {key: known[key] for key in _shape(table)} != _shape(table):
                continue  # what it measures, or how long, is another program's
            prefix = f"{name}/"
            parts = {each.removeprefix(prefix): arrays[each] for each in arrays.files if each.startswith(prefix)}
            table.restore([_key(name, key) for key in known["keys"]], parts)
        metrics.units.update({_metric(key): str(unit) for key, unit in about["units"]})
    return metrics


def _tables(metrics: Metrics) -> dict[str, Table]:
    """The most valued first."""
    names = ("cluster", "group", "instance", "instance traffic", "task")
    return {PUT: metrics.put} | {name: metrics.tables[name] for name in names}


def _shape(table: Table) -> dict[str, Any]:
    return {"columns": list(table.columns), "tiers": [list(tier) for tier in table.tiers]}


def _key(table: str, key: Any) -> Hashable:
    """JSON has lists for tuples."""
    if table == PUT:
        return _metric(key)
    return key if isinstance(key, str) else tuple(key)


def _metric(key: Any) -> Metric:
    namespace, name, dimensions = key
    return Metric(namespace, name, tuple((each, value) for each, value in dimensions))
