"""The nearest cell with data: what stands in for a cell without."""

# H W cells, N places

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FURTHEST = 100  # cells: MaskSDM's


def nearest_valid(
    valid: NDArray[np.bool_], rows: NDArray[Any], cols: NDArray[Any], *, furthest: int = FURTHEST
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the nearest cell with data for each place, the place's own cell if it has data; -1 if there is none.

    Near is by squares: the smallest square of cells around a place that holds data, and in it the first cell in the order of
    reading. Squares end at the raster's edge.

    Args:
        valid: (H, W), which cells have data.
        rows: (N,) of the places; all inside.
        cols: see `rows`.
        furthest: largest distance in cells.

    Source: MaskSDM's preparation of predictors.
    """
    from scipy.ndimage import distance_transform_cdt

    at = np.stack([np.asarray(rows, np.int64), np.asarray(cols, np.int64)], axis=1)
    if valid.any():
        radius = distance_transform_cdt(~valid, metric="chessboard")[at[:, 0], at[:, 1]]
    else:
        radius = np.full(len(at), furthest + 1)
    places, which = np.unique(at[(radius > 0)], axis=0, return_inverse=True)
    found = np.full_like(places, -1)
    first = np.full(len(places), furthest + 1)
    first[which.reshape(-1)] = radius[radius > 0]
    for index, ((row, col), reach) in enumerate(zip(places.tolist(), first.tolist(), strict=True)):
        if reach <= furthest:
            top, left = max(row - reach, 0), max(col - reach, 0)
            square = valid[top : row + reach + 1, left : col + reach + 1]
            down, right = np.unravel_index(int(square.argmax()), square.shape)
            found[index] = top + int(down), left + int(right)
    answer = at.copy()
    answer[radius > 0] = found[which.reshape(-1)]
    return answer[:, 0], answer[:, 1]
