"""Every path of the store, made of parsed parts only.

    contents/<algorithm>/<first two>/<hex>            bytes of blobs and manifests, once for all repositories
    keys/<algorithm>/<first two>/<hex>.<id>           of a content that is encrypted: see `encrypted`
    damaged/<algorithm>-<hex>/                        set aside: see `scrubbing`
    scrub                                             what the last scrub found
    encryption                                        whether contents are encrypted: see `protection`
    holders/<algorithm>/<hex>/<name>                  empty: that repository has this blob or manifest; its slashes are
                                                      colons
    unheld/<algorithm>/<hex>                          since when nothing may lead to this content: see `garbage`
    collected                                         when garbage was last collected, and what went
    accounts/<name>                                   an account, with the hash of its secret
    uploads/<id>/repository                           whose upload it is
                 data                                 what came so far; becomes a content by being renamed
                 key                                  by which that is encrypted, if it is
                 digest                               of what came until the last call ended, and how much that was
    repositories/<name>/_repository                   what it is set to, as JSON; empty of one that is set to nothing
                        _policy                       who else may do what with it
                        _lifecycle                    its lifecycle policy, as it was put
                        _lifecycle_evaluated          when that was last evaluated
                        _lifecycle_preview            what a policy would do, as JSON
                        _blobs/<algorithm>/<hex>      this blob is in the repository: when somebody last counted on it
                        _manifests/<algorithm>/<hex>  what is known of that image, as JSON: its media type, when it came
                        _pulled/<algorithm>/<hex>     when that image was last pulled
                        _tags/<tag>                   the digest it means
                        _tagged/<algorithm>/<hex>/<tag>
                                                      empty: the tag means, or was about to mean, this manifest
                        _users/<algorithm>/<hex>/<algorithm>-<hex>
                                                      empty: the second is a manifest that needs the first
                        _referrers/<algorithm>/<hex>/<algorithm>-<hex>
                                                      descriptor of the second, whose subject is the first
    events/…                                          what happened to images: see `events`
    last-event                                        of which time the name of the last batch of them is
    settings/create-on-push                           ENABLED or DISABLED
             templates/<prefix>                       a repository creation template, as JSON; its slashes are colons

Holders and the last three answer backwards. They are written before what they tell of and removed after it, so that
they may tell of what is not there, but never miss what is. No component of a repository's name begins with `_`, so that
these are never a repository of their own. A content that no link leads to is garbage; a link whose content is missing
never exists, because it is written after it, and goes before it.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from shoal_registry.names import Digest, Repository, Tag, UploadId

CONTENTS = PurePosixPath("contents")
# How contents are kept: see `protection`.
ENCRYPTION = PurePosixPath("encryption")
DAMAGED = PurePosixPath("damaged")
KEYS = PurePosixPath("keys")
SCRUB = PurePosixPath("scrub")
UPLOADS = PurePosixPath("uploads")
REPOSITORIES = PurePosixPath("repositories")
UNHELD = PurePosixPath("unheld")
COLLECTED = PurePosixPath("collected")
ACCOUNTS = PurePosixPath("accounts")
EVENTS = PurePosixPath("events")
LAST_EVENT = PurePosixPath("last-event")
CREATE_ON_PUSH = PurePosixPath("settings", "create-on-push")
TEMPLATES = PurePosixPath("settings", "templates")
MARK = "_repository"


def content(digest: Digest) -> PurePosixPath:
    return CONTENTS / digest.algorithm / digest.hex[:2] / digest.hex


def unheld(digest: Digest) -> PurePosixPath:
    return UNHELD / digest.algorithm / digest.hex


def content_key(content_path: PurePosixPath, file_id: bytes) -> PurePosixPath:
    """Where the key of the file with that id lies, if it is that content."""
    return KEYS.joinpath(*content_path.parts[1:-1], f"{content_path.name}.{file_id.hex()}")


def keyed(key_path: PurePosixPath) -> tuple[PurePosixPath, bytes]:
    """The content and the file's id that a key is for. Raises ValueError."""
    name, _, file_id = key_path.name.partition(".")
    return CONTENTS.joinpath(*key_path.parts[1:-1], name), bytes.fromhex(file_id)


def damaged(digest: Digest) -> PurePosixPath:
    return DAMAGED / _one_part(digest)


def upload_key(data: PurePosixPath) -> PurePosixPath:
    return data.with_name("key")


def is_content(path: PurePosixPath) -> bool:
    return path.parts[0] == CONTENTS.name


def digest_of(content_path: PurePosixPath) -> Digest:
    """Raises Refused."""
    _, algorithm, _, characters = content_path.parts
    return Digest.parse(f"{algorithm}:{characters}")


def is_upload_data(path: PurePosixPath) -> bool:
    return path.parts[0] == UPLOADS.name and path.name == "data"


def holders(digest: Digest) -> PurePosixPath:
    return PurePosixPath("holders", digest.algorithm, digest.hex)


