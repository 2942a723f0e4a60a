"""Resizing of whole images: scikit-image's splines as two small matrix products, and torch's own kernels."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.spec import Kernel, Resize

Array = NDArray[np.float64]


def resize(x: Tensor, step: Resize) -> Tensor:
    """Resize whole images as `step` says.

    Args:
        x: (B, C, H, W), float32, finite.
        step: kernel, size, and whether the aspect is kept.

    Returns:
        (B, C, h, w).

    Source of the roundings where the aspect is kept: scikit-image `rescale` and a crop from floor((side - size) / 2)
    (spline; gsumbul/SMARTIES@fc0df04), torchvision `Resize` and `CenterCrop` (bilinear, bicubic).
    """
    spline = step.kernel is Kernel.SPLINE
    size = step.size
    if step.shorter is not None:
        least = min(x.shape[-2:])
        longer = (side * step.shorter for side in x.shape[-2:])
        height, width = (round(side / least) if spline else side // least for side in longer)
        size = (height, width)
    if spline:
        x = spline_resize(x, size, order=step.order, antialias=step.antialias, clip=step.clip)
    else:
        low, high = _joint_range(x) if step.clip else (None, None)
        x = nn.functional.interpolate(x, size, mode=step.kernel.value, antialias=step.antialias, align_corners=False)
        x = x if low is None or high is None else torch.maximum(torch.minimum(x, high), low)
    spare = [side - kept for side, kept in zip(x.shape[-2:], step.size, strict=True)]
    top, left = (extra // 2 if spline else round(extra / 2) for extra in spare)
    return x[..., top : top + step.size[0], left : left + step.size[1]]


def resize_mask(valid: Tensor, step: Resize) -> Tensor:
    """(B, H, W) of whole images to (B, h, w): whether the nearest pixel held data, cut as `resize` cuts."""
    kernel = Kernel.SPLINE if step.kernel is Kernel.SPLINE else Kernel.BILINEAR
    plain = replace(step, kernel=kernel, order=0, antialias=False, clip=False)
    return resize(valid[:, None].float(), plain)[:, 0] >= 0.5


def spline_resize(
    x: Tensor, size: tuple[int, int], *, order: int = 3, antialias: bool = True, clip: bool = True
) -> Tensor:
    """Resize as scikit-image does, as one small matrix product per axis.

    Blur, spline prefilter and interpolation are linear and separable, so each axis has one matrix, made once per
    (in, out, order, antialias) by SciPy itself.

    Args:
        x: (..., H, W), float32 or float64, finite; leading axes beyond (C, H, W) are a batch.
        size: (h, w) afterwards.
        order: of the spline, 0 (nearest) to 5; 3 is cubic.
        antialias: when shrinking, blur first with a Gaussian of sigma max(0, (in / out - 1) / 2) per axis.
        clip: limit the result to the range of each image before, jointly over its bands.

    Returns:
        (..., h, w) of the dtype and device of `x`.

    Source: scikit-image `transform.resize` (mode "reflect", its default; SciPy's "mirror" with `grid_mode`), differs:
    nothing (float64 to 1e-12; float32 to 1e-5 of the range).
    """
    height, width = x.shape[-2:]
    low, high = _joint_range(x) if clip else (None, None)
    if width != size[1]:
        x = x @ _matrix(width, size[1], order, antialias, dtype=x.dtype, device=x.device).T
    if height != size[0]:
        x = _matrix(height, size[0], order, antialias, dtype=x.dtype, device=x.device) @ x
    return torch.maximum(torch.minimum(x, high), low) if low is not None and high is not None else x


def _joint_range(x: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest number of each image over all its bands, to broadcast against it."""
    axes = tuple(range(-min(3, x.ndim), 0))
    return x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)


@functools.lru_cache(maxsize=64)
def _matrix(
    size_in: int, size_out: int, order: int, antialias: bool, *, dtype: torch.dtype, device: torch.device
) -> Tensor:
    return torch.as_tensor(resize_matrix(size_in, size_out, order, antialias), dtype=dtype, device=device)


@functools.lru_cache(maxsize=64)
def resize_matrix(size_in: int, size_out: int, order: int, antialias: bool) -> Array:
    """(out, in) float64 matrix that resizes one axis: what SciPy makes of each unit vector."""
    from scipy import ndimage

    sigma = max(0.0, (size_in / size_out - 1) / 2) if antialias else 0.0
    columns = []
    for start in range(0, size_in, 256):  # by blocks: the identity of a long axis would fill the memory
        block = np.eye(size_in, min(256, size_in - start), -start)
        if sigma > 0:
            block = ndimage.gaussian_filter1d(block, sigma, axis=0, mode="mirror")
        zoom = (size_out / size_in, 1)
        columns.append(ndimage.zoom(block, zoom, order=order, mode="mirror", grid_mode=True))
    return np.concatenate(columns, axis=1)
