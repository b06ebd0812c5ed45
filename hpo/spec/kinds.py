"""The kinds of study, told apart by their `kind`, and how a table becomes a specification of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, TypeAdapter, ValidationError

from hpo.errors import SpecError
from hpo.spec.base import Shown, either, faults, suggest, unknown_keys
from hpo.spec.comparison import ComparisonSpec
from hpo.spec.final import FinalSpec
from hpo.spec.search import SearchSpec
from hpo.spec.study import StudySpec

# What people write in study files, and beside it what hpo itself makes and stores.
WRITTEN: TypeAdapter[StudySpec] = TypeAdapter(Annotated[ComparisonSpec | SearchSpec, Discriminator("kind")])
STORED: TypeAdapter[StudySpec] = TypeAdapter(
    Annotated[ComparisonSpec | SearchSpec | FinalSpec, Discriminator("kind")]
)
WRITTEN_KINDS: dict[str, type[StudySpec]] = {"comparison": ComparisonSpec, "search": SearchSpec}


def parse(study: object, *, source: str = "study", kinds: TypeAdapter[StudySpec] = STORED) -> StudySpec:
    """The spec in a mapping as TOML or JSON reads it. `source` opens the line of a SpecError."""
    if not isinstance(study, Mapping):
        raise SpecError(source, "must be a table", got=Shown(study))
    table, found = dict(study), list[SpecError]()
    while True:
        try:
            spec = kinds.validate_python(table)
            break
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] in ("union_tag_not_found", "union_tag_invalid"):
                raise _no_such_kind(study, source=source) from None
            told = {str(other) for other in found}
            further = [fault for fault in faults(error, study, source=source) if str(fault) not in told]
            # A space of which nothing is left, as all in it was unknown, is not the empty one that it seems.
            is_emptied = bool(study.get("space")) and not table.get("space")
            found += [one for one in further if not (is_emptied and one.place == f"{source}: space")]
            if not (unknown := unknown_keys(error)):
                break
            # Each hides what else is wrong with its table.
            for path in unknown:
                table = _without(table, path)
    if found:
        raise found[0].with_further(found[1:])
    return spec


def _without(tree: Any, path: tuple[Any, ...]) -> Any:
    """A copy of nested tables and lists without the key at the end of a path."""
    key, *rest = path
    if isinstance(tree, Mapping):
        kept = {name: value for name, value in tree.items() if rest or name != key}
        return kept | {key: _without(kept[key], tuple(rest))} if rest and key in kept else kept
    if isinstance(tree, list | tuple) and isinstance(key, int) and rest:
        return [_without(item, tuple(rest)) if at == key else item for at, item in enumerate(tree)]
    return tree


def _no_such_kind(study: Mapping[str, Any], *, source: str) -> SpecError:
    if "kind" not in study:
        kinds = " or ".join(f'kind = "{kind}"' for kind in WRITTEN_KINDS)
        return SpecError(source, "required key 'kind' is missing", remedy=f"Set {kinds}.")
    rule, kind = f"must be {either(WRITTEN_KINDS)}", study["kind"]
    return SpecError(f"{source}: kind", rule, got=Shown(kind), remedy=suggest(kind, WRITTEN_KINDS))