def holder(digest: Digest, repository: Repository) -> PurePosixPath:
    return holders(digest) / repository.name.replace("/", ":")


def repository_named(part: str) -> Repository:
    """A holder, by its file's name."""
    return Repository.parse(part.replace(":", "/"))


def upload(upload_id: UploadId) -> PurePosixPath:
    return UPLOADS / upload_id.text


def upload_lock(data: PurePosixPath) -> str:
    """Who writes to an upload's data, or ends it, holds this lock."""
    return f"upload/{data.parent.name}"


def upload_repository(upload_id: UploadId) -> PurePosixPath:
    return upload(upload_id) / "repository"


def upload_digest(upload_id: UploadId) -> PurePosixPath:
    return upload(upload_id) / "digest"


def upload_data(upload_id: UploadId) -> PurePosixPath:
    return upload(upload_id) / "data"


def mark(repository: Repository) -> PurePosixPath:
    return _of(repository, MARK)


def lifecycle_policy(repository: Repository) -> PurePosixPath:
    return _of(repository, "_lifecycle")


def lifecycle_evaluated(repository: Repository) -> PurePosixPath:
    return _of(repository, "_lifecycle_evaluated")


def lifecycle_preview(repository: Repository) -> PurePosixPath:
    return _of(repository, "_lifecycle_preview")


def own_settings(repository: Repository) -> Sequence[PurePosixPath]:
    """What is set of that repository beside its mark, and told of that."""
    evaluated, preview = lifecycle_evaluated(repository), lifecycle_preview(repository)
    return [lifecycle_policy(repository), evaluated, preview, policy(repository)]


def repositories(folder: Sequence[str]) -> PurePosixPath:
    """Where those lie whose names begin with these components."""
    return REPOSITORIES.joinpath(*folder)


def blobs(repository: Repository) -> PurePosixPath:
    return _of(repository, "_blobs")


def account(name: str) -> PurePosixPath:
    """`name` was parsed as an account's."""
    return ACCOUNTS / name


def policy(repository: Repository) -> PurePosixPath:
    return _of(repository, "_policy")


def blob(repository: Repository, digest: Digest) -> PurePosixPath:
    return blobs(repository) / digest.algorithm / digest.hex


def manifests(repository: Repository) -> PurePosixPath:
    return _of(repository, "_manifests")


def told_of_images(repository: Repository) -> Sequence[PurePosixPath]:
    """What tells of its images, and of nothing without them."""
    return [_of(repository, name) for name in ("_tagged", "_users", "_referrers", "_pulled")]


def manifest(repository: Repository, digest: Digest) -> PurePosixPath:
    return manifests(repository) / digest.algorithm / digest.hex


def all_pulled(repository: Repository) -> PurePosixPath:
    return _of(repository, "_pulled")


def pulled(repository: Repository, digest: Digest) -> PurePosixPath:
    return all_pulled(repository) / digest.algorithm / digest.hex


def tags(repository: Repository) -> PurePosixPath:
    return _of(repository, "_tags")


def tag(repository: Repository, name: Tag) -> PurePosixPath:
    return tags(repository) / name.name


def all_tagged(repository: Repository) -> PurePosixPath:
    return _of(repository, "_tagged")


def tags_of(repository: Repository, digest: Digest) -> PurePosixPath:
    return all_tagged(repository) / digest.algorithm / digest.hex


def tag_of(repository: Repository, digest: Digest, name: Tag) -> PurePosixPath:
    return tags_of(repository, digest) / name.name


def all_used(repository: Repository) -> PurePosixPath:
    return _of(repository, "_users")


def users(repository: Repository, needed: Digest) -> PurePosixPath:
    return all_used(repository) / needed.algorithm / needed.hex


def user(repository: Repository, needed: Digest, manifest_digest: Digest) -> PurePosixPath:
    return users(repository, needed) / _one_part(manifest_digest)


def all_subjects(repository: Repository) -> PurePosixPath:
    return _of(repository, "_referrers")


def referrers(repository: Repository, subject: Digest) -> PurePosixPath:
    return all_subjects(repository) / subject.algorithm / subject.hex


def referrer(repository: Repository, subject: Digest, manifest_digest: Digest) -> PurePosixPath:
    return referrers(repository, subject) / _one_part(manifest_digest)


def template(prefix: str) -> PurePosixPath:
    """Of a prefix that was parsed as a repository's name, or is ROOT."""
    return TEMPLATES / prefix.replace("/", ":")


def digest_named(part: str) -> Digest:
    """Of a user or referrer, by its file's name."""
    return Digest.parse(part.replace("-", ":", 1))


def _one_part(digest: Digest) -> str:
    return f"{digest.algorithm}-{digest.hex}"


def _of(repository: Repository, *parts: str) -> PurePosixPath:
    return REPOSITORIES.joinpath(*repository.name.split("/"), *parts)
