"""A registry that lies: nothing of what it says is believed without its digest, and nobody is sent elsewhere."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from shoal import errors
from shoal.bridge import exchange
from shoal.bridge.archive import DOCUMENT_BYTES_MAX, Damaged
from shoal.bridge.exchange import Exchange
from shoal.bridge.transfer import Repository

from tests.ground.certificates import Certificates
from tests.registry.client import IMAGE, digest_of

CONTENT = b"what was wanted" * 1000
DIGEST = digest_of(CONTENT)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Liar:
    """`answers`: what is said to whichever requests, one after the other, the last one again and again."""

    answers: list[Handler] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        await request.read()
        return await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)


@pytest.fixture
async def liar(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Liar, Repository]]:
    monkeypatch.setattr(exchange, "PAUSE_SECONDS", 0.0)
    lying, application = Liar(), web.Application()
    application.router.add_route("*", "/{path:.*}", lying.answer)
    issued = certificates.files("registry", "liar")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.certificate, issued.key)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    known = ssl.create_default_context(cafile=str(certificates.authority))
    known.check_hostname = False
    async with Exchange(f"127.0.0.1:{port}", known) as reached:
        yield lying, Repository(reached, "web")
    await runner.cleanup()


def saying(content: bytes = b"", status: int = 200, **headers: str) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=content, status=status, headers=named)

    return answer


async def pulled(repository: Repository) -> bytes:
    return b"".join([piece async for piece in repository.blob(DIGEST, len(CONTENT))])


async def test_another_blob(liar: tuple[Liar, Repository]) -> None:
    lying, repository = liar
    for lie in (b"x" * len(CONTENT), CONTENT + b"more", CONTENT[::-1]):
        lying.answers = [saying(lie)]
        with pytest.raises(Damaged):
            await pulled(repository)


async def test_a_blob_that_never_ends_its_beginning(liar: tuple[Liar, Repository]) -> None:
    """What comes short is asked for from there on; who does not give that is given up."""
    lying, repository = liar
    lying.answers = [saying(CONTENT[:100]), saying(CONTENT[100:], 206)]
    assert await pulled(repository) == CONTENT
    lying.answers = [saying(CONTENT[:100]), saying(b"", 206)]
    with pytest.raises(errors.Unreachable, match="less than it said"):
        await pulled(repository)
    # The whole again where a part was asked for.
    lying.answers = [saying(CONTENT[:100]), saying(CONTENT)]
    with pytest.raises(errors.ShoalError):
        await pulled(repository)


async def test_another_manifest(liar: tuple[Liar, Repository]) -> None:
    lying, repository = liar
    content = json.dumps({"schemaVersion": 2, "mediaType": IMAGE}).encode()
    lying.answers = [saying(content)]
    with pytest.raises(Damaged, match="another manifest"):
        await repository.manifest(DIGEST)
    lying.answers = [saying(content, Docker_Content_Digest=DIGEST)]
    with pytest.raises(Damaged, match="another manifest"):
        await repository.manifest("latest")
    lying.answers = [saying(content, Docker_Content_Digest="md5:00")]
    with pytest.raises(Damaged, match="cannot be checked"):
        await repository.manifest("latest")
    lying.answers = [saying(b" " * (DOCUMENT_BYTES_MAX + 1))]
    with pytest.raises(Damaged, match="more than"):
        await repository.manifest("latest")
    lying.answers = [saying(b"<html>")]
    with pytest.raises(Damaged, match="no JSON"):
        await repository.manifest("latest")


@pytest.mark.parametrize("location", ["https://other.example/upload", "http://127.0.0.1/upload", "//other.example/x"])
async def test_being_sent_elsewhere(liar: tuple[Liar, Repository], location: str, tmp_path: Path) -> None:
    """Neither a layer nor the certificate goes to a machine that the registry names."""
    lying, repository = liar
    (tmp_path / "layer").write_bytes(CONTENT)
    lying.answers = [saying(status=404), saying(status=202, Location=location)]
    with pytest.raises(errors.Denied, match="another machine"):
        await repository.push_file(DIGEST, tmp_path / "layer", len(CONTENT), lambda _: None)
    lying.answers = [saying(status=307, Location=location)]
    with pytest.raises(errors.ShoalError):
        await repository.manifest("latest")


async def test_being_sent_nowhere(liar: tuple[Liar, Repository], tmp_path: Path) -> None:
    lying, repository = liar
    lying.answers = [saying(status=404), saying(status=202)]
    with pytest.raises(errors.ServerFault, match="not where"):
        await repository.push_file(DIGEST, tmp_path / "layer", len(CONTENT), lambda _: None)


async def test_one_that_fails(liar: tuple[Liar, Repository]) -> None:
    """Told at once if it fails on a call; after some tries if it is overloaded, and not if that passes."""
    lying, repository = liar
    lying.answers = [saying(b"<html>", 500)]
    with pytest.raises(errors.ServerFault, match="500"):
        await repository.manifest("latest")
    assert len(lying.asked) == 1
    lying.answers = [saying(status=503)]
    with pytest.raises(errors.Unreachable, match="503"):
        await repository.manifest("latest")
    assert len(lying.asked) == 1 + exchange.TRIES
    lying.answers = [saying(status=503), saying(CONTENT)]
    assert await pulled(repository) == CONTENT


async def test_an_upload_that_is_lost(liar: tuple[Liar, Repository], tmp_path: Path) -> None:
    """It is begun anew, but not for ever."""
    lying, repository = liar
    (tmp_path / "layer").write_bytes(CONTENT)
    begun = saying(status=202, Location="/v2/web/blobs/uploads/some")
    lying.answers = [saying(status=404), begun, saying(status=404), saying(status=404), saying(status=404), begun]
    lying.answers += [saying(status=202), saying(status=201)]
    assert await repository.push_file(DIGEST, tmp_path / "layer", len(CONTENT), lambda _: None)
    lying.answers = [saying(status=404), begun]
    lying.answers += [saying(status=404), saying(status=404), saying(status=404), begun] * exchange.TRIES
    with pytest.raises(errors.Unreachable, match="not where it was"):
        await repository.push_file(DIGEST, tmp_path / "layer", len(CONTENT), lambda _: None)
