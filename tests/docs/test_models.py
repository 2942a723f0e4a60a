"""Every model of this checkout has a card and a page, and they say what its description says."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.cards import check_card
from zoo.describe import NOT_STATED
from zoo.registry import entries

REPO = Path(__file__).parents[2]
OURS = [entry for entry in entries() if (REPO / "plugins") in Path(str(entry.plugin.module.__file__)).resolve().parents]


def test_there_are_models():
    assert "smarties" in {entry.spec.name for entry in OURS}


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.spec.name)
def test_card_agrees_with_the_description(entry):
    """`tools/render_cards.py` renders its facts again; its prose is written by hand."""
    card = (REPO / "cards" / f"{entry.spec.name}.md").read_text()
    assert check_card(card, entry.spec) == []
    assert [title for title in ("Intended use", "Limits", "How to cite") if f"\n## {title}\n" not in card] == []


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.spec.name)
def test_page_names_variants_licences_and_paper_and_is_linked(entry):
    spec = entry.spec
    page = (REPO / "docs/models" / f"{spec.name}.md").read_text()
    licences = [spec.licences.code, spec.licences.weights, spec.licences.data]
    wanted = [f"`{variant.tag}`" for variant in spec.variants] + [one or NOT_STATED for one in licences]
    wanted += [f"zoo info {spec.name} --bibtex", spec.paper.arxiv or spec.paper.doi or spec.paper.title]
    assert [one for one in wanted if one not in page] == []
    assert f"[{spec.name}](docs/models/{spec.name}.md)" in (REPO / "README.md").read_text()
