"""What every test may ask for. All of it is made when first asked for and ended when the tests are over."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ground import engine as engines
from tests.ground import etcd, images, s3, sweep
from tests.ground.certificates import Certificates
from tests.ground.cluster import Cluster
from tests.ground.control_plane import ControlPlane
from tests.ground.engine import Engine
from tests.ground.etcd import EtcdServer
from tests.ground.s3 import S3Server

EngineFactory = Callable[[], Engine]
EtcdFactory = Callable[[], EtcdServer]
ClusterFactory = Callable[..., Cluster]
ControlPlaneFactory = Callable[..., ControlPlane]


def demand(lacking: str) -> None:
    """Skips, saying why, on a machine that cannot; a machine that calls itself CI has to be able to."""
    if not lacking:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(lacking)
    pytest.skip(lacking)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs an engine or etcd by the fixtures it asks for."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "engine_factory" in names:
            item.add_marker("engine")
        if not {"etcd_factory", "shared_etcd", "control_plane_factory", "cluster_factory"}.isdisjoint(names):
            item.add_marker("etcd")


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """This run's folder. A short path: sockets lie in it, and theirs may have 107 characters."""
    named = os.environ.get("SHOAL_TEST_FOLDER")
    folder = Path(named) if named else Path(tempfile.mkdtemp(prefix="shoal-", dir="/tmp"))
    folder.mkdir(exist_ok=True)
    yield folder
    sweep.sweep(folder)


@pytest.fixture
def short_folder(ground: Path) -> Path:
    """A new folder with a short path, where sockets may lie."""
    return Path(tempfile.mkdtemp(dir=ground))


@pytest.fixture(scope="session")
def engine_factory(ground: Path) -> Iterator[EngineFactory]:
    """Makes engines that do not run yet: start them with or without live-restore, kill them, start them again."""
    demand(engines.missing())
    made: list[Engine] = []

    def make() -> Engine:
        made.append(engines.make_engine(ground / f"engine{len(made)}"))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture(scope="session")
def engine(engine_factory: EngineFactory) -> Engine:
    """The engine that all tests share, without live-restore. Whoever kills it starts it again."""
    shared = engine_factory()
    shared.start()
    return shared


@pytest.fixture(scope="session")
def docker_host(engine: Engine) -> str:
    """The shared engine's address, `unix:///…`."""
    return engine.host


@pytest.fixture(scope="session")
def busybox_image(engine: Engine) -> str:
    """The tag of an image on the shared engine with every applet of busybox in /bin, httpd among them."""
    demand("" if shutil.which("busybox") else "not installed: busybox-static")
    images.import_busybox(engine)
    return images.BUSYBOX


@pytest.fixture(scope="session")
def web_images(engine: Engine) -> dict[str, images.WebImage]:
    """nginx, tomcat and gunicorn on the shared engine, under the tags that published task definitions name."""
    demand(images.missing(images.WEB))
    images.import_web_images(engine)
    return images.WEB_IMAGES


@pytest.fixture(scope="session")
def data_images(engine: Engine) -> dict[str, images.DataImage]:
    """redis and postgresql on the shared engine; both keep their data in /data."""
    demand(images.missing(images.DATA))
    images.import_data_images(engine)
    return images.DATA_IMAGES


@pytest.fixture(scope="session")
def certificates(ground: Path) -> Certificates:
    return Certificates(ground / "certificates")


@pytest.fixture
def etcd_factory(tmp_path: Path, certificates: Certificates) -> Iterator[EtcdFactory]:
    """Starts etcd servers, each empty; kill one and start it again on the same data."""
    demand(etcd.missing())
    made: list[EtcdServer] = []

    def make() -> EtcdServer:
        server = EtcdServer(tmp_path / f"etcd{len(made)}", certificates)
        made.append(server)
        server.start()
        return server

    yield make
    for each in made:
        each.end()


@pytest.fixture
def etcd_server(etcd_factory: EtcdFactory) -> EtcdServer:
    """A running, empty etcd that demands certificates."""
    return etcd_factory()


@pytest.fixture(scope="module")
def shared_etcd(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[EtcdServer]:
    """A running etcd that the tests of a module share: whoever wants it empty empties it."""
    demand(etcd.missing())
    server = EtcdServer(tmp_path_factory.mktemp("etcd"), certificates)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def control_plane_factory(tmp_path: Path, certificates: Certificates) -> Iterator[ControlPlaneFactory]:
    """Starts control planes: `control_plane_factory(schedulers=2, members=3)`, and what else ControlPlane takes."""
    demand(etcd.missing())
    made: list[ControlPlane] = []

    def make(**wanted: Any) -> ControlPlane:
        plane = ControlPlane(tmp_path / f"plane{len(made)}", certificates, **wanted)
        made.append(plane)
        plane.start()
        return plane

    yield make
    for each in made:
        each.end()


@pytest.fixture(scope="session")
def cluster_factory(ground: Path, engine: Engine) -> Iterator[ClusterFactory]:
    """Brings up clusters: `cluster_factory()` on the shared engine, or on another one: `engine=…`.

    With `engine=…, owned=True` it is `shoal up` that starts that engine and keeps it, with live-restore.
    """
    demand(etcd.missing())
    made: list[Cluster] = []

    def make(engine: Engine = engine, owned: bool = False, name: str = "default") -> Cluster:
        folder = ground / f"cluster{len(made)}"
        if owned:
            up = Cluster(folder, engine.host, dockerd_options=engine.options(), name=name)
        else:
            up = Cluster(folder, engine.host, engine, name=name)
        made.append(up)
        up.up()
        return up

    yield make
    for each in made:
        each.end()


@pytest.fixture(scope="session")
def shared_cluster(cluster_factory: ClusterFactory) -> Cluster:
    return cluster_factory()


@pytest.fixture
def cluster(shared_cluster: Cluster, busybox_image: str) -> Cluster:
    """The cluster that tests share, up, with the image `busybox:shoal-test` on its engine.

    It is brought up again if the test before left it down.
    """
    shared_cluster.up()
    return shared_cluster


@pytest.fixture(scope="session")
def s3_server(ground: Path) -> Iterator[S3Server]:
    """One for all tests, which have prefixes of their own in its bucket."""
    demand(s3.missing())
    server = S3Server(ground / "s3")
    server.start()
    yield server
    server.end()
