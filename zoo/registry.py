"""From a reference that a user types to the spec of a model.

`smarties` is a model with its first variant, `smarties@vit-l` names a variant, `zoo-smarties:smarties` says which
distribution is meant where two claim the name.
"""

from __future__ import annotations

import difflib
import functools
import importlib.resources
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import SpecError, UnknownModel
from zoo.plugins import Plugin, installed, plugins
from zoo.spec import ModelSpec, Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A model and the plugin that brought it."""

    spec: ModelSpec
    plugin: Plugin


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All models of all plugins that work, by name. `entries.cache_clear()` forgets them."""
    found = plugins()
    rows: list[Entry] = []
    for plugin, specs in found.call("zoo_register_models"):
        try:
            rows += [Entry(spec=spec, plugin=plugin) for spec in _checked(specs)]
        except SpecError as err:
            found.fail(plugin.name, plugin.distribution, "zoo_register_models", err)
    return tuple(sorted(rows, key=lambda entry: (entry.spec.name, entry.plugin.distribution)))


def find(reference: str) -> tuple[Entry, Variant]:
    """The entry and variant that `[DIST:]NAME[@TAG]` names.

    Raises:
        UnknownModel: nobody has that name (near misses and the install line are given), two plugins claim it, or the
            model has no such variant.
    """
    distribution, _, rest = reference.rpartition(":")
    name, _, tag = rest.partition("@")
    rows = [
        entry
        for entry in entries()
        if entry.spec.name == name and distribution in ("", entry.plugin.distribution, entry.plugin.name)
    ]
    if not rows:
        raise UnknownModel(_nobody_has(reference, name))
    if len(rows) > 1:
        owners = " and ".join(entry.plugin.distribution for entry in rows)
        choices = " or ".join(f"{entry.plugin.distribution}:{rest}" for entry in rows)
        raise UnknownModel(f"{name!r} is claimed by {owners}; say which: {choices}")
    return rows[0], variant_of(rows[0].spec, tag)


def variant_of(spec: ModelSpec, tag: str) -> Variant:
    """The variant of that tag, the default for an empty one."""
    if not tag:
        return spec.default
    for variant in spec.variants:
        if variant.tag == tag:
            return variant
    tags = [variant.tag for variant in spec.variants]
    near = difflib.get_close_matches(tag, tags, n=3) or tags
    raise UnknownModel(
        f"{spec.name!r} has no variant {tag!r}; try "
        + ", ".join(f"{spec.name}@{one}" for one in near)
        + f"; all are in `zoo info {spec.name}`"
    )


def first_party() -> list[str]:
    """Models of this project, whose plugins may not be installed: the line to type is worth giving."""
    return importlib.resources.files("zoo").joinpath("first_party.txt").read_text().split()


def _nobody_has(reference: str, name: str) -> str:
    have, offered = sorted({entry.spec.name for entry in entries()}), first_party()
    lines = [f"no installed plugin has a model {reference!r}"]
    if Path(reference).is_dir():
        lines.append(f"for the folder of that name say ./{reference}")
    if near := difflib.get_close_matches(name, sorted({*have, *offered}), n=3):
        lines.append("did you mean " + ", ".join(near) + "?")
    for one in [name, *near]:
        if one in offered and one not in have:
            lines.append(f"{one} comes with `zoo install zoo-{one}`")
            break
    else:
        lines.append("`zoo list` shows what there is")
    for failure in plugins().failures:
        if name in (failure.name, failure.distribution.removeprefix("zoo-")):
            lines.append(str(failure))
    if not installed():
        lines.append("no plugins are installed")
    return "; ".join(lines)


def _checked(specs: object) -> list[ModelSpec]:
    """The rows that a plugin returned; one bad row drops all of them, with a reason."""
    if not isinstance(specs, list | tuple):
        raise SpecError(f"zoo_register_models returned a {type(specs).__name__}, expected a list of ModelSpec")
    for spec in specs:
        if not isinstance(spec, ModelSpec):
            raise SpecError(f"zoo_register_models returned a {type(spec).__name__} in its list, expected a ModelSpec")
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise SpecError(f"zoo_register_models returned a name twice: {', '.join(names)}")
    return list(specs)


def list_models(task: str | None = None) -> list[ModelSpec]:
    """Specs of all installed models, by name; of one task if asked."""
    return [entry.spec for entry in entries() if task is None or entry.spec.task == task]
