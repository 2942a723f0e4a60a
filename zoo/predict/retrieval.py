"""An index of images, searched by words or by an image; and classes that are nothing but words.

An index is a GeoParquet file with a row per image (or window of a scene): its name, its footprint, its vector; the
file's metadata say which model made it, and only that model searches it.
"""

# N images, D dimensions

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rasterio.crs import CRS
from torch import Tensor

from zoo.errors import ConfigError, InputError
from zoo.io import vectors
from zoo.io.source import to_crs
from zoo.io.sources import is_collection
from zoo.io.whole import check_extension, whole
from zoo.model import Model, load
from zoo.options import Options
from zoo.predict.chips import table_of
from zoo.predict.texts import embed_texts
from zoo.results.provenance import Provenance
from zoo.results.rows import ChipTable, RowsResult
from zoo.tasks.retrieve import PLAIN, RetrieveOutput, class_scores, class_vectors, sentences

EXTENSIONS = (".index", ".parquet")
ROWS = 65_536  # read at once; 128 MB of 512 float32
Floats = NDArray[np.float32]


def index_images(model: Model, source: Any, out: Path | None, options: Options) -> ChipTable:
    """A vector per image of `source`, kept in `out` (.index or .parquet).

    Raises:
        InputError: not one image could be read; nothing is written.
    """
    if out is not None:
        check_extension(out, EXTENSIONS, "an index")
    return table_of(model, source, out, options, rows=_vector, columns=None, save=_write)


def _vector(output: RetrieveOutput) -> Tensor:
    return output.pooled


def _write(table: ChipTable, path: Path) -> None:
    rows = table.rows()
    with whole(path) as temporary:
        vectors.write_geoparquet(rows.table, rows.places, rows.crs, temporary, rows.provenance.tags())


def zero_shot(model: Model, source: Any, out: Path | None, options: Options) -> ChipTable:
    """Probabilities of classes that are named in words, per image of `source` (or window of a scene).

    Raises:
        ConfigError: no classes are given, and the model has none of its own.
    """
    classes = options.classes or model.variant.classes
    if not classes:
        raise ConfigError(
            f'{model.name} names its classes in words of yours; say which: --classes "forest,lake,airport" (or a file'
            f" with one per line). To search, type `zoo index {model.spec.name} IMAGES tiles.index`"
        )
    templates = options.templates or model.variant.templates or PLAIN
    texts = sentences(classes, templates)
    flat = embed_texts(model, [text for one in texts for text in one])
    weights = class_vectors(flat.reshape(len(classes), len(templates), -1)).to(model.device)
    return table_of(
        model, source, out, options, rows=lambda output: class_scores(output, weights), columns=tuple(classes)
    )


