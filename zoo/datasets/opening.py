"""Datasets by name: those that plugins read, and the layouts of zoo's own, opened and checked before hours are spent."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.datasets.catalogue import DISTRIBUTION, OWN
from zoo.datasets.dividing import NoSuchSplit
from zoo.datasets.sample import Reader
from zoo.errors import ConfigError, InputError, PluginError, ZooError, ZooWarning, some
from zoo.plugins import plugins
from zoo.spec import DatasetSpec, Variant

TRIED = 50  # sub-folders that are tried where a folder does not fit; ours: a second or two
PLACE = "opened_from"  # attribute of a reader: distribution and name of its dataset, and the folder


def list_datasets() -> list[tuple[str, DatasetSpec]]:
    """(distribution, dataset) of all that can be read: zoo's own layouts, then those of plugins, each by name."""
    found = [(DISTRIBUTION, one) for one in OWN]
    for plugin, datasets in plugins().call("zoo_register_datasets"):
        found += [(plugin.distribution, one) for one in sorted(datasets, key=lambda one: one.name)]
    return found


def find_dataset(name: str) -> tuple[str, DatasetSpec]:
    """(distribution, dataset) that `name` means; `DIST:NAME` where two distributions have one of that name.

    Raises:
        ConfigError: none has it, or several have.
    """
    distribution, _, own_name = name.rpartition(":")
    have = list_datasets()
    fitting = [one for one in have if one[1].name == own_name and distribution in ("", one[0])]
    if len(fitting) > 1:
        raise ConfigError(
            f"{len(fitting)} plugins read a dataset {name!r}; say which: {' or '.join(sorted(f'{d}:{own_name}' for d, _ in fitting))}"
        )
    if not fitting:
        names = sorted({one.name for _, one in have})
        near = difflib.get_close_matches(own_name, names, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(names)}"
        raise ConfigError(f"no dataset {name!r}; {hint} `zoo data` lists them all")
    return fitting[0]


def open_dataset(
    name: str,
    folder: str | Path | None,
    *,
    split: str,
    options: Mapping[str, Any],
    variant: Variant | None = None,
) -> Reader:
    """Open one split of a dataset.

    Args:
        name: of a dataset (`zoo data` lists them); `DIST:NAME` where two plugins have one of that name.
        folder: where it lies; `None` for what needs none.
        split: which part of it.
        options: keywords of its reader.
        variant: the network that the samples are for: zoo's own layouts prepare them by its inputs.

    Raises:
        ConfigError: no such dataset, or none of its options.
        InputError: the folder is not there or not the dataset's (says which one would be), or the split is empty.
        PluginError: the reader of a plugin failed.
    """
    distribution, spec = find_dataset(name)
    call = _Call(distribution=distribution, spec=spec, reader=_function(distribution, spec), split=split)
    call = call.bound(options, variant)
    if folder is None:
        if call.needs_folder:
            raise InputError(
                f"dataset {name!r} lies in a folder, and none is given; say which (expected {spec.source})"
            )
        return _marked(_not_empty(call.open(None), call, None), call, None)
    path = Path(folder).expanduser()
    if not path.exists():
        raise InputError(_absent(path, name))
    try:
        return _marked(_not_empty(call.open(path), call, path), call, path)
    except NoSuchSplit:
        raise
    except InputError as err:
        for other in _near(path):
            if _opens(call, other):
                raise InputError(f"{err}; {other} would fit: give that folder") from err
        raise


def shared_ids(one: Reader, other: Reader) -> list[str]:
    """Samples that two readers share: those with the same id, which is that of other samples in another folder.

    Readers of which `open_dataset` did not open both are taken to read the same folder.
    """
    places = {getattr(reader, PLACE, None) for reader in (one, other)}
    return [] if len(places) == 2 and None not in places else sorted(set(one.ids) & set(other.ids))


def check_splits(train: Reader, other: Reader) -> None:
    """Raise `InputError` where two splits share samples: what was learned by heart would count as understood."""
    shared = shared_ids(train, other)
    if not shared:
        return
    raise InputError(
        f"{len(shared)} of the {len(other.ids)} samples for validation are among the {len(train.ids)} for training:"
        f" {some(shared)}; take another split or folder: validation.split=NAME, validation.folder=PATH"
    )


