"""Read commit, SHA-256 and size of every published weights file from the Hub, and fill them in where they stand.

    python tools/pin_weights.py            print what differs from the descriptions of the installed plugins
    python tools/pin_weights.py --write    write it to `pins.py` of each plugin's package

`pins.py` holds one table, which the plugin's description looks up: `Weights(..., **PINS.get("org/name/file", {}))`.
Nothing is downloaded but small files that the Hub keeps without a SHA-256. Exit code 1 if a file could not be read or
differs from its pin: a published file that changed is for a person to look at.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from zoo.errors import ZooError
from zoo.hub.client import Wanted, declared, resolve
from zoo.hub.fetch import BRANCH, fetch
from zoo.registry import entries
from zoo.spec import Weights

FIELDS = ("revision", "sha256", "size")


def published() -> Iterator[tuple[str, Weights]]:
    """(package of the plugin, weights) of every file on the Hub that an installed plugin names, once each."""
    seen = set()
    for entry in entries():
        for variant in entry.spec.variants:
            weights = variant.weights
            if weights is not None and weights.repo is not None and (weights.repo, weights.file) not in seen:
                seen.add((weights.repo, weights.file))
                yield entry.plugin.module.__name__, weights


def read_pin(weights: Weights) -> Weights:
    """The same weights with commit, hash and size as the Hub declares them; a commit that is pinned stays."""
    assert weights.repo is not None
    wanted = Wanted(
        repo=weights.repo,
        revision=weights.revision or BRANCH,
        names=(weights.file,),
        offline=False,
        progress=None,
    )
    commit = wanted.revision if wanted.pinned else resolve(wanted)
    told = declared(wanted, commit)[weights.file]
    sha256 = (
        told.name
        if len(told.name) == 64
        else fetch(Weights(repo=weights.repo, file=weights.file, revision=commit)).sha256
    )
    return replace(weights, revision=commit, sha256=sha256, size=told.size)


def table(pins: dict[str, Weights]) -> str:
    """The text of a `pins.py`."""
    rows = []
    for key, pin in sorted(pins.items()):
        fields = "".join(f'        "{name}": {_literal(getattr(pin, name))},\n' for name in FIELDS)
        rows.append(f'    "{key}": {{\n{fields}    }},\n')
    return (
        '"""Commit, SHA-256 and size of the published files, as the Hub declared them; written by tools/pin_weights.py."""\n'
        "\nfrom typing import Any\n\n"
        f"PINS: dict[str, dict[str, Any]] = {{\n{''.join(rows)}}}\n"
    )


def _literal(value: str | int | None) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write pins.py of each plugin's package")
    options = parser.parse_args(arguments)
    code, packages = 0, {}
    for package, weights in published():
        key = f"{weights.repo}/{weights.file}"
        try:
            pin = read_pin(weights)
        except ZooError as err:
            print(f"{key}: {err}", file=sys.stderr)
            code = 1
            continue
        for name in FIELDS:
            have, found = getattr(weights, name), getattr(pin, name)
            if have is not None and have != found:
                print(f"{key}: {name} is {found}, pinned is {have}", file=sys.stderr)
                code = 1
        print(f"{key}  {pin.revision}  {pin.sha256}  {pin.size}{'' if weights.pinned else '  (new)'}")
        packages.setdefault(package, {})[key] = pin
    if options.write and code == 0:
        for package, pins in packages.items():
            spec = importlib.util.find_spec(package)
            assert spec is not None
            assert spec.origin is not None
            file = Path(spec.origin).with_name("pins.py")
            file.write_text(table(pins))
            print(f"wrote {file}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
