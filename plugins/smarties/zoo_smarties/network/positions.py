"""Sine-cosine table of patch positions, as in masked auto-encoders, and its resize for other image sizes."""

# h w patches, N tokens, D width

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sincos_table(width: int, rows: int, columns: int) -> Tensor:
    """(1, 1 + rows * columns, width): a zero row for the class token, then patches in row-major order.

    The first half of the width tells the column, the second the row; each half is [sin, cos] at width / 4 wavelengths.
    """
    omega = 10000 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))

    def axis(count: int) -> Tensor:
        angle = torch.arange(count, dtype=torch.float64)[:, None] * omega
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    column_hwD = axis(columns)[None].expand(rows, -1, -1)
    row_hwD = axis(rows)[:, None].expand(-1, columns, -1)
    table_ND = torch.cat([column_hwD, row_hwD], dim=2).reshape(rows * columns, width)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table_ND])[None].float()


def resize_positions(table_1ND: Tensor, rows: int, columns: int) -> Tensor:
    """The table for `rows` x `columns` patches: bicubic, class row kept; the same tensor where the size agrees."""
    side = round((table_1ND.shape[1] - 1) ** 0.5)
    if (rows, columns) == (side, side):
        return table_1ND
    patches_1Dhw = table_1ND[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    resized_1Dhw = functional.interpolate(patches_1Dhw, size=(rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([table_1ND[:, :1], resized_1Dhw.flatten(2).transpose(1, 2)], dim=1)
