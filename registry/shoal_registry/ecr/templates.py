"""What the first push to a name makes: repository creation templates, and the switch CREATE_ON_PUSH."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from shoal.arn import OWNER

from shoal_registry import creation
from shoal_registry.creation import ROOT, AppliedFor, Switch, Template
from shoal_registry.ecr import labels, lifecycle_policy, page_tokens, repository
from shoal_registry.ecr.errors import Failed
from shoal_registry.ecr.labels import Label
from shoal_registry.names import Repository
from shoal_registry.registry import Call
from shoal_registry.rights import policy
from shoal_registry.rights.policy import InvalidPolicyError
from shoal_registry.settings import ExclusionFilter, Mutability
from shoal_registry.storage import paths

LOCK = "settings"
PAGE = 100
Description = Annotated[str, msgspec.Meta(max_length=256)]


class CreateRepositoryCreationTemplate(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    prefix: str
    applied_for: Annotated[list[AppliedFor], msgspec.Meta(min_length=1)]
    description: Description = ""
    resource_tags: list[Label] | None = None
    image_tag_mutability: Mutability = "MUTABLE"
    image_tag_mutability_exclusion_filters: list[ExclusionFilter] | None = None
    lifecycle_policy: str = ""
    repository_policy: str = ""


class UpdateRepositoryCreationTemplate(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What is not said stays."""

    prefix: str
    applied_for: Annotated[list[AppliedFor], msgspec.Meta(min_length=1)] | None = None
    description: Description | None = None
    resource_tags: list[Label] | None = None
    image_tag_mutability: Mutability | None = None
    image_tag_mutability_exclusion_filters: list[ExclusionFilter] | None = None
    lifecycle_policy: str | None = None
    repository_policy: str | None = None


class DescribeRepositoryCreationTemplates(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    prefixes: list[str] | None = None
    next_token: str | None = None
    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


class DeleteRepositoryCreationTemplate(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    prefix: str


class GetAccountSetting(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: Literal["CREATE_ON_PUSH"]


class PutAccountSetting(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    name: Literal["CREATE_ON_PUSH"]
    value: Switch


async def create(call: Call, request: CreateRepositoryCreationTemplate) -> Mapping[str, Any]:
    prefix, now = _prefix(request.prefix), call.registry.now()
    made = Template(
        prefix=prefix,
        applied_for=tuple(request.applied_for),
        created_at=now,
        updated_at=now,
        description=request.description,
        image_tag_mutability=request.image_tag_mutability,
        image_tag_mutability_exclusion_filters=repository.filters(
            request.image_tag_mutability, request.image_tag_mutability_exclusion_filters
        ),
        resource_tags=labels.checked(request.resource_tags),
        lifecycle_policy=_lifecycle_policy(request.lifecycle_policy),
        repository_policy=_repository_policy(request.repository_policy),
    )
    async with call.registry.store.lock(LOCK):
        if await _find(call, prefix) is not None:
            raise Failed("TemplateAlreadyExistsException", f"There is a template for {prefix} already.")
        await creation.put_template(call.registry.store, made)
    return _answer(made)


async def update(call: Call, request: UpdateRepositoryCreationTemplate) -> Mapping[str, Any]:
    prefix = _prefix(request.prefix)
    changes: dict[str, Any] = {"updated_at": call.registry.now()}
    if request.applied_for is not None:
        changes["applied_for"] = tuple(request.applied_for)
    if request.description is not None:
        changes["description"] = request.description
    if request.resource_tags is not None:
        changes["resource_tags"] = labels.checked(request.resource_tags)
    if request.lifecycle_policy is not None:
        changes["lifecycle_policy"] = _lifecycle_policy(request.lifecycle_policy)
    if request.repository_policy is not None:
        changes["repository_policy"] = _repository_policy(request.repository_policy)
    if request.image_tag_mutability is not None:
        changes["image_tag_mutability"] = request.image_tag_mutability
    if request.image_tag_mutability_exclusion_filters is not None or request.image_tag_mutability is not None:
        changes["image_tag_mutability_exclusion_filters"] = request.image_tag_mutability_exclusion_filters or ()
    async with call.registry.store.lock(LOCK):
        changed = msgspec.structs.replace(_existing(await _find(call, prefix), prefix), **changes)
        repository.filters(changed.image_tag_mutability, changed.image_tag_mutability_exclusion_filters)
        await creation.put_template(call.registry.store, changed)
    return _answer(changed)


async def describe(call: Call, request: DescribeRepositoryCreationTemplates) -> Mapping[str, Any]:
    known = {each.prefix: each for each in await creation.templates(call.registry.store)}
    if request.prefixes is not None:
        found = [known[prefix] for prefix in map(_prefix, request.prefixes) if prefix in known]
        return {"registryId": OWNER, "repositoryCreationTemplates": [_document(each) for each in found]}
    limit = request.max_results or PAGE
    begin = page_tokens.begin(request.next_token, page_tokens.NAME)
    after = [each for prefix, each in known.items() if prefix > begin]
    page: dict[str, Any] = {
        "registryId": OWNER,
        "repositoryCreationTemplates": [_document(each) for each in after[:limit]],
    }
    return page if len(after) <= limit else {**page, "nextToken": after[limit - 1].prefix}


async def delete(call: Call, request: DeleteRepositoryCreationTemplate) -> Mapping[str, Any]:
    prefix = _prefix(request.prefix)
    async with call.registry.store.lock(LOCK):
        gone = _existing(await _find(call, prefix), prefix)
        await call.registry.store.delete(paths.template(prefix))
    return _answer(gone)


async def account_setting(call: Call, request: GetAccountSetting) -> Mapping[str, Any]:
    return {"name": request.name, "value": await creation.on_push(call.registry.store)}


async def put_account_setting(call: Call, request: PutAccountSetting) -> Mapping[str, Any]:
    await creation.switch_on_push(call.registry.store, request.value)
    return {"name": request.name, "value": request.value}


def _prefix(text: str) -> str:
    """Raises Refused."""
    return text if text == ROOT else Repository.parse(text.removesuffix("/")).name


def _lifecycle_policy(text: str) -> str:
    """Empty for none. Raises Failed."""
    if text:
        lifecycle_policy.checked(text)
    return text


def _repository_policy(text: str) -> str:
    """Empty for none. Raises Failed."""
    try:
        if text:
            policy.parse(text)
    except InvalidPolicyError as error:
        raise Failed("InvalidParameterException", f"repositoryPolicy: {error}") from None
    return text


async def _find(call: Call, prefix: str) -> Template | None:
    content = await call.registry.store.read(paths.template(prefix))
    return None if content is None else msgspec.json.decode(content, type=Template)


def _existing(found: Template | None, prefix: str) -> Template:
    if found is None:
        raise Failed("TemplateNotFoundException", f"There is no template for {prefix}.")
    return found


def _answer(template: Template) -> dict[str, Any]:
    return {"registryId": OWNER, "repositoryCreationTemplate": _document(template)}


def _document(template: Template) -> dict[str, Any]:
    """As ECR's RepositoryCreationTemplate."""
    return {
        "prefix": template.prefix,
        "description": template.description,
        "appliedFor": list(template.applied_for),
        "createdAt": template.created_at,
        "updatedAt": template.updated_at,
        "lifecyclePolicy": template.lifecycle_policy,
        "repositoryPolicy": template.repository_policy,
        "resourceTags": labels.document(template.resource_tags),
        **repository.mutability_document(template),
    }
