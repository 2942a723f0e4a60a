"""Installing and removing plugins, with uv where it is on the path, else pip.

What was installed is imported in a fresh process afterwards: a plugin that cannot be imported is reported with its
traceback's last line, and stays removable, since `zoo uninstall` imports no plugin.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import invalidate_caches

from zoo.errors import PluginError
from zoo.plugins import installed


def install(packages: Sequence[str], *, editable: bool = False) -> Iterator[str]:
    """Install `packages`; yields a line per plugin that came with them.

    Raises:
        PluginError: the installer failed, or a plugin does not import; the rest stays installed.
    """
    before = {entry.name for entry in installed()}
    flags = ["-e"] if editable else []
    _run([*_installer("install"), *(word for package in packages for word in (*flags, package))])
    invalidate_caches()
    new = [entry for entry in installed() if entry.name not in before]
    broken = []
    for entry in new:
        reason = _import_error(entry.module)
        version = entry.dist.version if entry.dist else ""
        if reason:
            broken.append(f"{entry.name}: {reason}")
        else:
            yield f"installed plugin {entry.name} {version}"
    if not new:
        have = ", ".join(sorted(before)) or "none"
        yield f"installed; no plugin came that was not there before (plugins: {have})"
    if broken:
        raise PluginError(
            "installed, but cannot be imported: "
            + "; ".join(broken)
            + "; the other plugins work; `zoo plugins --why NAME` shows the traceback, `zoo uninstall` removes it"
        )


def uninstall(packages: Sequence[str]) -> Iterator[str]:
    """Remove plugins, called by their names or by those of their distributions; yields a line for each.

    Raises:
        PluginError: one of them is not installed (nothing is removed), or the installer failed.
    """
    homes = {entry.name: entry.dist.name for entry in installed() if entry.dist}
    known = {home.lower(): home for home in homes.values()} | homes
    if missing := [package for package in packages if package.lower() not in known]:
        have = ", ".join(sorted(set(homes.values()))) or "none"
        raise PluginError(f"{', '.join(missing)}: no such plugin is installed; installed plugins: {have}")
    homes_of = [known[package.lower()] for package in packages]
    quiet = [] if shutil.which("uv") else ["-y"]
    _run([*_installer("uninstall"), *quiet, *homes_of])
    for home in homes_of:
        yield f"removed {home}"


def _installer(verb: str) -> list[str]:
    if uv := shutil.which("uv"):
        return [uv, "pip", verb, "--python", sys.executable]
    return [sys.executable, "-m", "pip", verb]


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise PluginError(f"`{' '.join(command)}` failed:\n" + "\n".join(lines))


def _import_error(module: str) -> str | None:
    done = subprocess.run([sys.executable, "-c", f"import {module}"], check=False, capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
