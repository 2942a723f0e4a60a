"""The description: complete, consistent, pinned, and free to import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

from zoo.errors import some
from zoo.spec import ModelSpec
from zoo.spec_json import decode, encode
from zoo.testing.subject import Subject, builder_path, fail

HEAVY = ("torch", "numpy", "rasterio", "scipy", "pandas", "timm", "transformers", "omegaconf", "huggingface_hub")


def check_spec(subject: Subject) -> None:
    """The description survives JSON, what it names exists, and each preprocessing number has a source."""
    if decode(ModelSpec, encode(subject.spec)) != subject.spec:
        fail("the description changes on its way through JSON", "plain data", "Use tuples, str keys and no objects.")
    for path in _named(subject):
        try:
            builder_path(path)
        except (ImportError, AttributeError) as err:
            fail(f"{path!r} cannot be imported ({err})", "'package.module:name'", "Correct it in the ModelSpec.")
    for item in subject.variant.inputs:
        for step in item.steps:
            if not step.source.strip():
                fail(
                    f"the {type(step).__name__} of input {item.name!r} has no source",
                    "where its numbers come from",
                    "Name the paper's section or the file at a commit, or write 'ours: why'.",
                )
    for name in ("summary", "paper.title", "paper.bibtex"):
        value = subject.spec.summary if name == "summary" else getattr(subject.spec.paper, name.partition(".")[2])
        if not value.strip():
            fail(f"{name} is empty", "text", "`zoo list` and `zoo info` show it.")


def check_licences(subject: Subject) -> None:
    """Licences are SPDX expressions, in the canonical spelling, or `None` where the authors state none."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    told = {f"licences.{part}": getattr(subject.spec.licences, part) for part in ("code", "weights", "data")}
    for variant in subject.spec.variants:
        if variant.weights:
            told[f"weights of {variant.tag}"] = variant.weights.license
    for where, licence in told.items():
        if licence is None:
            continue
        try:
            canonical = canonicalize_license_expression(licence)
        except InvalidLicenseExpression:
            canonical = None
        if canonical != licence:
            fail(
                f"{where} is {licence!r}",
                repr(canonical) if canonical else "an SPDX expression such as 'CC-BY-4.0', or None",
                "The identifiers are at https://spdx.org/licenses.",
            )


def check_pins(subject: Subject) -> str | None:
    """A revision is a commit and a hash is a hash; a branch would change under its users."""
    unpinned = []
    for variant in subject.spec.variants:
        weights = variant.weights
        if weights is None:
            continue
        for name, value, digits in (("revision", weights.revision, 40), ("sha256", weights.sha256, 64)):
            if value is not None and not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
                fail(
                    f"{name} of {subject.spec.name}@{variant.tag} is {value!r}",
                    f"{digits} hexadecimal digits, or None until it was read",
                    "A branch or tag moves; give the commit.",
                )
        if not weights.pinned:
            unpinned.append(variant.tag)
    return f"not pinned yet: {some(unpinned)}" if unpinned else None


def check_import(subject: Subject) -> None:
    """Importing the plugin and asking for its models loads nothing heavy, so that `zoo list` stays fast."""
    module = subject.plugin.module.__name__
    code = (
        f"import sys, {module} as plugin\n"
        "getattr(plugin, 'zoo_register_models', list)()\n"
        f"print('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        fail(f"`import {module}` fails: {done.stderr.strip().splitlines()[-1]}", "an import without errors", "")
    _, *heavy = done.stdout.splitlines()[-1].split()
    if heavy:
        fail(
            f"`import {module}` imports {', '.join(heavy)}",
            "neither",
            "Name networks as 'package.module:function'; they are imported when a model is loaded.",
        )


def _named(subject: Subject) -> Iterator[str]:
    yield subject.variant.builder
    yield from subject.spec.objectives.values()
    if subject.spec.bundle:
        yield subject.spec.bundle
    if subject.variant.weights and subject.variant.weights.renames:
        yield subject.variant.weights.renames
