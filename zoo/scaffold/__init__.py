"""A plugin to start from: templates that `zoo new` fills in with a name.

`templates/plugin` is what all tasks share, `templates/<task>` the rest; a further task is a further folder. Files end in
`.tmpl` and use `$name`; PACKAGE and IDENTIFIER in their paths are replaced too.
"""

from __future__ import annotations

import importlib.util
import re
import string
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import ConfigError, OutputError

TEMPLATES = Path(__file__).parent / "templates"


def tasks() -> list[str]:
    """Tasks for which there is a template."""
    return sorted(folder.name for folder in TEMPLATES.iterdir() if folder.name not in ("plugin", "licences"))


def licences() -> list[str]:
    """Licences whose text is at hand."""
    return sorted(file.name for file in (TEMPLATES / "licences").iterdir())


def new_plugin(name: str, task: str, folder: Path, *, licence: str = "Apache-2.0") -> list[Path]:
    """Write a plugin that works, for its author to go on from.

    Args:
        name: of the model: small letters, digits and hyphens.
        task: one of `tasks()`.
        folder: to make; it may exist if it is empty.
        licence: of the plugin's code, one of `licences()`.

    Returns:
        The files, in order.

    Raises:
        ConfigError: the name, task or licence will not do.
        OutputError: the folder holds something already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "kelp"
        raise ConfigError(f"found the name {name!r}; expected small letters, digits and hyphens, such as {near!r}")
    for what, value, known in (("task", task, tasks()), ("licence", licence, licences())):
        if value not in known:
            raise ConfigError(f"no template for the {what} {value!r}; there is one for {', '.join(known)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} exists and is not empty; name another folder with --to")
    words = _words(name, licence)
    made = []
    for path, text in (*_rendered("plugin", words), *_rendered(task, words)):
        made.append(_write(folder / path, text))
    made.append(_write(folder / "LICENSE", _filled((TEMPLATES / "licences" / licence).read_text(), words)))
    made.append(_write(folder / "CARD.md", _card(folder / words["package"] / "__init__.py")))
    return sorted(made)


def _words(name: str, licence: str) -> dict[str, str]:
    identifier = name.replace("-", "_")
    return {
        "name": name,
        "identifier": identifier,
        "distribution": f"zoo-{name}",
        "package": f"zoo_{identifier}",
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "licence": licence,
    }


def _rendered(template: str, words: dict[str, str]) -> Iterator[tuple[str, str]]:
    root = TEMPLATES / template
    for file in sorted(root.rglob("*.tmpl")):
        path = str(file.relative_to(root)).removesuffix(".tmpl")
        path = path.replace("PACKAGE", words["package"]).replace("IDENTIFIER", words["identifier"])
        yield path, _filled(file.read_text(), words)


def _filled(text: str, words: dict[str, str]) -> str:
    return string.Template(text).substitute(words)


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as err:
        raise OutputError(
            f"cannot write {path}: {err.strerror}; name a folder that you may write to with --to"
        ) from err
    return path


def _card(module: Path) -> str:
    """The Hub card of the description that was just written."""
    from zoo.cards import render_card

    described = importlib.util.spec_from_file_location(module.parent.name, module)
    assert described is not None
    assert described.loader is not None
    plugin = importlib.util.module_from_spec(described)
    described.loader.exec_module(plugin)
    return render_card(plugin.SPEC)
