"""Model cards of the Hub: facts are rendered from the spec, prose is written by hand, and drift between them is found.

A card is a YAML header, a block of facts between two markers, and prose. `render_card` writes a new one, `update_card`
renders the facts of an existing one again and leaves prose and measured scores alone, `check_card` lists what has
drifted. `add_results` puts scores that `zoo evaluate` measured into the header, beside the authors'.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from zoo.describe import NOT_STATED, describe
from zoo.errors import SpecError
from zoo.spec import ModelSpec, Task, Variant

BEGIN = "<!-- zoo: facts, rendered from the model's description; edit that, then `tools/render_cards.py` -->"
END = "<!-- zoo: end of facts -->"
SECTIONS = ("Intended use", "Limits")  # prose that no card may lack
_PROSE = "\n\n".join(f"## {title}\n\n*To be written.*" for title in SECTIONS)

# Tags of the Hub (huggingface.co/tasks). None means presence of species, or forecasts of maps: the nearest stand here,
# and the zoo's own task is a tag.
PIPELINES = {
    Task.PRETRAIN: "image-feature-extraction",
    Task.SEGMENT: "image-segmentation",
    Task.DETECT: "object-detection",
    Task.FORECAST: "time-series-forecasting",
    Task.SDM: "tabular-classification",
    Task.RETRIEVE: "zero-shot-image-classification",
}
# Licences that the Hub has an id for (huggingface.co/docs/hub/repositories-licenses), as SPDX writes them in small.
# fmt: off
_HUB_LICENCES = frozenset((
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "ecl-2.0", "epl-1.0", "epl-2.0",
    "etalab-2.0", "eupl-1.1", "eupl-1.2", "agpl-3.0", "gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "isc", "ms-pl",
    "mpl-2.0", "odbl", "osl-3.0", "unlicense", "zlib",
))
# fmt: on


def render_card(spec: ModelSpec, variant: Variant | None = None, *, prose: str = _PROSE) -> str:
    """A whole card: of one variant, or of the model with all its variants."""
    name = f"{spec.name}@{variant.tag}" if variant else spec.name
    header = "\n".join(f"{key}: {value}" for key, value in _header(spec, variant).items())
    return f"---\n{header}\n---\n\n# {name}\n\n{BEGIN}\n{_facts(spec, variant)}\n{END}\n\n{prose.strip()}\n"


def update_card(text: str, spec: ModelSpec, variant: Variant | None = None) -> str:
    """The card with header and facts rendered again; prose, and header fields that zoo does not know, stay.

    Raises:
        SpecError: the card has no header or no markers.
    """
    return filled_card(text, _header(spec, variant), _facts(spec, variant))


def filled_card(text: str, known: Mapping[str, str], facts: str) -> str:
    """The card with other header fields and other facts; prose, and the header's other fields, stay.

    Args:
        text: of a card.
        known: header fields, each value as JSON.
        facts: what stands between the markers.

    Raises:
        SpecError: the card has no header or no markers.
    """
    header, body = _split(text)
    before, _, rest = body.partition(BEGIN)
    old, found, after = rest.partition(END)
    if not found or BEGIN in old:
        raise SpecError(f"the card has no block of facts; put these two lines where they belong: {BEGIN} and {END}")
    if "model-index" in known:
        known = {**known, "model-index": _merged(json.loads(known["model-index"]), _results(header))}
    lines = [f"{key}: {value}" for key, value in known.items()]
    lines += [block for key, block in _blocks(header) if key not in known]
    return "---\n" + "\n".join(lines) + f"\n---{before}{BEGIN}\n{facts}\n{END}{after}"


def without_fields(text: str, names: Collection[str]) -> str:
    """The card without some fields of its header.

    Raises:
        SpecError: the card has no header.
    """
    header, body = _split(text)
    return "---\n" + "\n".join(block for key, block in _blocks(header) if key not in names) + f"\n---{body}"


def empty_sections(text: str) -> list[str]:
    """Sections of prose that no card may lack, and that this one lacks."""
    empty = []
    for title in SECTIONS:
        section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        if section is None or section[1].strip() in ("", "*To be written.*"):
            empty.append(title)
    return empty


def add_results(text: str, name: str, results: Sequence[Mapping[str, Any]]) -> str:
    """The card with measured scores in the `model-index` of its header.

    Args:
        text: the card.
        name: of the model, where its header has no scores yet.
        results: as `huggingface_hub.repocard_data.eval_results_to_model_index` makes them, each with
            `dataset.args.protocol`; they replace earlier ones of the same `dataset`: name, split and arguments.

    Raises:
        SpecError: the card has no header.
    """
    header, body = _split(text)
    index: list[dict[str, Any]] = [{"name": name, "results": _results(header)}]
    fields = dict(_blocks(header)) | {"model-index": f"model-index: {_merged(index, results)}"}
    return "---\n" + "\n".join(fields.values()) + f"\n---{body}"


def check_card(text: str, spec: ModelSpec, variant: Variant | None = None) -> list[str]:
    """What a card says otherwise than the spec, or does not say; empty where they agree."""
    try:
        rendered = update_card(text, spec, variant)
    except SpecError as err:
        return [str(err)]
    changes = difflib.unified_diff(text.splitlines(), rendered.splitlines(), lineterm="", n=0)
    drift = [
        f"{'the card says' if line[0] == '-' else 'the description says'}: {line[1:].strip()}"
        for line in changes
        if line[:1] in "+-" and line[:3] not in ("+++", "---") and line[1:].strip()
    ]
    drift += [f"the section {title!r} is empty; write it by hand" for title in empty_sections(text)]
    return drift


# -------------------------------------------------------------------------------------------------------------- header


def _header(spec: ModelSpec, variant: Variant | None) -> dict[str, str]:
    """The Hub's metadata, each value as JSON, which is YAML too."""
    task = spec.task_of(variant) if variant else spec.task
    licence = variant.weights.license if variant and variant.weights else None
    fields: dict[str, Any] = {
        **licence_fields(licence or spec.licences.weights),
        "library_name": "zoo",
        "pipeline_tag": PIPELINES[task],
        "tags": list(dict.fromkeys(["zoo", "earth-observation", task.value, spec.name, *sensors(spec, variant)])),
    }
    if results := [
        _result(score, task) for one in _chosen(spec, variant) for score in one.scores if score.value is not None
    ]:
        fields["model-index"] = [{"name": spec.name, "results": results}]
    return {key: json.dumps(value, ensure_ascii=False) for key, value in fields.items()}


