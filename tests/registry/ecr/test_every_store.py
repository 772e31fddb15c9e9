"""What is kept of repositories and images, in every kind of store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shoal_registry import catalogue, creation
from shoal_registry.archive import Archive
from shoal_registry.errors import Refused
from shoal_registry.events import Events
from shoal_registry.names import Digest, Repository, Tag
from shoal_registry.pulls import Pulls, last_pull
from shoal_registry.repositories import Repositories
from shoal_registry.settings import Settings
from shoal_registry.storage import paths
from shoal_registry.storage.bucket import Bucket
from shoal_registry.storage.folder import FolderStore
from shoal_registry.storage.places import parse
from shoal_registry.storage.s3 import S3Store
from shoal_registry.storage.store import Store

from tests.registry.ecr.test_leftovers import MANIFEST
from tests.registry.stores import KINDS, place_of

# As they are listed: by their components.
NAMES = ["team", "team/web", "team/web/inner", "team-b/web", "z"]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    place, endpoint = place_of(request.param, tmp_path, request, monkeypatch)
    where = parse(place, {"AWS_ENDPOINT_URL": endpoint})
    if isinstance(where, Bucket):
        yield S3Store(where)
        return
    folder = FolderStore(where)
    yield folder
    folder.close()


async def test_what_is_kept_and_what_is_left(store: Store) -> None:
    repositories = Repositories(store)
    events, pulls = Events(store, lambda: 1_700_000_000.0), Pulls(store, lambda: 1_700_000_000.0)
    for name in NAMES:
        assert await creation.create(store, Repository(name), Settings(created_at=1.0, tags={"of": name}))
    for number, after in enumerate(["", *NAMES]):
        assert [each.name async for each in catalogue.repositories(store, after)] == NAMES[number:]
    web = Repository("team/web")
    digest, _ = await repositories.put_manifest(web, Tag("v1"), MANIFEST, "")
    assert (await repositories.settings(web)).tags == {"of": "team/web"}
    pulls.note(web, digest)
    await pulls.flush()
    assert await last_pull(store, web, digest) == 1_700_000_000.0
    archived = await Archive(store, repositories, lambda: 5.0).archive(web, digest)
    assert (await repositories.find(web, digest)).image == archived
    assert (archived.is_archived, archived.archived_at) == (True, 5.0)
    for tag in ("v1", "v2"):
        events.note("PUSH", web, digest, "ann", tag)
        await events.flush()
    told = [(position, event["detail"]["image-tag"]) async for position, event in events.read("")]
    assert [tag for _, tag in told] == ["v1", "v2"]
    assert [event["detail"]["image-tag"] async for _, event in events.read(told[0][0])] == ["v2"]
    with pytest.raises(Refused, match="has no image v1"):
        # It came to mean another image while somebody deleted it of that one.
        await repositories.delete_tag(web, Tag("v1"), Digest.of(b"another"))
    assert (await repositories.find(web, Tag("v1"))).digest == digest
    assert not await repositories.delete(web, with_images=False)
    assert await repositories.delete(web, with_images=True)
    # Empty folders may stay.
    assert paths.MARK not in await store.names(paths.repositories(["team", "web"]))
    assert await store.read(paths.tag(web, Tag("v1"))) is None
    assert await store.read(paths.manifest(web, digest)) is None
    assert await last_pull(store, web, digest) is None
    assert await repositories.exists(Repository("team/web/inner"))
