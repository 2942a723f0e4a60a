"""Cards: rendered facts agree with the description, prose stays, drift is named."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from zoo.cards import BEGIN, END, check_card, render_card, update_card
from zoo.errors import SpecError
from zoo.spec import Band, InputSpec, Kind, Licences, ModelSpec, Normalise, Paper, Score, Task, Variant, Weights

INPUT = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="S2-L2A",
    bands=(Band(id="S2:B04", unit="DN"), Band(id="S2:B08", unit="DN")),
    steps=(Normalise(mean=(1.0, 2.0), std=(3.0, 4.0), source="paper, table 1"),),
)
SPEC = ModelSpec(
    name="kelp",
    task=Task.SEGMENT,
    summary="Kelp canopy from Sentinel-2.",
    paper=Paper(title="Kelp: a study", doi="10.1/kelp", bibtex="@article{kelp}"),
    repository="https://example.org/kelp",
    licences=Licences(code="MIT", weights="CC-BY-NC-4.0", data=None),
    variants=(
        Variant(
            tag="small",
            builder="zoo_kelp.network:build",
            inputs=(INPUT,),
            classes=("water", "kelp"),
            weights=Weights(file="kelp.safetensors", repo="org/kelp", revision="a" * 40, sha256="b" * 64, size=10**6),
            scores=(
                Score(dataset="Reefs: test", metric="mIoU", value=0.5, protocol="held-out bays", source="table 2"),
            ),
        ),
        Variant(tag="large", builder="zoo_kelp.network:build", inputs=(INPUT,), summary="twice as wide"),
    ),
)
PROSE = "## Intended use\n\nMapping: kelp --- off rocky coasts.\n\n## Limits\n\nTurbid water.\n"


def test_a_card_whose_prose_is_written_agrees_with_its_description():
    assert check_card(render_card(SPEC, prose=PROSE), SPEC) == []
    assert check_card(render_card(SPEC, SPEC.variants[1], prose=PROSE), SPEC, SPEC.variants[1]) == []


def test_the_hub_reads_the_header():
    data = ModelCard(render_card(SPEC)).data
    assert data.license == "cc-by-nc-4.0"
    assert data.library_name == "zoo"
    assert data.pipeline_tag == "image-segmentation"
    assert data.tags == ["zoo", "earth-observation", "segment", "kelp", "s2"]
    (result,) = data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("Reefs: test", "miou", 0.5)


@pytest.mark.parametrize(
    ("spdx", "license_id", "license_name"),
    [(None, "unknown", None), ("AGPL-3.0-only", "agpl-3.0", None), ("Etalab-9", "other", "Etalab-9")],
)
def test_licences_are_never_made_up(spdx, license_id, license_name):
    data = ModelCard(render_card(replace(SPEC, licences=replace(SPEC.licences, weights=spdx)))).data
    assert (data.license, data.license_name) == (license_id, license_name)


def test_facts_say_what_a_user_must_know():
    card = render_card(SPEC)
    for fact in ("mean 1 2; std 3 4", "S2:B04, S2:B08", "a" * 40, "@article{kelp}", "| training data | not stated by"):
        assert fact in card
    assert "| large | twice as wide | none | - |" in card


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda card: card.replace("mean 1 2", "mean 1 3"),
            "the card says: step 1      (x - mean) / std; mean 1 3; std 3 4",
        ),
        (lambda card: card.replace('"cc-by-nc-4.0"', '"mit"'), 'the description says: license: "cc-by-nc-4.0"'),
        (lambda card: card.replace("| code | MIT |", "| code | BSD |"), "the card says: | code | BSD |"),
        (lambda card: card.replace("## Limits", "## Other"), "the section 'Limits' is empty; write it by hand"),
        (lambda card: card.replace("Turbid water.", ""), "the section 'Limits' is empty; write it by hand"),
    ],
)
def test_drift_is_named(change, told):
    assert told in check_card(change(render_card(SPEC, prose=PROSE)), SPEC)


def test_a_new_card_asks_for_prose():
    assert check_card(render_card(SPEC), SPEC) == [
        "the section 'Intended use' is empty; write it by hand",
        "the section 'Limits' is empty; write it by hand",
    ]


def test_updating_renders_facts_and_keeps_prose_and_foreign_fields():
    card = render_card(SPEC, prose=PROSE).replace("library_name:", "base_model:\n  - org/base\nlibrary_name:")
    changed = replace(SPEC, licences=replace(SPEC.licences, weights="MIT"))
    updated = update_card(card, changed)
    assert ModelCard(updated).data.license == "mit"
    assert ModelCard(updated).data.base_model == ["org/base"]
    assert PROSE in updated
    assert check_card(updated, changed) == []
    assert update_card(updated, changed) == updated


@pytest.mark.parametrize("text", ["no header", "---\nlicense: mit\n---\nno markers", f"---\na: 1\n---\n{END} {BEGIN}"])
def test_a_text_that_is_no_card_is_refused(text):
    with pytest.raises(SpecError):
        update_card(text, SPEC)
    assert len(check_card(text, SPEC)) == 1
