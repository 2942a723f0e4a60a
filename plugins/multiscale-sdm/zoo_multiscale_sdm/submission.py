"""Which species are said to be at a place, and the table that the challenge takes.

Source: ninavantiel/multi_scale_SDMs@22ac42f.
"""

# N places, S species

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.datasets.sample import Reader, collate_of
from zoo.errors import InputError
from zoo.io.whole import whole
from zoo.model import Model


def species_lists(probs: NDArray[np.float32], species: Sequence[str], threshold: float) -> list[str]:
    """For each place, the species whose probability is above the threshold, in their order, with spaces between.

    Args:
        probs: (N, S); widened before they are compared, as where the best threshold is looked for.
        species: their names.
        threshold: 0 ... 1.
    """
    above = probs.astype(np.float64) > threshold
    return [" ".join(name for name, said in zip(species, row, strict=True) if said) for row in above.tolist()]


def answer_items(model: Model, reader: Reader, out: Path, *, batch_size: int = 32) -> Path:
    """Probabilities of all items of a reader: of `glc23`, whose satellite patches are pictures and no raster.

    Args:
        model: of the task sdm.
        reader: `open_dataset("glc23", "GLC23", split="test", options={}, variant=model.variant)`, say.
        out: a Parquet file: `id`, then a column per species, as `zoo predict` writes for sites.
        batch_size: items per forward pass.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = model.variant.classes
    schema = pa.schema([("id", pa.string()), *((name, pa.float32()) for name in names)])
    together = collate_of(reader)
    with whole(out) as path, pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(reader.ids), batch_size):
            chosen = range(start, min(start + batch_size, len(reader.ids)))
            batch = together([reader.sample(index) for index in chosen]).to(model.device)
            logits = model.forward(batch.inputs, bands=batch.bands, valid=batch.valid, times=batch.times).logits
            probs = logits.float().sigmoid().cpu().numpy()
            columns = {"id": list(batch.ids)} | dict(zip(names, probs.T, strict=True))
            writer.write_table(pa.table(columns, schema=schema))
    return out


def write_submission(table: Path, out: Path, threshold: float = 0.5) -> Path:
    """`Id,Predicted` of a table of probabilities.

    Args:
        table: a column `id`, then one per species; as `answer_items` and `zoo predict` write it.
        out: the CSV file.
        threshold: `site_f1_threshold` of `zoo evaluate` is the best one of validation.

    Raises:
        InputError: the table has no column `id`.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(table)
    names = [name for name in file.schema_arrow.names if name not in ("id", "geometry")]
    if "id" not in file.schema_arrow.names:
        raise InputError(f"{table} has no column id; expected what `zoo predict multiscale-sdm` writes for sites")
    with whole(out) as path, path.open("w", encoding="utf-8") as opened:
        opened.write("Id,Predicted\n")
        for batch in file.iter_batches(batch_size=1024, columns=["id", *names]):
            probs = np.stack([batch[name].to_numpy(zero_copy_only=False) for name in names], axis=1)
            lists = species_lists(probs.astype(np.float32), names, threshold)
            opened.writelines(f"{one},{said}\n" for one, said in zip(batch["id"].to_pylist(), lists, strict=True))
    return out