# ----------------------------------------------------------------------------------------------------------- search


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index that is read as it is searched.

    Attributes:
        path: of the file.
        provenance: who made it.
        crs: of the footprints.
    """

    path: Path
    provenance: Provenance
    crs: CRS | None

    @classmethod
    def open(cls, path: str | Path) -> Index:
        """Open an index.

        Raises:
            InputError: the file is missing, or no index that zoo wrote.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path} does not exist; make it with `zoo index MODEL IMAGES {path}`")
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as err:
            raise InputError(f"{path} is no index: {err}; make one with `zoo index MODEL IMAGES tiles.index`") from err
        metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
        provenance = Provenance.from_tags(metadata)
        is_vector = "embedding" in schema.names and pa.types.is_fixed_size_list(schema.field("embedding").type)
        if provenance is None or not is_vector or "id" not in schema.names:
            raise InputError(
                f"{path} has the columns {', '.join(schema.names[:8])} and "
                + ("does not say which model made it" if provenance is None else f"was made by {provenance.model}")
                + "; expected an index: `zoo index MODEL IMAGES tiles.index`"
            )
        geo = json.loads(metadata["geo"])["columns"][vectors.GEOMETRY] if "geo" in metadata else {}
        return cls(path=path, provenance=provenance, crs=to_crs(json.dumps(geo["crs"])) if geo.get("crs") else None)

    def batches(self) -> Iterator[tuple[pa.Table, Floats]]:
        """Rows, some at a time, and their vectors (n, D)."""
        for batch in pq.ParquetFile(self.path).iter_batches(ROWS):
            column = batch.column("embedding")
            yield pa.Table.from_batches([batch]), column.flatten().to_numpy().reshape(len(batch), -1)

    def nearest(self, vector: Floats, top: int) -> RowsResult:
        """The `top` rows whose vectors point most the way of `vector` (D,), the best first; ties in the index's order."""
        best: pa.Table | None = None
        for table, vectors_here in self.batches():
            if vectors_here.shape[1] != len(vector):
                raise InputError(
                    f"{self.path} holds vectors of {vectors_here.shape[1]} numbers, the query has {len(vector)}; index"
                    " the images again"
                )
            length = np.maximum(np.linalg.norm(vectors_here, axis=1), 1e-12)
            found = table.drop_columns(["embedding"]).append_column("score", pa.array(vectors_here @ vector / length))
            best = found if best is None else pa.concat_tables([best, found])
            order = np.argsort(-best["score"].to_numpy(), kind="stable")[:top]
            best = best.take(order)
        if best is None:
            raise InputError(f"{self.path} is an empty index; index the images again")
        places = vectors.places_of(best[vectors.GEOMETRY]) if vectors.GEOMETRY in best.column_names else None
        rank = pa.array(np.arange(1, len(best) + 1))
        hits = pa.table({"rank": rank, "id": best["id"], "score": best["score"].cast(pa.float32())})
        return RowsResult(table=hits, places=places, crs=self.crs, provenance=self.provenance)


def search(
    index: str | Path,
    query: Any,
    *,
    model: Model | str | None = None,
    top: int = 10,
    device: str | None = None,
    offline: bool | None = None,
    **options: Any,
) -> RowsResult:
    """The images of an index that fit a query best: columns rank, id, score (cosine similarity), and footprints.

    Args:
        index: a file that `zoo index` (or `Model.index`) wrote.
        query: words; or an image: a `Path`, or an array (bands, H, W).
        model: as loaded, or its reference; `None` = the one that made the index.
        top: number of hits.
        device: see `zoo.load`.
        offline: see `zoo.load`.
        **options: of reading an image; see `zoo.options.Options`.

    Raises:
        InputError: no index, or one that another model made.
    """
    opened = Index.open(index)
    if not isinstance(model, Model):
        model = load(model or _maker(opened), device=device, offline=offline)
    _check_maker(opened, model)
    if isinstance(query, str):
        vector = embed_texts(model, [query])[0].numpy()
    else:
        source = [query] if isinstance(query, Path) and not is_collection(query) else query
        vector = table_of(model, source, None, Options.of(options), rows=_vector, columns=None).values[0]
    return opened.nearest(np.asarray(vector, np.float32), top)


def _maker(index: Index) -> str:
    """The reference of the model that made an index."""
    made = index.provenance
    if made.weights.startswith("hf://") and made.weights.count("/") == 3:  # a saved model: hf://org/repo
        return made.weights + (f"@{made.revision}" if made.revision else "")
    if made.weights == "random" or made.weights.endswith("(local)"):
        raise InputError(
            f"{index.path} was made with the weights {made.weights!r}, which have no public name; say where they are:"
            " --model FOLDER"
        )
    return f"{made.model}@{made.variant}"


def _check_maker(index: Index, model: Model) -> None:
    """Raise unless `model`, with these weights, made the index: vectors of two networks are not of one space."""
    made, mine = index.provenance, model.provenance({})
    same = (made.model, made.sha256) == (mine.model, mine.sha256) and (
        made.sha256 is not None or (made.variant, made.weights) == (mine.variant, mine.weights)
    )
    if not same:
        raise InputError(
            f"{index.path} was made by {_named(made)}, expected {_named(mine)}; index the images again with"
            f" `zoo index {mine.model}@{mine.variant} IMAGES {index.path}`, or search with the model that made it"
        )


def _named(told: Provenance) -> str:
    return f"{told.model}@{told.variant} ({told.weights}, sha256 {(told.sha256 or 'not known')[:12]})"
