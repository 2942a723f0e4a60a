"""Publish the weights of installed models in the zoo's own organisation, as safetensors with card and golden tensors.

    python tools/publish.py --org ORG                    a table: variant, licence, decision, why; nothing is fetched
    python tools/publish.py --org ORG --push             converts the authors' files and pushes those that may be
    python tools/publish.py --org ORG --push smarties    only these models, or variants (smarties@vit-b)

Each goes to `ORG/<model>-<variant>` with the licence that its authors state; where they state none, or one that leaves
doubt, nothing is sent. Files are taken from the cache or fetched. Exit code 1 if one that may be sent could not be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zoo
from zoo.cards import update_card
from zoo.checkpoints.folders import CARD, check_golden
from zoo.errors import ZooError
from zoo.hub.push import push
from zoo.registry import entries, find
from zoo.spec import ModelSpec, Variant
from zoo.training.licences import redistribution

CARDS = Path(__file__).parents[1] / "cards"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether one variant's weights may be published, and why."""

    spec: ModelSpec
    variant: Variant
    licence: str | None
    refused: str | None  # why; None = may be published

    @property
    def reference(self) -> str:
        return f"{self.spec.name}@{self.variant.tag}"

    @property
    def name(self) -> str:
        """Of the repository."""
        return f"{self.spec.name}-{self.variant.tag}"


def decide(spec: ModelSpec, variant: Variant) -> Decision:
    """What may be done with a variant's weights."""
    weights = variant.weights
    licence = (weights.license or spec.licences.weights) if weights else None
    refused = redistribution(licence) if weights else "the authors published no weights"
    return Decision(spec=spec, variant=variant, licence=licence, refused=refused)


def chosen(references: Sequence[str]) -> Iterator[Decision]:
    """Decisions on the variants that were named, or on all."""
    for reference in references or [entry.spec.name for entry in entries()]:
        entry, variant = find(reference)
        for one in (variant,) if "@" in reference else entry.spec.variants:
            yield decide(entry.spec, one)


def publish(decision: Decision, org: str, folder: Path, *, private: bool) -> str:
    """Convert, check and push one variant; returns where it is."""
    repo = f"{org}/{decision.name}"
    model = zoo.load(decision.reference, device="cpu")
    model.save(folder)
    card, prose = folder / CARD, CARDS / f"{decision.spec.name}.md"
    if prose.is_file():
        card.write_text(update_card(prose.read_text(), decision.spec, decision.variant))
    text = card.read_text().replace(f'zoo.load("{decision.reference}")', f'zoo.load("hf://{repo}")')
    card.write_text(text)
    check_golden(zoo.load(str(folder), device="cpu"), folder)
    pushed = push(folder, repo, private=private, message=f"Publish {decision.reference} with zoo {zoo.__version__}")
    return f"{pushed.address} at commit {pushed.commit}"


def table(decisions: Sequence[Decision], org: str) -> str:
    """Variant, licence, decision, why."""
    rows = [("variant", "licence", "decision", "why")]
    for one in decisions:
        verdict = ("publish", f"as {org}/{one.name}") if one.refused is None else ("leave", one.refused)
        rows.append((one.reference, one.licence or "not stated", *verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names, or NAME@VARIANT; default: all installed")
    parser.add_argument("--org", required=True, help="organisation on the Hub")
    parser.add_argument("--push", action="store_true", help="do it; without this nothing is fetched or sent")
    parser.add_argument("--private", action="store_true", help="repositories that are created are private")
    options = parser.parse_args(arguments)
    decisions, code = list(chosen(options.models)), 0
    print(table(decisions, options.org))
    if not options.push:
        print("dry run: nothing was fetched or sent; --push does it", file=sys.stderr)
        return 0
    for one in decisions:
        if one.refused is not None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"{one.reference}: {publish(one, options.org, Path(folder) / one.name, private=options.private)}")
            except ZooError as err:
                print(f"{one.reference}: {err}", file=sys.stderr)
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
