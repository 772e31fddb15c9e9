"""What must be so after every single write, and what must be left once all is quiet."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from shoal_registry import manifest as manifests
from shoal_registry.manifest import Manifest
from shoal_registry.names import Digest, Repository, Tag
from shoal_registry.storage import paths

from tests.registry.interleavings import memory


@dataclass(slots=True)
class Checks:
    """`files` are the store's. `violations` are what was wrong, in words."""

    now: Callable[[], float]
    files: Mapping[PurePosixPath, "memory.File"] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    facts: Counter[str] = field(default_factory=Counter)
    _parsed: dict[Digest, Manifest] = field(default_factory=dict)

    def violated(self, what: str) -> None:
        self.violations.append(f"at {self.now():.3f}: {what}")

    def written(self, path: PurePosixPath, content: bytes | None) -> None:
        """Each write is looked at right after it: what it is about tells what may have become wrong."""
        parts, is_there = path.parts, content is not None
        if parts[0] == "contents":
            self._content(Digest(parts[1], parts[3]), content)
        elif parts[0] == "holders" and not is_there:
            repository, digest = paths.repository_named(parts[3]), Digest(parts[1], parts[2])
            if self._has(paths.blob(repository, digest)) or self._has(paths.manifest(repository, digest)):
                self.violated(f"the holder of {digest} went before its link in {repository.name}")
        elif parts[0] == "repositories":
            self._of_repository(*split(path), content)

    def _of_repository(self, repository: Repository, kind: str, rest: tuple[str, ...], content: bytes | None) -> None:
        is_there = content is not None
        if kind == "_blobs":
            self._blob_link(repository, Digest(*rest), is_there)
        elif kind == "_manifests":
            self._manifest_link(repository, Digest(*rest), is_there)
        elif kind == "_tags" and content is not None:
            if not self._has(paths.manifest(repository, Digest.parse(content.decode()))):
                self.violated(f"{repository.name}:{rest[0]} means a manifest that is not there")
        elif kind in ("_users", "_referrers") and not is_there:
            if self._has(paths.manifest(repository, paths.digest_named(rest[2]))):
                self.violated(f"{kind} of {repository.name} miss {rest[2]}")
        elif kind == "_tagged" and not is_there and self.tags(repository).get(rest[2]) == Digest(*rest[:2]):
            self.violated(f"{kind} of {repository.name} miss {rest[2]}")

    def _content(self, digest: Digest, content: bytes | None) -> None:
        if content is not None:
            if Digest.of(content, digest.algorithm) != digest:
                self.violated(f"{digest} has other bytes")
            return
        self.facts["contents removed"] += 1
        for repository in self.repositories():
            if self._has(paths.blob(repository, digest)) or self._has(paths.manifest(repository, digest)):
                self.violated(f"{digest} is lost, which {repository.name} has")

    def _blob_link(self, repository: Repository, digest: Digest, is_there: bool) -> None:
        if is_there:
            if not (self._has(paths.content(digest)) and self._has(paths.holder(digest, repository))):
                self.violated(f"a link of {repository.name} to {digest}, which is not held")
            return
        self.facts["links removed"] += 1
        if any(digest == each.digest for each in self._needed(repository) if not each.of_manifest):
            self.violated(f"{repository.name} lost {digest}, which a manifest needs")

    def _manifest_link(self, repository: Repository, digest: Digest, is_there: bool) -> None:
        if not is_there:
            if any(digest == each.digest for each in self._needed(repository) if each.of_manifest):
                self.violated(f"{repository.name} lost {digest}, which an index lists")
            for tag, said in self.tags(repository).items():
                if said == digest:
                    self.violated(f"{repository.name} lost {digest}, which {tag} means")
            return
        if not self._has(paths.content(digest)) or not self._has(paths.holder(digest, repository)):
            self.violated(f"a manifest of {repository.name}, {digest}, which is not held")
            return
        for missing in self.missing(repository, digest):
            self.violated(f"{repository.name} has {digest}, but not {missing}")

    def missing(self, repository: Repository, digest: Digest) -> Iterator[str]:
        """Of what a manifest needs: links, contents and what answers backwards."""
        parsed = self.manifest(digest)
        for each in parsed.references:
            link = (paths.manifest if each.of_manifest else paths.blob)(repository, each.digest)
            for path in (link, paths.content(each.digest), paths.user(repository, each.digest, digest)):
                if not self._has(path):
                    yield str(path)
        if parsed.subject and not self._has(paths.referrer(repository, parsed.subject, digest)):
            yield f"a referrer of {parsed.subject}"

    # What the files say

    def manifest(self, digest: Digest) -> Manifest:
        if digest not in self._parsed:
            content = self.files[paths.content(digest)].content
            self._parsed[digest] = manifests.parse(content, json.loads(content)["mediaType"])
        return self._parsed[digest]

    def repositories(self) -> list[Repository]:
        return sorted({split(path)[0] for path in self.files if path.parts[0] == "repositories"})

    def links(self, repository: Repository, kind: str) -> set[Digest]:
        return {Digest(*path.parts[-2:]) for path in self.files if _is_of(path, repository, kind)}

    def tags(self, repository: Repository) -> dict[str, Digest]:
        return {
            path.name: Digest.parse(file.content.decode())
            for path, file in self.files.items()
            if _is_of(path, repository, "_tags")
        }

    def _needed(self, repository: Repository) -> Iterator[manifests.Descriptor]:
        for digest in self.links(repository, "_manifests"):
            yield from self.manifest(digest).references

    def _has(self, path: PurePosixPath) -> bool:
        return path in self.files

    # Once all is quiet, and every grace over

    def all_is_whole(self) -> None:
        for repository in self.repositories():
            for tag, digest in self.tags(repository).items():
                if not self._has(paths.manifest(repository, digest)):
                    self.violated(f"{repository.name}:{tag} cannot be pulled: it means {digest}")
            for digest in self.links(repository, "_manifests"):
                for missing in self.missing(repository, digest):
                    self.violated(f"{repository.name} has {digest}, but not {missing}")

    def nothing_is_left(self, has_all_holders: bool) -> None:
        """The store has what it must have, and nothing else."""
        expected, optional = set(self._expected()), set[PurePosixPath]()
        if not has_all_holders:
            optional = {path for path in expected if path.parts[0] == "holders"}
        for path in sorted(set(self.files) - expected):
            if path.parts[0] != "collected" and path.name != paths.MARK:
                self.violated(f"left over: {path}")
        for path in sorted(expected - set(self.files) - optional):
            self.violated(f"missing: {path}")

    def _expected(self) -> Iterator[PurePosixPath]:
        for repository in self.repositories():
            for tag, digest in self.tags(repository).items():
                yield paths.tag(repository, Tag(tag))
                yield paths.tag_of(repository, digest, Tag(tag))
            for digest in self.links(repository, "_manifests"):
                yield from (paths.manifest(repository, digest), paths.content(digest), paths.holder(digest, repository))
                parsed = self.manifest(digest)
                if parsed.subject:
                    yield paths.referrer(repository, parsed.subject, digest)
                for each in parsed.references:
                    yield paths.user(repository, each.digest, digest)
                    if not each.of_manifest:
                        yield paths.blob(repository, each.digest)
                        yield paths.content(each.digest)
                        yield paths.holder(each.digest, repository)


def split(path: PurePosixPath) -> tuple[Repository, str, tuple[str, ...]]:
    """The repository that a path is of, what it is there, and the rest."""
    parts = path.parts[1:]
    at = next(number for number, part in enumerate(parts) if part.startswith("_"))
    return Repository("/".join(parts[:at])), parts[at], parts[at + 1 :]


def _is_of(path: PurePosixPath, repository: Repository, kind: str) -> bool:
    return path.parts[0] == "repositories" and split(path)[:2] == (repository, kind)
