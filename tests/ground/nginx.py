"""nginx in a few megabytes, in versions that say which they are, and some that fail, each in its way.

    /         lines of `nginx v1`, and who answers in the header X-Server
    /health   what its health checks ask

The program is that of the distribution's package, with the libraries it is linked to and busybox beside it: what is
pulled and started on many hosts of one machine had better be small.
"""

import os
import tarfile
import tempfile
from dataclasses import dataclass
from typing import IO

from tests.ground import images, pushed
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine

BASE = "shoal-test-nginx:latest"
PORT = 80
LINES = 200
_PROGRAM = "/usr/sbin/nginx"
_RUN = f"exec {_PROGRAM} -c /srv/nginx.conf"
CHECK = ("CMD", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{PORT}/health")
_CONFIGURATION = """
daemon off; user root; worker_processes 1; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 512; }
http {
  access_log off; default_type text/plain; keepalive_timeout 75s; keepalive_requests 100000;
  client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3; uwsgi_temp_path /tmp/4;
  scgi_temp_path /tmp/5;
  server {
    listen PORT;
    location / { root /srv/www; add_header X-Server $hostname; }
    location = /health { return HEALTH "health\\n"; }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Version:
    """command: of the image. health: the status that its health checks are answered with. weight_mib: of a file that
    cannot be compressed and nobody asks for."""

    name: str
    command: str = _RUN
    health: int = 200
    weight_mib: int = 0

    @property
    def says(self) -> str:
        """Each line of what it answers."""
        return f"nginx {self.name}"


FIRST, SECOND = Version("v1"), Version("v2")
CRASHES = Version("crashes", f"{_PROGRAM} -c /srv/nginx.conf & sleep 5; exit 7")
SICK = Version("sick", health=503)
# Its pull takes so long that something can be done to it meanwhile.
HEAVY = Version("heavy", weight_mib=96)


def definition(family: str, image: str, has_check: bool = True) -> dict[str, object]:
    """Of one container `web` whose port is any of its host's."""
    check = {"healthCheck": {"command": list(CHECK), "interval": 5, "timeout": 3, "retries": 2}} if has_check else {}
    container = {"name": "web", "image": image, "cpu": 16, "memory": 32, "stopTimeout": 5, **check}
    ports = [{"containerPort": PORT, "protocol": "tcp"}]
    return {"family": family, "networkMode": "bridge", "containerDefinitions": [{**container, "portMappings": ports}]}


def make_base(engine: Engine) -> None:
    """Needs the web images of `images.import_web_images` on that engine."""
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            images.add_busybox(tar)
            with tempfile.TemporaryFile() as taken:
                _take(engine, taken)
                taken.seek(0)
                with tarfile.open(fileobj=taken) as program:
                    for member in program:
                        tar.addfile(member, program.extractfile(member))
        archive.seek(0)
        engine.docker("import", "--change=ENV PATH=/bin", "-", BASE, stdin=archive.fileno())


def _take(engine: Engine, into: IO[bytes]) -> None:
    """The program, its libraries, and who root is."""
    script = f"tar -chf - {_PROGRAM} /etc/passwd /etc/group $(ldd {_PROGRAM} | grep -o '/[^ ]*')"
    engine.docker("run", "--rm", images.WEB_IMAGES["nginx"].tag, "sh", "-c", script, stdout=into.fileno())


def push(cluster: Cluster, engine: Engine, repository: str, version: Version) -> str:
    """What images call it; no engine has it."""
    return pushed.push_with(cluster, engine, BASE, f"{repository}:{version.name}", _contents(version), version.command)


def _contents(version: Version) -> dict[str, bytes]:
    configuration = _CONFIGURATION.replace("PORT", str(PORT)).replace("HEALTH", str(version.health))
    contents = {
        "srv/nginx.conf": configuration.encode(),
        "srv/www/index.html": f"{version.says}\n".encode() * LINES,
    }
    return contents | ({"srv/weight": os.urandom(version.weight_mib << 20)} if version.weight_mib else {})
