"""The whole contract between zoo and a plugin: one marker, seven hooks.

A plugin is a package with an entry point in the group `zoo` that names a module with functions marked `@hookimpl`.
Hooks return values and do no work at import; the heavy parts of a plugin are named by strings (`"pkg.mod:name"`) and
imported when a model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from zoo.spec import DatasetSpec, InputSpec, ModelSpec
    from zoo.training.events import TrainEvent

hookspec = pluggy.HookspecMarker("zoo")
hookimpl = pluggy.HookimplMarker("zoo")


@hookspec
def zoo_register_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """Models of this plugin. Called once per process, by the registry."""


@hookspec
def zoo_register_datasets() -> Sequence[DatasetSpec]:  # type: ignore[empty-body]
    """Dataset readers of this plugin. Called by `zoo data`, and where training or evaluation name a dataset."""


@hookspec
def zoo_register_commands(cli: click.Group) -> None:
    """Add commands to `cli` for what no task has. Called when the first word typed is not a verb of zoo, or for help."""


@hookspec(firstresult=True)
def zoo_open_source(uri: str, inputs: Sequence[InputSpec]) -> Any | None:
    """Open data that zoo's own readers cannot (a cloud store, an instrument's format); `None` = not mine.

    Returns a `zoo.io.source.RasterSource`, such as `zoo.open_array` gives. `inputs` is empty where zoo only asks whether
    a folder is one source rather than a folder of files.
    """


@hookspec(firstresult=True)
def zoo_save_result(result: Any, path: str) -> bool | None:
    """Write `result` in a format that zoo does not know, told by the extension of `path`; `None` = not mine."""


@hookspec
def zoo_observe_training(event: TrainEvent) -> None:
    """See what a run does: it began, logged, was evaluated, saved, ended. Called in the main process; a failure is told
    once and stops nothing.
    """


@hookspec
def zoo_extra_checks(spec: ModelSpec) -> Sequence[Any]:  # type: ignore[empty-body]
    """Conformance checks that `zoo check` runs beside its own, each a function of one `zoo.testing.Subject`."""