def unknown_options(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise `ConfigError` for options that are none, with the nearest name."""
    known = sorted(known)
    for name in given:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"its options are {', '.join(known) or 'none'}"
        raise ConfigError(f"{what} has no option {name!r}; {hint}")


# --------------------------------------------------------------------------------------------------------- one reader


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A reader's function with all that it is called with but the folder."""

    distribution: str
    spec: DatasetSpec
    reader: Callable[..., Any]
    split: str
    keywords: Mapping[str, Any] | None = None

    @property
    def what(self) -> str:
        return f"dataset {self.spec.name!r}"

    @property
    def needs_folder(self) -> bool:
        first = next(iter(inspect.signature(self.reader).parameters.values()), None)
        return first is not None and first.default is first.empty

    def bound(self, options: Mapping[str, Any], variant: Variant | None) -> _Call:
        """With options that the reader is known to take.

        Raises:
            ConfigError: one is unknown, or one that it needs is not there.
        """
        _, *rest = inspect.signature(self.reader).parameters.values()
        own = {one.name: one for one in rest if one.name not in ("split", "variant")}
        known = _names(self.reader, own.values())
        if known is not None:
            unknown_options(options, known, self.what)
        named = [one for one in own.values() if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
        if absent := [one.name for one in named if one.default is one.empty and one.name not in options]:
            raise ConfigError(f"{self.what} also needs {', '.join(absent)}: say the option {absent[0]}=...")
        keywords = {**options, "split": self.split}
        if any(one.name == "variant" for one in rest):
            keywords["variant"] = variant
        return _Call(
            distribution=self.distribution, spec=self.spec, reader=self.reader, split=self.split, keywords=keywords
        )

    def open(self, folder: Path | None) -> Reader:
        given = () if folder is None and not self.needs_folder else (folder,)
        try:
            reader = self.reader(*given, **self.keywords or {})
        except (ZooError, Warning):  # a doubt, where the user made doubts errors
            raise
        except OSError as err:
            raise InputError(f"{self.what} cannot be read: {err}; expected {self.spec.source}") from err
        except Exception as err:
            raise PluginError(
                f"the reader of {self.what} ({self.spec.reader}, {self.distribution}) failed:"
                f" {type(err).__name__}: {err}; check the options, or report it to its authors"
            ) from err
        if not (hasattr(reader, "ids") and hasattr(reader, "classes") and callable(getattr(reader, "sample", None))):
            raise PluginError(
                f"{self.spec.reader} ({self.distribution}) gave a {type(reader).__name__}; expected a"
                " zoo.datasets.sample.Reader with ids, classes and sample; report it to its authors"
            )
        return typing.cast("Reader", reader)


def _function(distribution: str, spec: DatasetSpec) -> Callable[..., Any]:
    module, _, name = spec.reader.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except Exception as err:
        raise PluginError(
            f"the reader of dataset {spec.name!r}, {spec.reader} ({distribution}), cannot be imported:"
            f" {type(err).__name__}: {err}; reinstall {distribution}"
        ) from err
    return found


def _names(reader: Callable[..., Any], parameters: Iterable[inspect.Parameter]) -> list[str] | None:
    """Names of a reader's options, also of those in `**options: Unpack[...]`; `None` where it takes any."""
    names: list[str] = []
    for one in parameters:
        if one.kind is not one.VAR_KEYWORD:
            names.append(one.name)
            continue
        hint = typing.get_type_hints(reader).get(one.name)
        if typing.get_origin(hint) is not typing.Unpack:
            return None
        names += typing.get_type_hints(typing.get_args(hint)[0])
    return names


# ------------------------------------------------------------------------------------------------------------ folders


def _not_empty(reader: Reader, call: _Call, folder: Path | None) -> Reader:
    if len(reader.ids) == 0:
        where = "" if folder is None else f" in {folder}"
        raise InputError(
            f"split {call.split!r} of {call.what}{where} is empty; expected {call.spec.source}:"
            " check the folder, the split and the options"
        )
    return reader


def _marked(reader: Reader, call: _Call, folder: Path | None) -> Reader:
    """The reader, which from now on knows its place; one with slots does not, see `shared_ids`."""
    place = (call.distribution, call.spec.name, str(folder.resolve()) if folder else "")
    with contextlib.suppress(AttributeError):
        object.__setattr__(reader, PLACE, place)  # of a frozen dataclass, too
    return reader


def _absent(path: Path, name: str) -> str:
    there = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    near: Sequence[str] = difflib.get_close_matches(path.name, there, n=3)
    if near:
        return f"{path} does not exist; did you mean {', '.join(str(path.parent / one) for one in near)}?"
    above = next(one for one in path.resolve().parents if one.exists())
    return f"{path} does not exist ({above} does); give the folder in which dataset {name!r} lies"


def _near(path: Path) -> Iterator[Path]:
    """Folders that a user may have meant: those in the one that was named, and the one it is in."""
    if path.is_dir():
        yield from sorted(one for one in path.iterdir() if one.is_dir())[:TRIED]
    yield path.resolve().parent


def _opens(call: _Call, folder: Path) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZooWarning)  # doubts about data that nobody asked for
            return len(call.open(folder).ids) > 0
    except ZooError:
        return False