def licence_fields(spdx: str | None) -> dict[str, str]:
    """The Hub's id of a licence; what the authors did not state is `unknown`, never a default."""
    if spdx is None:
        return {"license": "unknown"}
    small = spdx.lower().removesuffix("-only").removesuffix("-or-later")
    return {"license": small} if small in _HUB_LICENCES else {"license": "other", "license_name": spdx}


def sensors(spec: ModelSpec, variant: Variant | None) -> Iterator[str]:
    """Of the inputs, for tags."""
    for one in _chosen(spec, variant):
        for item in one.inputs:
            yield from sorted({band.partition(":")[0].lower() for band in item.band_ids if ":" in band})


def _result(score: Any, task: Task) -> dict[str, Any]:
    slug = re.sub(r"[^a-z0-9]+", "-", score.dataset.lower()).strip("-")
    return {
        "task": {"type": PIPELINES[task], "name": task.value},
        "dataset": {"name": score.dataset, "type": slug},
        "metrics": [{"type": re.sub(r"\W+", "_", score.metric.lower()), "name": score.metric, "value": score.value}],
    }


def _results(header: str) -> list[dict[str, Any]]:
    """Scores in the `model-index` of a header."""
    import yaml

    written = dict(_blocks(header)).get("model-index")
    index = yaml.safe_load(written)["model-index"] if written else None
    return [one for model in index or [] for one in model.get("results") or []]


def _merged(index: list[dict[str, Any]], results: Sequence[Mapping[str, Any]]) -> str:
    """The index with those of the results that were measured (they say by which protocol), as JSON."""

    def key(one: Mapping[str, Any]) -> str | None:
        data = one.get("dataset") or {}
        return json.dumps(data, sort_keys=True) if "protocol" in (data.get("args") or {}) else None

    measured = {key(one): one for one in results if key(one)}
    kept = [one for one in index[0]["results"] if key(one) not in measured]
    return json.dumps([{**index[0], "results": [*kept, *measured.values()]}], ensure_ascii=False)


def _split(text: str) -> tuple[str, str]:
    found = re.match(r"---\n(.*?)\n---(?=\n)(.*)", text, re.DOTALL)
    if found is None:
        raise SpecError("the card does not begin with a YAML header between two lines of ---")
    return found[1], found[2]


def _blocks(header: str) -> Iterator[tuple[str, str]]:
    """Fields of a header with the lines that belong to them."""
    for block in re.split(r"\n(?=[^\s#-])", header):
        yield block.partition(":")[0], block


# --------------------------------------------------------------------------------------------------------------- facts


def _chosen(spec: ModelSpec, variant: Variant | None) -> tuple[Variant, ...]:
    return (variant,) if variant else spec.variants


def _facts(spec: ModelSpec, variant: Variant | None) -> str:
    one = variant or spec.default
    reference = f"{spec.name}@{one.tag}"
    parts = [
        one.summary if variant and one.summary else spec.summary,
        f'```python\nimport zoo\n\nmodel = zoo.load("{reference}")\n```',
        "\n".join(_licence_table(spec, one)),
        f"`zoo info {reference}`:\n\n```text\n{describe(spec, one, plugin=f'zoo-{spec.name}')}\n```",
    ]
    if variant is None and len(spec.variants) > 1:
        parts.insert(2, "\n".join(_variant_table(spec)))
    return "\n\n".join([*parts, f"```bibtex\n{spec.paper.bibtex.strip()}\n```"])


def _licence_table(spec: ModelSpec, variant: Variant) -> Iterator[str]:
    weights = (variant.weights.license if variant.weights else None) or spec.licences.weights
    yield "| licence of | |"
    yield "|---|---|"
    for what, licence in (("code", spec.licences.code), ("weights", weights), ("training data", spec.licences.data)):
        yield f"| {what} | {licence or NOT_STATED} |"


def _variant_table(spec: ModelSpec) -> Iterator[str]:
    yield "| variant | what | weights | pinned to |"
    yield "|---|---|---|---|"
    for one in spec.variants:
        weights = one.weights
        home = "none" if weights is None else f"{weights.repo or weights.archive or 'in the plugin'}: {weights.file}"
        pin = "-" if weights is None else (weights.revision or "the plugin" if weights.pinned else "not pinned")
        yield f"| {one.tag} | {one.summary} | {home} | {pin} |"
