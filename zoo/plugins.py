"""Discovery of plugins, each behind fences: a broken one costs one line, and everything else works.

pluggy's own `load_setuptools_entrypoints` stops at the first import that fails and accepts misspelt hooks, so the loop
is ours. Fences stand at import, at registration, at every hook call, and (in `zoo.model`) at the builder.

`ZOO_PLUGINS=a,b` allows only those plugins, decided before any import; `ZOO_STRICT=1` makes every failure raise.
"""

from __future__ import annotations

import functools
import logging
import os
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy

from zoo import hookspecs
from zoo.errors import PluginError

logger = logging.getLogger(__name__)

GROUP = "zoo"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plugin:
    """A plugin that was imported and registered."""

    name: str
    distribution: str
    version: str
    module: ModuleType


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What went wrong with a plugin, at which stage (`import`, `register`, or the name of a hook)."""

    name: str
    distribution: str
    stage: str
    cause: BaseException

    def __str__(self) -> str:
        return (
            f"plugin {self.name!r} ({self.distribution}) failed at {self.stage}:"
            f" {type(self.cause).__name__}: {' '.join(str(self.cause).split())}; see `zoo plugins --why {self.name}`"
        )

    def traceback(self) -> str:
        return "".join(traceback.format_exception(self.cause))


@dataclass(kw_only=True, slots=True)
class Plugins:
    """The plugins of this process, and the failures met so far."""

    manager: pluggy.PluginManager
    loaded: dict[str, Plugin] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def call(self, hook: str, *, without: Collection[str] = (), **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
        """Call `hook` in every plugin but those named in `without`, one by one, so that the culprit of an error is known.

        Yields:
            (plugin, what it returned), for the plugins that did not fail.
        """
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            plugin = self.loaded[implementation.plugin_name]
            if plugin.name in without:
                continue
            try:
                given = {name: arguments[name] for name in implementation.argnames}
                result = implementation.function(**given)
            except (Exception, SystemExit) as err:
                self.fail(plugin.name, plugin.distribution, hook, err)
                continue
            yield plugin, result

    def first(self, hook: str, **arguments: Any) -> Any | None:
        """What the first plugin that does not answer `None` says."""
        return next((result for _, result in self.call(hook, **arguments) if result is not None), None)

    def fail(self, name: str, distribution: str, stage: str, cause: BaseException) -> None:
        failure = Failure(name=name, distribution=distribution, stage=stage, cause=cause)
        if os.environ.get("ZOO_STRICT") == "1":
            raise PluginError(str(failure)) from cause
        self.failures.append(failure)
        logger.warning("%s", failure)


@functools.cache
def plugins() -> Plugins:
    """All plugins allowed by `ZOO_PLUGINS`, imported once per process. `plugins.cache_clear()` forgets them."""
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    found = Plugins(manager=manager)
    for entry in installed():
        try:
            module = entry.load()
        except (Exception, SystemExit) as err:
            found.fail(entry.name, _distribution(entry), "import", err)
            continue
        try:
            _register(found, entry, module)
        except PluginError as err:
            found.fail(entry.name, _distribution(entry), "register", err)
    return found


def installed() -> list[EntryPoint]:
    """Entry points of all allowed plugins, by name; nothing is imported."""
    allowed = os.environ.get("ZOO_PLUGINS")
    names = None if allowed is None else {name.strip() for name in allowed.split(",")}
    found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _distribution(entry)))
    return [entry for entry in found if names is None or entry.name in names or _distribution(entry) in names]


def _register(found: Plugins, entry: EntryPoint, module: ModuleType) -> None:
    if entry.name in found.loaded:
        other = found.loaded[entry.name].distribution
        raise PluginError(f"{_distribution(entry)} and {other} both call their plugin {entry.name!r}")
    _reject_unknown_hooks(module)
    try:
        found.manager.register(module, name=entry.name)
    except Exception as err:
        found.manager.unregister(name=entry.name)
        raise PluginError(str(err)) from err
    found.loaded[entry.name] = Plugin(
        name=entry.name,
        distribution=_distribution(entry),
        version=entry.dist.version if entry.dist else "",
        module=module,
    )


def _reject_unknown_hooks(module: ModuleType) -> None:
    """pluggy registers a misspelt hook without a word."""
    known = [name for name in vars(hookspecs) if name.startswith("zoo_")]
    for name, member in vars(module).items():
        if getattr(member, "zoo_impl", None) is not None and name not in known:
            raise PluginError(f"{module.__name__}.{name} is not a hook; the hooks are {', '.join(known)}")


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown distribution"
