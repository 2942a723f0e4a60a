"""What the authors published beside what zoo measured: for the same dataset, score and protocol, in their own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from zoo.evaluation.result import Evaluation
from zoo.spec import Score

# Words (letters and digits alone) by which papers call zoo's scores, beside zoo's own. ours, from the ten models' papers
CALLED = {
    "accuracy": ("top1accuracy", "top1", "overallaccuracy", "oa", "pixelaccuracy"),
    "macro_f1": ("f1macro",),
    "micro_f1": ("f1micro",),
    "micro_map": ("mapmicro", "microaverageprecision"),
    "map": ("macromap", "meanaverageprecision"),
    "miou": ("meaniou", "iou", "jaccard"),
    "auc_mean": ("auc", "meanauc", "auroc"),
    "auc_median": ("medianauc",),
    "mean_recall": ("recallmean", "mr"),
}
_NEIGHBOURS = re.compile(r"neighbo|k-?nn", re.IGNORECASE)
_PROBE = re.compile(r"prob(e|ing)|frozen|linear", re.IGNORECASE)
_OTHERS = re.compile(r"third[- ]party|leaderboard", re.IGNORECASE)


def published(scores: Iterable[Score], evaluation: Evaluation, *, has_head: bool) -> tuple[Score, ...]:
    """Scores of the same dataset, by the same protocol as far as their words tell.

    Args:
        scores: of the variant.
        evaluation: what was measured.
        has_head: whether the variant answers by itself: its scores by a probe are then those of its own head.
    """
    mine = _first_word(evaluation.dataset)
    return tuple(
        one
        for one in scores
        if mine and _first_word(one.dataset) == mine and _same_protocol(one.protocol, evaluation.protocol, has_head)
    )


def beside(name: str, scores: Sequence[Score]) -> tuple[Score, ...]:
    """Those that go with the score of that name."""
    called = {_plain(name), *CALLED.get(name, ())}
    return tuple(one for one in scores if _plain(re.sub(r"\[.*?\]|%", "", one.metric)) in called)


def told(score: Score) -> str:
    """A published score in words: who says it, the number or that there is none, and of what exactly it is."""
    who = "others" if _OTHERS.search(score.source) else "authors"
    value = "not stated" if score.value is None else f"{score.value:g}"
    return f"{who}: {value} ({score.metric}; {score.dataset}; {score.protocol})"


def _same_protocol(words: str, protocol: str, has_head: bool) -> bool:
    neighbours, probe = bool(_NEIGHBOURS.search(words)), bool(_PROBE.search(words))
    match protocol:
        case "knn":
            return neighbours
        case "probe" | "frozen":
            return probe and not has_head
        case _:
            return not neighbours and (has_head or not probe)


def _first_word(dataset: str) -> str:
    """`EuroSAT` and `eurosat-ms` are of one family; which part of it each is, their names tell the reader."""
    words = re.findall(r"[a-z0-9]+", dataset.lower())
    return words[0] if words else ""


def _plain(words: str) -> str:
    return re.sub(r"[^a-z0-9]", "", words.lower())
