"""What a process that was killed leaves of a repository, and what becomes of it."""

from pathlib import Path, PurePosixPath

from shoal_registry import creation
from shoal_registry.creation import Template
from shoal_registry.names import Digest, Repository, Tag
from shoal_registry.repositories import Repositories
from shoal_registry.settings import Settings
from shoal_registry.storage import paths
from shoal_registry.storage.folder import FolderStore

WEB = Repository("team/web")


class Killed(Exception):  # noqa: N818
    pass


class DyingStore(FolderStore):
    """Does so many writes and deletions, and no more."""

    steps = 1_000_000

    def _step(self) -> None:
        if self.steps == 0:
            raise Killed
        self.steps -= 1

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        self._step()
        await super().put(path, content, durable)

    async def delete(self, path: PurePosixPath) -> bool:
        self._step()
        return await super().delete(path)

    async def remove(self, path: PurePosixPath) -> None:
        self._step()
        await super().remove(path)


MANIFEST = (
    b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [], '
    b'"annotations": {"of": "the test"}}'
)


async def test_a_repository_is_made_as_it_is_wanted_or_not_at_all(tmp_path: Path) -> None:
    """A policy of a template that came without its repository is not the next one's."""
    store = DyingStore(tmp_path / "store")
    await creation.put_template(
        store, Template("team", ("CREATE_ON_PUSH",), 0.0, 0.0, lifecycle_policy="of the template")
    )
    cuts = 0
    while True:
        store.steps = cuts
        try:
            await creation.create_on_push(store, WEB, 1.0)
        except Killed:
            assert await store.size(paths.mark(WEB)) is None
            cuts += 1
            continue
        break
    assert cuts > 2
    store.steps = 1_000_000
    assert await store.read(paths.lifecycle_policy(WEB)) == b"of the template"
    await store.delete(paths.mark(WEB))
    assert await creation.create(store, WEB, Settings(created_at=2.0))
    assert await store.read(paths.lifecycle_policy(WEB)) is None


async def test_a_deletion_that_was_cut_is_done_again(tmp_path: Path) -> None:
    """At whichever step: what is left is a repository in which no tag means what is not there."""
    cuts = 0
    while True:
        store = DyingStore(tmp_path / str(cuts))
        repositories = Repositories(store)
        digest, _ = await repositories.put_manifest(WEB, Tag("v1"), MANIFEST, "")
        await store.put(paths.lifecycle_policy(WEB), b"a policy")
        store.steps = cuts
        try:
            await repositories.delete(WEB, with_images=True)
        except Killed:
            store.steps = 1_000_000
            assert await repositories.exists(WEB), "there is something to delete again"
            for tag in await repositories.tags(WEB):
                assert (await repositories.find(WEB, Tag(tag))).digest == digest
            assert await repositories.delete(WEB, with_images=True)
            cuts += 1
        else:
            break
        left = [each for each in (tmp_path / str(cuts - 1) / "repositories").rglob("*") if each.is_file()]
        assert left == []
    assert cuts > 5
    assert not await repositories.exists(WEB)
    assert await store.size(paths.holder(Digest.of(MANIFEST), WEB)) is None
