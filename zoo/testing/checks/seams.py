"""Windows that join without seams: maps put together from windows, and points found in any window at the same place."""

# B batch, D channels, A candidates, H W pixels

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zoo.spec import InputSpec, Task
from zoo.testing.answers import Outputs, apart
from zoo.testing.checks.network import REORDERED, answer_with_gradients, dense_name
from zoo.testing.subject import NotApplicable, Subject, fail
from zoo.tiling import Tile, lattice

NEAR_PX = 0.01  # ours: as two windows may place a point
_PIXELS = "Are they pixels of the window, with the centre of its first pixel at (0.5, 0.5)?"


def check_seams(subject: Subject) -> str:
    """Cut into windows with enough context, a scene gives the same dense answer (or points) as in one piece."""
    feed = subject.pixels
    if len(feed) > 1:
        raise NotApplicable("several inputs")
    step = subject.step_px(feed[0])
    window = feed[0].window or -(-96 // step) * step  # ours
    side = 2 * window
    tensors = subject.tensors(feed, batch=1, size=(side, side))
    try:
        whole = subject.answer(subject.model, feed, tensors)
    except Exception as err:
        raise NotApplicable(f"the network takes only its window of {window} px") from err
    if subject.spec.task_of(subject.variant) is Task.DETECT:
        return _check_points(subject, feed, tensors, whole, window)
    name = dense_name(subject, whole, tensors)
    if name is None:
        raise NotApplicable("no dense output")
    reach = _reach(subject, feed, tensors, name, enough=window // 2)
    halo = -(-reach // step) * step
    sees_all = 2 * halo + step >= window
    tiles = lattice(side, side, window, subject.variant.stride, 0 if sees_all else halo)
    joined = _joined(subject, feed, tensors, tiles, {name: whole[name]})
    difference = apart(joined, {name: whole[name]})
    if sees_all:
        return f"sees more than a window of {window} px; windows differ from the whole by {difference:.1%}"
    if difference > REORDERED:
        fail(
            f"windows of {window} px with a halo of {halo} px differ from the whole by {difference:.1%} of the range",
            f"at most {REORDERED:.2%}, since the network sees {reach} px around a pixel",
            "Does the answer depend on where in the window a pixel lies (coordinates, absolute positions)?",
        )
    return f"sees {reach} px around a pixel; a halo of {halo} px leaves no seam"


def _check_points(
    subject: Subject, feed: Sequence[InputSpec], tensors: Mapping[str, Tensor], whole: Outputs, window: int
) -> str:
    """Candidates of a window in the middle of the scene, moved by its corner, are candidates of the scene."""
    (item,) = feed
    reach = _point_reach(subject, feed, tensors)
    if 4 * reach >= window:
        return f"sees {reach} px around a point, more than half a window of {window} px"
    corner = window // 2 // subject.step_px(item) * subject.step_px(item)
    cut = tensors[item.name][..., corner : corner + window, corner : corner + window]
    made = subject.answer(subject.model, feed, {item.name: cut})
    middle = ((made["points_px"] > window / 4) & (made["points_px"] < 3 * window / 4)).all(dim=-1)  # (B, A)
    points = (made["points_px"] + corner)[middle].double()
    apart_px, nearest = torch.cdist(points, whole["points_px"][0].double()).min(dim=1)
    if (apart_px > NEAR_PX).any():
        fail(
            f"candidates of a window of {window} px lie up to {float(apart_px.max()):.3g} px beside those of the scene",
            "the same places, moved by the window's corner",
            _PIXELS,
        )
    difference = apart({"scores": made["scores"][middle]}, {"scores": whole["scores"][0][nearest]})
    if difference > REORDERED:
        fail(
            f"in a window of {window} px and in the whole scene, scores of the same places differ by {difference:.1%}",
            f"at most {REORDERED:.2%}, since the network sees {reach} px around a point",
            "Does the score depend on where in the window a point lies?",
        )
    return f"sees {reach} px around a point; windows of {window} px find the scene's"


def _point_reach(subject: Subject, feed: Sequence[InputSpec], tensors: Mapping[str, Tensor]) -> int:
    """How many pixels around a point decide its scores, by gradients, for the middle one of the candidates.

    Raises:
        CheckFailed: the pixels that decide lie elsewhere than the point.
    """
    given = {key: one.clone().requires_grad_() for key, one in tensors.items()}
    made = answer_with_gradients(subject, feed, given)
    points, side = made["points_px"][0].detach(), next(iter(tensors.values())).shape[-1]
    candidate = int((points - points.mean(dim=0)).norm(dim=-1).argmin())
    (gradient, *_) = torch.autograd.grad(made["scores"][0, candidate].sum(), list(given.values()))
    rows, cols = torch.nonzero(gradient[0].abs().sum(dim=0), as_tuple=True)
    if not len(rows):
        return side
    x, y = points[candidate].tolist()
    slack = subject.variant.stride
    for axis, place, seen in (("rows", y, rows), ("columns", x, cols)):
        first, last = int(seen.min()), int(seen.max())
        if not first - slack <= place <= last + 1 + slack:
            fail(
                f"the candidate at {place:.5g} looks at {axis} {first} to {last} of the window alone",
                "points where the network looks",
                _PIXELS,
            )
    corners = (y - int(rows.min()), int(rows.max()) + 1 - y, x - int(cols.min()), int(cols.max()) + 1 - x)
    return math.ceil(float(max(corners)))


def _reach(
    subject: Subject, feed: Sequence[InputSpec], tensors: Mapping[str, Tensor], name: str, *, enough: int
) -> int:
    """How many pixels around an output pixel decide it, by gradients; the search ends at `enough`.

    Networks that halve their input see more to one side, by where a pixel lies in its block: all places are tried.
    """
    stride, step = subject.variant.stride, subject.step_px(feed[0])
    given = {key: one.clone().requires_grad_() for key, one in tensors.items()}
    made = answer_with_gradients(subject, feed, given)[name].flatten(1, -3)  # lead times and quantities are channels
    scores = torch.einsum("bdhw,d->bhw", made, torch.randn(made.shape[1], generator=torch.Generator().manual_seed(0)))
    first = made.shape[-1] // 2 * stride // step * step // stride  # of a block
    reach = 0
    for place in range(first, first + step // stride):
        gradients = torch.autograd.grad(scores[0, place, place], list(given.values()), retain_graph=True)
        for touched in torch.nonzero(gradients[0][0].flatten(0, -3).abs().sum(dim=0), as_tuple=True):
            if len(touched):
                before, after = place * stride - int(touched.min()), int(touched.max()) - (place + 1) * stride + 1
                reach = max(reach, before, after)
        if reach >= enough:
            break
    return reach


def _joined(
    subject: Subject,
    feed: Sequence[InputSpec],
    tensors: Mapping[str, Tensor],
    tiles: tuple[Tile, ...],
    whole: Outputs,
) -> Outputs:
    """The dense answer put together from windows, like that of the whole."""
    (item,), ((name, like),) = feed, whole.items()
    joined = torch.full_like(like, float("nan"))
    for tile in tiles:
        rows, cols = tile.read.slices
        made = subject.answer(subject.model, feed, {item.name: tensors[item.name][..., rows, cols]})
        joined[..., *tile.own.slices] = made[name][..., *tile.own_in_out]
    return {name: joined}
