"""A client of the distribution protocol that says exactly what a test wants said."""

import hashlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = ", ".join((IMAGE, INDEX, DOCKER_IMAGE, DOCKER_INDEX))
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
BYTES = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """Of the errors."""
        return [error["code"] for error in self.json["errors"]]


@dataclass(frozen=True, slots=True)
class Client:
    """Paths that do not begin with a slash are of the repository. `authorization`: the header, if it is not empty."""

    session: aiohttp.ClientSession
    url: str
    tls: ssl.SSLContext
    repository: str
    authorization: str = ""

    def of(self, repository: str) -> "Client":
        return replace(self, repository=repository)

    def basic(self, name: str, secret: str) -> "Client":
        """The same, as that account."""
        return replace(self, authorization=aiohttp.encode_basic_auth(name, secret))

    def bearer(self, token: str) -> "Client":
        return replace(self, authorization=f"Bearer {token}")

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: str
    ) -> Answer:
        """The path, or whole URL, is sent as it stands; `query` is added to it."""
        whole = path if path.startswith("/") else f"/v2/{self.repository}/{path}"
        url = URL(path if path.startswith("https://") else self.url + whole, encoded=True)
        url = url.update_query(query) if query else url
        # Without it some registries answer with what Docker's clients of 2014 took.
        headers = {"Accept": MANIFESTS, **(headers or {})}
        if self.authorization:
            headers = {"Authorization": self.authorization, **headers}
        async with self.session.request(
            method, url, data=body, headers=headers, ssl=self.tls, allow_redirects=False
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def begin(self) -> str:
        """An upload's location."""
        answer = await self.call("POST", "blobs/uploads/", headers={"Content-Length": "0"})
        assert answer.status == 202, answer
        return answer.headers["Location"]

    async def push_blob(self, content: bytes, algorithm: str = "sha256") -> str:
        """Its digest."""
        digest = digest_of(content, algorithm)
        answer = await self.call("PUT", await self.begin(), content, BYTES, digest=digest)
        assert answer.status == 201, answer
        return digest

    async def push_manifest(self, reference: str, manifest: Mapping[str, Any]) -> str:
        """Its digest."""
        content = json.dumps(manifest).encode()
        answer = await self.call("PUT", f"manifests/{reference}", content, {"Content-Type": manifest["mediaType"]})
        assert answer.status == 201, answer
        return answer.headers["Docker-Content-Digest"]

    async def push_image(self, tag: str, *layers: bytes, **fields: Any) -> str:
        """Its digest; config and layers are pushed before."""
        manifest = await self.image(*layers, **fields)
        return await self.push_manifest(tag, manifest)

    async def image(self, *layers: bytes, config: bytes = b"{}", **fields: Any) -> dict[str, Any]:
        """The manifest of an image whose config and layers are pushed."""
        for content in (config, *layers):
            await self.push_blob(content)
        described = [descriptor(layer, LAYER) for layer in layers]
        return image_manifest(descriptor(config, CONFIG), described, **fields)


def image_manifest(config: Mapping[str, Any], layers: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers, **fields}


def index(*manifests: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests), **fields}


def descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
