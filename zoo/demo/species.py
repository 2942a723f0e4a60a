"""The demo of species distributions: one place's climate, terrain and image, where species are likely, and what decides it."""

# S species, H W cells

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from zoo import samples
from zoo.bands import normal_form
from zoo.demo.images import map_uri, photo_uri, ramp, seen_by_eye
from zoo.demo.page import Chapter, Picture, Section
from zoo.samples import Scene
from zoo.samples.predictors import UNITS
from zoo.spec import Capability, InputSpec, Kind, Variant

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.results.maps import RasterResult

SEED = 3  # ours: a world whose middle has mountains and a plain
EXTENT_M, CELL_M = 14_400.0, 180.0  # ours: 6,400 cells, seconds of work
PREDICTORS, IMAGE = "predictors", "sentinel2"  # views of the synthetic world
SHOWN = 3  # species: those that differ most from cell to cell
SITES = 5
CLIMATE, TERRAIN = ("bio_1", "bio_12"), ("Elevation", "Slope", "Aspect")
PALE_TO_DARK = (
    "#f3f0e2",
    "#b5d6a4",
    "#5caa8c",
    "#22708c",
    "#172f66",
)  # ours: readable in grey and without red and green
BLUE_TO_RED = ("#2b5fa8", "#9dbce0", "#f4f4f2", "#e6a58f", "#b23a2e")
PROBABILITY = tuple(zip(("0", "0.25", "0.5", "0.75", "1"), PALE_TO_DARK, strict=True))
CALLED = {"bio_1": "Mean temperature", "bio_12": "Precipitation of a year", "Elevation": "Elevation", "Slope": "Slope"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """Rasters of one input of the model."""

    view: str
    scene: Scene
    file: Path


def can_show(variant: Variant) -> bool:
    """Whether the synthetic world has what the variant cannot do without."""
    views = _views(variant)
    return PREDICTORS in views.values() and all(one.optional or one.name in views for one in variant.inputs)


def show(model: Model, folder: Path) -> Chapter:
    """Write rasters, sites and what the model says of them into `folder`, and tell it."""
    layers = {name: _layer(model, name, view, folder) for name, view in _views(model.variant).items()}
    told = {"species": _chosen(model, layers)} | ({"grid": _grid(layers)} if len(layers) > 1 else {})
    map_file = folder / "species.tif"
    maps = model.predict(_sources(layers), map_file, **told)
    sections = [_place(model.variant, layers), _species(maps, map_file)]
    if model.variant.inputs[0].any_subset:
        sections.append(_with_less(model, layers, told))
    if Capability.EXPLAIN in model.spec.capabilities_of(model.variant) and len(layers) == 1:
        sections.append(_why(model, layers, told))
    sections += [_sites(model, layers, folder), _commands(model, layers, map_file, told)]
    lead = (
        f"One invented place of {EXTENT_M / 1000:.1f} x {EXTENT_M / 1000:.1f} km, and invented species whose needs are known."
        " The model learned from sites of other worlds where each species was found and where not; here it says how"
        " probable each is in every cell."
    )
    return Chapter.of(model, lead, sections)


# -------------------------------------------------------------------------------------------------------------- inputs


def _views(variant: Variant) -> dict[str, str]:
    """Input -> the view of the synthetic world that has all of its variables."""
    known = {normal_form(name) for name in UNITS}
    found = {}
    for item in variant.inputs:
        if {normal_form(name) for name in item.band_ids} <= known:
            found[item.name] = PREDICTORS
        elif item.kind is Kind.RASTER and {name.partition(":")[0] for name in item.band_ids} == {"S2"}:
            found[item.name] = IMAGE
    return found


def _layer(model: Model, name: str, view: str, folder: Path) -> Layer:
    """The rasters of an input, written, with a margin for the patches that are seen around a cell."""
    spec: InputSpec = next(one for one in model.variant.inputs if one.name == name)
    pixel_m = samples.VIEWS[view].pixel_m if view == IMAGE else spec.gsd_m[1] if spec.gsd_m else CELL_M
    margin = (spec.window or 0) // 2 + 1 if spec.kind is not Kind.TABLE else 0
    size = round(EXTENT_M / pixel_m) + 2 * margin
    scene = samples.scene(view, seed=SEED, size=size, pixel_m=pixel_m)
    return Layer(view=view, scene=scene, file=samples.write(scene, folder / f"{view}.tif"))


def _sources(layers: Mapping[str, Layer]) -> Path | dict[str, Path]:
    files = _inputs(layers)
    return files if len(files) > 1 else next(iter(files.values()))


def _grid(layers: Mapping[str, Layer]) -> str:
    """The cells of the map, where the rasters' own are of several sizes."""
    scene = next(one.scene for one in layers.values())
    across, down = scene.pixels.shape[2] / 2, scene.pixels.shape[1] / 2
    east, north = scene.transform * (across, down)
    half = EXTENT_M / 2
    return f"{east - half:.0f},{north - half:.0f},{east + half:.0f},{north + half:.0f},{CELL_M:.0f},{scene.crs}"


def _chosen(model: Model, layers: Mapping[str, Layer]) -> tuple[str, ...]:
    """The species that differ most over places spread over the area."""
    answers = model.predict({"sites": _points(layers, 12), **_inputs(layers)}).table
    spread = {name: float(np.nanstd(answers[name].to_numpy())) for name in model.variant.classes}
    return tuple(sorted(spread, key=lambda name: -spread[name])[:SHOWN])


def _inputs(layers: Mapping[str, Layer]) -> dict[str, Path]:
    return {name: one.file for name, one in layers.items()}


def _points(layers: Mapping[str, Layer], side: int) -> pa.Table:
    """A table of `side` x `side` places, evenly spread."""
    from zoo.io.source import to_crs
    from zoo.io.vectors import reproject

    scene = next(iter(layers.values())).scene
    middle = np.array(scene.transform * (scene.pixels.shape[2] / 2, scene.pixels.shape[1] / 2))
    steps = (np.arange(side) + 0.5) / side * EXTENT_M - EXTENT_M / 2
    east, north = np.meshgrid(steps, steps)
    places = np.stack([east.ravel(), north.ravel()], axis=1) + middle
    lon, lat = reproject(places[:, None], to_crs(scene.crs), to_crs("EPSG:4326"))[:, 0].T
    ids = [f"site {number}" for number in range(1, len(lon) + 1)]
    return pa.table({"id": ids, "decimalLongitude": lon, "decimalLatitude": lat})


# ------------------------------------------------------------------------------------------------------------ sections


def _place(variant: Variant, layers: Mapping[str, Layer]) -> Section:
    taken = {normal_form(name) for one in variant.inputs for name in one.band_ids}
    told = {name: title for name, title in CALLED.items() if normal_form(name) in taken}
    pictures = []
    for one in layers.values():
        if one.view == IMAGE:
            alt = "A valley with a river, fields, woods and a town, from above."
            about = f"{one.file.name}, pixels of 10 m: true colour of its bands"
            pictures.append(Picture(uri=photo_uri(seen_by_eye(one.scene)), title="Sentinel-2", caption=about, alt=alt))
            continue
        for name, title in told.items():
            values = one.scene.pixels[one.scene.names.index(name)].astype(np.float64)
            low, high = float(values.min()), float(values.max())
            pictures.append(
                Picture(
                    uri=map_uri(ramp((values - low) / max(high - low, 1e-9), PALE_TO_DARK)),
                    title=title,
                    caption=f"from {low:.0f} (pale) to {high:.0f} {UNITS[name]} (dark)",
                    alt=f"Map: {title}.",
                    exact=True,
                )
            )
    files = " and ".join(f"`{one.file.name}`" for one in layers.values())
    return Section(
        title="The place",
        words=f"What lies in {files}: rasters whose bands are found by name, each read on its own grid.",
        pictures=tuple(pictures),
        columns=4,
    )


def _species(maps: RasterResult, file: Path) -> Section:
    return Section(
        title="Where species are likely",
        words=f"Probability of presence, a band per species of `{file.name}`; pale is never, dark is always. Of all species"
        " that the model knows, those that differ most from place to place.",
        **_maps(maps, ""),
    )


def _with_less(model: Model, layers: Mapping[str, Layer], told: Mapping[str, Any]) -> Section:
    found = model.predict(_sources(layers), predictors=CLIMATE, **told)
    return Section(
        title="The same, told of the climate alone",
        words="One network answers for any subset of its predictors. What it is not told of it does not guess: species of the"
        " woods and slopes fade, those of the climate stay.",
        **_maps(found, ", climate alone"),
    )


def _why(model: Model, layers: Mapping[str, Layer], told: Mapping[str, Any]) -> Section:
    species: tuple[str, ...] = told["species"]
    groups = {
        "climate": CLIMATE,
        "terrain": TERRAIN,
        "trees": ("Cover_tree_layer",),
        "location": ("Longitude", "Latitude"),
    }
    found = model.explain(_sources(layers), species=species[:1], groups=groups)
    values = found.values[: len(groups)]
    most = float(np.nanmax(np.abs(values)))
    pictures = [
        Picture(
            uri=map_uri(ramp(one / (2 * most) + 0.5, BLUE_TO_RED)),
            title=f"{name[0].upper()}{name[1:]}",
            caption=f"adds from {np.nanmin(one):+.2f} to {np.nanmax(one):+.2f}",
            alt=f"Map of what {name} adds to the probability: red raises, blue lowers.",
            exact=True,
        )
        for name, one in zip(groups, values, strict=True)
    ]
    return Section(
        title=f"What decides it for {species[0]}",
        words="How much each group of predictors adds to the probability in a cell (red) or takes from it (blue), averaged over"
        " all orders in which they could become known: Shapley values, all on one scale.",
        pictures=tuple(pictures),
        columns=4,
    )


def _sites(model: Model, layers: Mapping[str, Layer], folder: Path) -> Section:
    from pyarrow import csv

    table = _points(layers, 12)
    csv.write_csv(table, folder / "sites.csv")
    out = folder / "likely.csv"
    found = model.predict({"sites": folder / "sites.csv", **_inputs(layers)}, out, top=3)
    rows = csv.read_csv(found).to_pydict()
    lines: list[tuple[str, ...]] = [("site", "most probable", "second", "third")]
    for start in range(0, 3 * SITES, 3):
        said = [f"{rows['species'][at]} {rows['probability'][at]:.2f}" for at in range(start, start + 3)]
        lines.append((rows["id"][start], *said))
    return Section(
        title="At sites of a table",
        words=f"`sites.csv` holds coordinates; the predictors are read around them. The first {SITES} of {table.num_rows}"
        f" sites, from `{out.name}`.",
        numbers=tuple(lines),
    )


def _commands(model: Model, layers: Mapping[str, Layer], map_file: Path, told: Mapping[str, Any]) -> Section:
    species: tuple[str, ...] = told["species"]
    folder = map_file.parent
    names = [*layers]
    first = shlex.quote(layers[names[0]].file.as_posix())
    further = "".join(f" --input {name}={shlex.quote(layers[name].file.as_posix())}" for name in names[1:])
    grid = f" --grid {told['grid']}" if "grid" in told else ""
    around = "".join(f" --input {name}={shlex.quote(one.file.as_posix())}" for name, one in layers.items())
    asked = shlex.quote(",".join(species))
    quoted = {name: shlex.quote((folder / name).as_posix()) for name in ("species.tif", "sites.csv", "likely.csv")}
    run = (
        f"zoo predict {model.name} {first} {quoted['species.tif']}{further}{grid} --species {asked} --force",
        f"zoo predict {model.name} {quoted['sites.csv']} {quoted['likely.csv']}{around} --top 3 --force",
    )
    return Section(
        title="What was run",
        words="These lines write the same files again; `.tif` is a map, `.csv` a table. For a place of your own, put your"
        f" rasters and sites in their stead; `zoo info {model.name}` tells names and units.",
        commands=run,
    )


def _maps(found: RasterResult, how: str) -> dict[str, Any]:
    """What a section shows of maps of probability."""
    pictures = tuple(
        Picture(
            uri=map_uri(ramp(one, PALE_TO_DARK)),
            title=name,
            caption=f"from {np.nanmin(one):.2f} to {np.nanmax(one):.2f}",
            alt=f"Map of the probability of {name}{how}: pale is low, dark is high.",
            exact=True,
        )
        for name, one in zip(found.names, found.values, strict=True)
    )
    return {"pictures": pictures, "columns": 4, "legend_title": "Probability", "legend": PROBABILITY}
