"""Points of a network whose answer is known: where they lie, to the pixel and on the ground, and how many there are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from pyarrow import csv, parquet
from pyproj import Transformer
from rasterio.transform import from_origin
from seeing_toys import VARIANTS, model_of, resized

from zoo.errors import ConfigError, InputError, OutputError, SpecError, ZooWarning
from zoo.tasks.detect import DetectOutput, decode

HEIGHT, WIDTH = 100, 140
# (column, row, class, brightness); windows of 32 px decide from column 28 on (halo 4), so some lie on seams
BIRDS = [(0, 0, "red", 250), (27, 40, "red", 240), (28, 60, "blue", 230), (139, 99, "red", 220), (70, 31, "blue", 210)]
DIM = 40  # score 0.16, below 0.25


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sky(birds=BIRDS):
    pixels = np.full((3, HEIGHT, WIDTH), DIM, np.uint8)
    for col, row, name, brightness in birds:
        pixels[0 if name == "red" else 2, row, col] = brightness
    return pixels


def picture(path, birds=BIRDS):
    Image.fromarray(np.moveaxis(sky(birds), 0, -1)).save(path)
    return path


def mosaic(path, pixels, crs="EPSG:32632", nodata=None):
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8", "nodata": nodata}
    transform = from_origin(500_000, 5_200_000, 0.5, 0.5)
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as file:
        file.write(pixels)
        file.descriptions = ("RGB:R", "RGB:G", "RGB:B")
    return path


# ------------------------------------------------------------------------------------------------------------ places


def test_points_lie_where_the_birds_are_best_first(tmp_path):
    result = model_of("brightest").predict(picture(tmp_path / "sky.png"))
    assert [result.classes[index] for index in result.class_ids] == [name for _, _, name, _ in BIRDS]
    np.testing.assert_array_equal(result.xy_px, [(col + 0.5, row + 0.5) for col, row, _, _ in BIRDS])
    np.testing.assert_allclose(result.scores, [bright / 255 for *_, bright in BIRDS], rtol=1e-6)
    assert np.isnan(result.xy).all()


def test_points_on_the_ground_have_coordinates(tmp_path):
    file = mosaic(tmp_path / "sky.tif", sky())
    model_of("brightest").predict(file, tmp_path / "birds.csv")
    table = csv.read_csv(tmp_path / "birds.csv").to_pydict()
    assert list(table) == ["image", "x_px", "y_px", "class", "score", "x", "y", "crs"]
    assert table["x"] == [500_000 + (col + 0.5) / 2 for col, *_ in BIRDS]
    assert table["y"] == [5_200_000 - (row + 0.5) / 2 for _, row, *_ in BIRDS]
    assert set(table["crs"]) == {"EPSG:32632"}
    assert set(table["image"]) == {"sky.tif"}


def test_geoparquet_and_geojson_hold_the_places(tmp_path):
    file, model = mosaic(tmp_path / "sky.tif", sky()), model_of("brightest")
    model.predict(file, tmp_path / "birds.parquet")
    stored = parquet.read_table(tmp_path / "birds.parquet")
    assert stored.column_names == ["image", "x_px", "y_px", "class", "score", "geometry"]
    geo = json.loads(stored.schema.metadata[b"geo"])["columns"]["geometry"]
    assert geo["geometry_types"] == ["Point"]
    assert geo["bbox"] == [500_000.25, 5_200_000 - 49.75, 500_000 + 69.75, 5_200_000 - 0.25]
    assert stored.schema.metadata[b"ZOO_MODEL"] == b"seeing"
    assert json.loads(stored.schema.metadata[b"ZOO_OPTIONS"])["dor"] == "0.3"
    model.predict(file, tmp_path / "birds.geojson")
    features = json.loads((tmp_path / "birds.geojson").read_text())["features"]
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True).transform
    expected = to_degrees(500_000.25, 5_200_000 - 0.25)
    np.testing.assert_allclose(features[0]["geometry"]["coordinates"], expected, atol=1e-7)
    assert features[0]["properties"]["class"] == "red"


def test_boxes_come_along(tmp_path):
    variant = replace(VARIANTS["brightest"], config={**VARIANTS["brightest"].config, "boxes": True})
    result = model_of(variant).predict(mosaic(tmp_path / "sky.tif", sky()), tmp_path / "birds.csv")
    np.testing.assert_array_equal(result.boxes_px[1], [25.5, 38.5, 29.5, 42.5])
    assert csv.read_csv(tmp_path / "birds.csv")["x_max_px"].to_pylist()[1] == 29.5


def test_a_resized_photograph_has_points_in_its_own_pixels(tmp_path):
    Image.fromarray(np.moveaxis(np.kron(sky(), np.ones((1, 3, 3), np.uint8)), 0, -1)).save(tmp_path / "large.png")
    result = model_of(resized(VARIANTS["brightest"], (HEIGHT, WIDTH))).predict(tmp_path / "large.png")
    np.testing.assert_allclose(result.xy_px, [(3 * col + 1.5, 3 * row + 1.5) for col, row, *_ in BIRDS])


# ------------------------------------------------------------------------------------------------------------- seams


def test_each_thing_on_a_seam_counts_once(tmp_path):
    """A block of bright pixels at every place of a line that crosses all seams: one point each, whatever the windows."""
    pixels, expected = sky([]), []
    for col in range(3, WIDTH, 9):
        row = 5 + (col * 7) % 90
        pixels[0, row - 1 : row + 2, col - 1 : col + 2] = 200
        pixels[0, row, col] = 250
        expected.append((col + 0.5, row + 0.5))
    file = mosaic(tmp_path / "sky.tif", pixels)
    variant = replace(VARIANTS["brightest"], config={"radii_px": {"red": 10.0, "blue": 10.0}})
    for options in ({}, {"window": 24}, {"window": 40, "halo": 0}, {"window": 256}):
        result = model_of(variant).predict(file, **options)
        assert sorted(map(tuple, result.xy_px.tolist())) == sorted(expected), options


def test_a_point_belongs_to_the_window_that_owns_its_place(tmp_path):
    """Without suppression, what lies in the overlap of windows is still there once."""
    result = model_of("brightest").predict(picture(tmp_path / "sky.png"), dor=0.0, halo=12)
    assert len(result) == len(BIRDS)


def test_suppression_is_by_the_radius_of_the_class(tmp_path):
    near = [(50, 50, "red", 250), (51, 50, "red", 240), (50, 51, "blue", 230), (50, 53, "blue", 220)]
    file = picture(tmp_path / "sky.png", near)
    assert len(model_of("brightest").predict(file)) == 3  # of 0.3 x 4 px: reds 1 px apart are one, blues 2 px are two
    assert len(model_of("brightest").predict(file, dor=0.6)) == 2
    assert len(model_of("brightest").predict(file, dor=0.0)) == 4


def test_nothing_is_found_where_there_are_no_data(tmp_path):
    pixels = sky()
    pixels[:, 90:, 130:] = 0
    pixels[:, 99, 139] = 0
    result = model_of("brightest").predict(mosaic(tmp_path / "sky.tif", pixels, nodata=0), min_score=0.2)
    assert (139.5, 99.5) not in set(map(tuple, result.xy_px.tolist()))
    assert len(result) == len(BIRDS) - 1
    with pytest.raises(InputError, match="holds no data"):
        model_of("brightest").predict(mosaic(tmp_path / "none.tif", sky() * 0, nodata=0))


# ---------------------------------------------------------------------------------------------------------- decoding


def output(scores):
    count = len(scores)
    points = torch.arange(count, dtype=torch.float32)[:, None].expand(-1, 2)
    return DetectOutput(points_px=points[None], scores=torch.tensor(scores)[None])


def test_the_best_class_above_the_score_counts():
    (found,) = decode(output([[0.2, 0.9], [0.25, 0.1], [0.3, 0.26]]), min_score=0.25, max_points=10)
    assert found.classes.tolist() == [1, 0]  # 0.25 is not above 0.25
    np.testing.assert_allclose(found.scores, [0.9, 0.3])
    (several,) = decode(output([[0.2, 0.9], [0.3, 0.26]]), min_score=0.25, max_points=10, multi_label=True)
    assert (several.xy_px[:, 0].tolist(), several.classes.tolist()) == ([0, 1, 1], [1, 0, 1])


def test_the_most_points_of_a_window_are_its_best(tmp_path):
    (found,) = decode(output([[0.5], [0.9], [0.5], [0.7]]), min_score=0.25, max_points=3)
    assert (found.xy_px[:, 0].tolist(), found.num_dropped) == ([0, 1, 3], 1)  # of equals the first
    file = picture(tmp_path / "sky.png")
    with pytest.warns(ZooWarning, match=r"4 candidates were left out in sky\.png.*raise --max-points"):
        assert len(model_of("brightest").predict(file, max_points=1, window=160)) == 1


def test_a_class_without_radius_is_the_plugins_fault(tmp_path):
    variant = replace(VARIANTS["brightest"], config={"radii_px": {"red": 3.0}})
    with pytest.raises(SpecError, match="no positive radius for blue"):
        model_of(variant).predict(picture(tmp_path / "sky.png"))


def test_a_network_without_radii_answers_unsuppressed(tmp_path):
    file = picture(tmp_path / "sky.png", [(50, 50, "red", 250), (51, 50, "red", 240)])
    assert len(model_of(replace(VARIANTS["brightest"], config={})).predict(file)) == 2


def test_options_outside_their_range_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"min_score is 1\.5; expected a number from 0 to 1"):
        model_of("brightest").predict(tmp_path / "sky.png", min_score=1.5)


def test_points_are_no_map(tmp_path):
    with pytest.raises(OutputError, match=r"birds\.tif has the extension '\.tif'; a table of points is written as"):
        model_of("brightest").predict(tmp_path / "sky.png", tmp_path / "birds.tif")


# ------------------------------------------------------------------------------------------------- folders and counts


@pytest.fixture
def flight(tmp_path):
    folder = tmp_path / "flight"
    folder.mkdir()
    picture(folder / "a.png")
    picture(folder / "b.png", [])
    picture(folder / "c.png", BIRDS[:1])
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_a_folder_gives_one_table_and_counts_of_every_image(flight, tmp_path):
    result = model_of("brightest").predict(flight, tmp_path / "birds.csv")
    assert csv.read_csv(tmp_path / "birds.csv")["image"].to_pylist() == ["a.png"] * 5 + ["c.png"]
    table = result.counts()
    assert (table.images, table.classes) == (("a.png", "b.png", "c.png"), ("red", "blue"))
    np.testing.assert_array_equal(table.counts, [[3, 2], [0, 0], [1, 0]])
    assert table.total == {"red": 4, "blue": 2}
    assert list(result.failures) == ["broken.png"]


def test_places_of_several_zones_are_in_degrees(tmp_path):
    folder = tmp_path / "flight"
    folder.mkdir()
    mosaic(folder / "a.tif", sky(BIRDS[:1]), crs="EPSG:32632")
    mosaic(folder / "b.tif", sky(BIRDS[:1]), crs="EPSG:32633")
    rows = model_of("brightest").predict(folder).rows()
    assert rows.crs.to_string() == "OGC:CRS84"
    np.testing.assert_allclose(rows.places[:, 0, 0], [9, 15], atol=1e-4)


def test_the_command_prints_and_writes_counts(seeing, flight, tmp_path, zoo_command):
    (flight / "broken.png").unlink()
    out = tmp_path / "counts.csv"
    code, said, _ = zoo_command("count", "seeing@brightest", flight, out)
    assert code == 0
    assert said.splitlines() == [
        "image  red  blue  total",
        "a.png    3     2      5",
        "b.png    0     0      0",
        "c.png    1     0      1",
        "all      4     2      6",
        f"wrote {out}",
    ]
    assert csv.read_csv(out).to_pydict() == {
        "image": ["a.png", "b.png", "c.png"],
        "red": [3, 0, 1],
        "blue": [2, 0, 0],
        "total": [5, 0, 1],
    }


def test_the_command_counts_without_an_output(seeing, flight, zoo_command):
    code, said, errors = zoo_command("count", "seeing@brightest", flight / "a.png", "--json", "--min-score", "0.9")
    assert (code, errors) == (0, "")
    counts = {"red": 2, "blue": 1}
    assert json.loads(said) == {"images": [{"image": "a.png", "counts": counts}], "total": counts}


def test_a_model_that_does_not_count_says_which_does(seeing, flight, zoo_command):
    code, _, errors = zoo_command("count", "seeing@strongest", flight)
    assert code == 1
    assert "seeing@strongest does not count" in errors
    assert "variants that do: brightest" in errors


def test_a_count_of_several_processes_needs_an_output(seeing, flight, zoo_command):
    code, _, errors = zoo_command("count", "seeing@brightest", flight, "--processes", "2")
    assert code == 1
    assert "name one: zoo count seeing@brightest" in errors


def test_two_processes_write_the_same_bytes_as_one(seeing, flight, tmp_path, zoo_command, two_processes):
    arguments = ["predict", "seeing@brightest", str(flight / "a.png"), "--batch-size", "2"]
    assert zoo_command(*arguments, tmp_path / "one.parquet")[0] == 0
    two_processes(*arguments, tmp_path / "two.parquet")
    assert digest(tmp_path / "one.parquet") == digest(tmp_path / "two.parquet")
    assert not list(tmp_path.glob("*.parts"))


def test_an_interrupted_flight_goes_on_with_the_next_image(flight, tmp_path, monkeypatch):
    model, calls = model_of("brightest"), []
    forward = model.module.forward

    def stops(image):
        calls.append(len(image))
        if len(calls) > 3:
            raise KeyboardInterrupt
        return forward(image)

    monkeypatch.setattr(model.module, "forward", stops)
    with pytest.raises(KeyboardInterrupt):
        model.predict(flight, tmp_path / "birds.csv")
    done = len(calls) - 1  # three batches: those of a.png
    monkeypatch.setattr(model.module, "forward", lambda image: calls.append(len(image)) or forward(image))
    model.predict(flight, tmp_path / "birds.csv", resume=True)
    assert done == 3
    assert len(calls) == 4 + 2 * 3
    assert len(csv.read_csv(tmp_path / "birds.csv")) == 6


# ---------------------------------------------------------------------------------------------------------- pictures


def test_points_are_drawn_over_their_image(flight):
    result = model_of("brightest").predict(flight)
    axes = result.plot().axes[0]  # of the image with the most
    assert axes.get_title() == "a.png: 5 points"
    assert axes.images[0].get_array().shape == (HEIGHT, WIDTH, 4)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["red (3)", "blue (2)"]
    np.testing.assert_array_equal(axes.collections[1].get_offsets(), [(28.5, 60.5), (70.5, 31.5)])
    assert result.plot("b.png").axes[0].get_title() == "b.png: 0 points"
    with pytest.raises(InputError, match=r"no image 'z\.png'; its 3 images are a\.png, b\.png, c\.png"):
        result.plot("z.png")
