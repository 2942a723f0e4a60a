"""Every error that zoo raises on purpose.

::

    ZooError
    |-- SpecError            a model's description contradicts itself
    |-- PluginError          a plugin failed at import, registration, a hook call or its builder
    |-- UnknownModel         no installed plugin has a model of that name
    |-- WeightsError         weights are missing, altered, or do not fit the network
    |   `-- HubError         the Hub could not give them: offline, no access, no such file, too many requests
    |-- InputError           the user's data do not fit the model's inputs
    |-- OutputError          a result cannot be written where or how it was asked for
    |-- ConfigError          an option or a recipe is wrong
    `-- MissingDependency    an optional package is needed here

A message says what was found, what was expected and what to type next.
"""

from __future__ import annotations

from collections.abc import Sequence


class ZooError(Exception):
    """Base of all errors that zoo raises on purpose; the command line prints its message without a traceback."""


class SpecError(ZooError):
    """A model's description is incomplete or contradicts itself."""


class PluginError(ZooError):
    """A plugin failed at import, registration, a hook call or its builder."""


class UnknownModel(ZooError):
    """No installed plugin has a model (or variant) of that name."""


class WeightsError(ZooError):
    """Weights are missing, altered, unsafe, or do not fit the network."""


class HubError(WeightsError):
    """The Hub could not give a file: offline, no access, no such file, too many requests."""


class InputError(ZooError):
    """The user's data do not fit the inputs that the model declares."""


class OutputError(ZooError):
    """A result cannot be written where, or in the format, that was asked for."""


class ConfigError(ZooError):
    """An option, a setting or a recipe is wrong."""


class MissingDependency(ZooError):
    """A package that only some uses need is not installed; the message has the line to type."""


class ZooWarning(UserWarning):
    """A doubt about the user's data or options that does not stop the work."""


def some(names: Sequence[object], most: int = 3) -> str:
    """The first `most` of the names, and how many more there are: messages stay short whatever the data hold."""
    more = len(names) - most
    return ", ".join(str(one) for one in names[:most]) + (f", and {more} more" if more > 0 else "")
