"""Archives, as engines write them and as nobody should: read whole, or refused in words."""

import doctest
import io
import json
import tarfile
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shoal import errors
from shoal.bridge import archive, layout, manifest, names, tars
from shoal.bridge.archive import Damaged
from shoal.bridge.manifest import Descriptor, Platform
from shoal.bridge.tars import TarReader

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


def file(path: str, content: bytes = b"content") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(path), content


def special(path: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info, b""


async def read(content: bytes, piece_bytes: int = 1000) -> dict[str, bytes | str]:
    """By path what each file holds, or where a link leads."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), piece_bytes):
            yield content[start : start + piece_bytes]

    reader, found = TarReader(pieces()), dict[str, bytes | str]()
    async for member in reader:
        if member.kind == "link":
            found[member.path] = member.target
        elif member.kind == "file":
            found[member.path] = b"".join([piece async for piece in reader.content()])
    return found


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("piece_bytes", [1, 511, 4096])
async def test_all_forms(form: int, piece_bytes: int) -> None:
    """Short and long names, empty files, links."""
    long = "a" * 80 + "/" + "b" * 90
    content = tar_of(
        special("id", tarfile.DIRTYPE),
        file("id/layer.tar", b"x" * 1025),
        file(long),
        file("empty", b""),
        special("other/layer.tar", tarfile.SYMTYPE, "../id/layer.tar"),
        form=form,
    )
    assert await read(content, piece_bytes) == {
        "id/layer.tar": b"x" * 1025,
        long: b"content",
        "empty": b"",
        "other/layer.tar": "id/layer.tar",
    }


@pytest.mark.parametrize(
    "member",
    [
        file("../outside"),
        file("a/../../outside"),
        file("/absolute"),
        file("a/.."),
        special("link", tarfile.SYMTYPE, "../outside"),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.LNKTYPE, "../outside"),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
        file("x" * 5000),
    ],
)
async def test_what_has_no_place_in_an_image(member: tuple[tarfile.TarInfo, bytes]) -> None:
    with pytest.raises(Damaged):
        await read(tar_of(file("before"), member))


async def test_too_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMBERS_MAX", 10)
    with pytest.raises(Damaged, match="more than 10 members"):
        await read(tar_of(*(file(str(number)) for number in range(11))))


WHOLE = tar_of(file("one", b"1" * 600), file("b" * 150, b"2" * 10), special("three", tarfile.SYMTYPE, "one"))


@given(st.data())
@settings(max_examples=300, deadline=None)
async def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """Whatever is cut or changed, reading ends, and with nothing but Damaged."""
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    changed = bytearray(WHOLE[: data.draw(st.sampled_from([len(WHOLE), at]))])
    if at < len(changed):
        changed[at] = data.draw(st.integers(0, 255))
    try:
        found = await read(bytes(changed), 512)
    except Damaged:
        return
    assert all(".." not in path.split("/") and not path.startswith("/") for path in found)


async def test_what_is_written_is_read() -> None:
    contents = {"blobs/sha512/" + "0" * 128: b"x" * 512, "index.json": b"{}", "odd": b"y" * 700}
    written = b"".join(tars.file(path, content) for path, content in contents.items()) + tars.END
    assert await read(written) == contents
    with tarfile.open(fileobj=io.BytesIO(written)) as tar:
        assert tar.getnames() == list(contents)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{}", "names no image"),
        (b"[]", "names no image"),
        (b"[1]", "not as Docker writes it"),
        (b'[{"Config": 1}]', "not as Docker writes it"),
        (b'[{"Config": "../x"}]', "leads out"),
        (b'[{"Config": "a"}, {"Config": "b"}]', "has 2 images"),
        (b"no", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_documents_that_docker_never_writes(document: bytes, said: str) -> None:
    with pytest.raises(Damaged, match=said):
        archive.saved({"manifest.json": document})


def test_links_in_a_circle() -> None:
    with pytest.raises(Damaged, match="link to itself"):
        archive.resolved("a", {"a": "b", "b": "a"})


def test_manifests_that_no_engine_can_run() -> None:
    digest = "sha256:" + 64 * "0"
    layer = {"mediaType": manifest.DOCKER_LAYER, "digest": digest, "size": 1}
    config = layer | {"mediaType": manifest.DOCKER_CONFIG}

    def read_manifest(**fields: object) -> manifest.Image:
        return manifest.image(json.dumps({"config": config, "layers": [layer], **fields}).encode(), manifest.IMAGE)

    assert read_manifest().layers == (Descriptor(manifest.DOCKER_LAYER, digest, 1),)
    damaged: list[dict[str, object]] = [
        {"config": None},
        {"layers": {}},
        {"layers": [[]]},
        {"layers": [layer | {"digest": "sha256:../x"}]},
        {"layers": [layer | {"size": -1}]},
    ]
    for fields in damaged:
        with pytest.raises(Damaged):
            read_manifest(**fields)
    with pytest.raises(errors.InvalidInput, match="artifact"):
        read_manifest(config=config | {"mediaType": "application/vnd.example"})
    with pytest.raises(errors.InvalidInput, match="no registry"):
        read_manifest(layers=[layer | {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar"}])


def test_which_platform() -> None:
    def listed(*platforms: str) -> list[Descriptor]:
        return [Descriptor(manifest.IMAGE, f"{at}", 1, Platform.parse(each)) for at, each in enumerate(platforms)]

    arm = listed("linux/amd64", "linux/arm/v6", "linux/arm/v7", "unknown/unknown")
    assert manifest.chosen(arm, Platform("linux", "arm", "v7")).digest == "2"
    assert manifest.chosen(arm, Platform("linux", "amd64")).digest == "0"
    assert manifest.chosen(listed("linux/arm64/v8"), Platform("linux", "arm64")).digest == "0"
    with pytest.raises(errors.NotFound, match=r"only for linux/amd64, linux/arm/v6, linux/arm/v7\."):
        manifest.chosen(arm, Platform("windows", "amd64"))
    with pytest.raises(errors.NotFound):
        manifest.chosen(arm, Platform("linux", "arm", "v5"))


@pytest.mark.parametrize("module", [names, layout])
def test_what_the_docstrings_show(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed
