"""All there is to know of an image in the registry: what the registry says of it, and what its manifest does."""

import json
from dataclasses import dataclass
from typing import Any

from shoal.bridge import manifest, names
from shoal.bridge.archive import DOCUMENT_BYTES_MAX, document
from shoal.bridge.transfer import Found, Repository
from shoal.cli import text
from shoal.cli.registry_reach import Reach

_PLATFORM = ("os", "architecture", "variant")


@dataclass(frozen=True, slots=True)
class Description:
    """`detail`: as ECR's DescribeImages; `config`: of an image, empty for anything else."""

    title: str
    detail: dict[str, Any]
    found: Found
    config: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """In the words of DescribeImages and BatchGetImage; the config as the image has it."""
        whole = {"imageDetails": [self.detail], "imageManifest": self.found.content.decode()}
        return whole | ({"imageConfig": self.config} if self.config else {})

    def fields(self, now_millis: int) -> list[tuple[str, str]]:
        run = self.config.get("config") or {}
        archived = f"archived: shoal repository restore {self.title}"
        pushed, pulled = (self.detail.get(name) for name in ("imagePushedAt", "lastRecordedPullTime"))
        return [
            ("Digest", self.detail["imageDigest"]),
            ("Tags", ", ".join(self.detail.get("imageTags", ()))),
            ("Status", archived if self.detail.get("imageStatus") == "ARCHIVED" else ""),
            ("Size", text.size(self.detail.get("imageSizeInBytes", 0))),
            ("Pushed", _when(pushed, now_millis)),
            ("Last pulled", _when(pulled, now_millis)),
            ("Media type", self.detail.get("imageManifestMediaType", self.found.media_type)),
            ("Artifact type", self.detail.get("artifactMediaType", "")),
            ("Platform", "/".join(part for name in _PLATFORM if (part := str(self.config.get(name, ""))))),
            ("Platforms", "\n".join(_platforms(self.found))),
            ("Created", str(self.config.get("created", ""))),
            ("User", str(run.get("User", ""))),
            ("Entry point", _words(run.get("Entrypoint"))),
            ("Command", _words(run.get("Cmd"))),
            ("Ports", ", ".join(run.get("ExposedPorts") or ())),
            ("Layers", "\n".join(_layers(self.found))),
        ]


async def read(reached: Reach, name: str) -> Description:
    """Raises NotFound and what else the registry says."""
    named = names.parse(name, reached.registry)
    identity = {"imageDigest": named.digest} if named.digest else {"imageTag": named.tag}
    async with reached.client() as client, reached.exchange() as exchange:
        # Whoever looks at an image does not pull it, nor can what is archived be pulled.
        request = {"repositoryName": named.repository, "imageIds": [identity], "include": ["MANIFEST"]}
        detail = (await client.call("DescribeImages", request))["imageDetails"][0]
        content = detail.pop("imageManifest").encode()
        found = Found(content, detail["imageManifestMediaType"], detail["imageDigest"])
        return Description(str(named), detail, found, await _config(Repository(exchange, named.repository), found))


async def _config(repository: Repository, found: Found) -> dict[str, Any]:
    if found.media_type not in manifest.IMAGES:
        return {}
    config = manifest.config(found.content)
    if config.media_type not in manifest.CONFIGS or config.size > DOCUMENT_BYTES_MAX:
        return {}
    content = b"".join([piece async for piece in repository.blob(config.digest, config.size)])
    parsed = document(content, "the image's config")
    return parsed if isinstance(parsed, dict) else {}


def _layers(found: Found) -> list[str]:
    if found.media_type not in manifest.IMAGES:
        return []
    return [f"{each.digest}  {text.size(each.size)}" for each in manifest.layers(found.content)]


def _platforms(found: Found) -> list[str]:
    if found.media_type not in manifest.INDEXES:
        return []
    return [f"{each.digest}  {each.platform or '-'}" for each in manifest.index(found.content)]


def _words(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _when(seconds: float | None, now_millis: int) -> str:
    return f"{text.moment(int(seconds * 1000))} ({text.age(int(seconds * 1000), now_millis)} ago)" if seconds else ""
