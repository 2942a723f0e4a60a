"""Images with points: where a point is on what the network sees, however the image was cut, resized or turned."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from own_data import RGB, WIDE, variant_of, write_tif
from PIL import Image

from zoo.datasets.opening import open_dataset
from zoo.datasets.seeds import generator_of
from zoo.errors import ConfigError, InputError

CLASSES = ("gull", "tern")
POINTS = [("a.tif", 3.5, 20.5, "tern", 2.0), ("a.tif", 35.5, 8.5, "gull", 3.0), ("b.tif", 0.5, 39.5, "gull", 4.0)]


def flight(folder, rows=POINTS, side=40):
    """Three images whose pixels hold their number, and a table of points in the middle of pixels."""
    for name in ("a", "b", "empty"):
        number = np.arange(side * side, dtype=np.float32).reshape(side, side)
        write_tif(folder / "images" / f"{name}.tif", np.stack([number, number, number]))
    lines = [",".join(map(str, row)) for row in rows]
    (folder / "points.csv").write_text("\n".join(["image,x,y,class,radius", *lines]))
    return folder


def opened(folder, inputs=(WIDE,), **options):
    options = {"shares": {"train": 1.0}, **options}
    return open_dataset("points", folder, split="train", options=options, variant=variant_of(*inputs, classes=CLASSES))


def numbers_at(sample):
    """The numbers of the pixels that the points of a sample lie in."""
    x, y = sample.target["points_px"].floor().long().T
    return (sample.inputs["image"][0, y, x] * 400 + 800).round().long().tolist()


def test_points_lie_on_their_pixels_in_every_window(tmp_path):
    reader = opened(flight(tmp_path))
    assert len(reader.ids) == 12
    found = {}
    for index, name in enumerate(reader.ids):
        sample = reader.sample(index)
        for number, kind, radius in zip(
            numbers_at(sample), sample.target["point_classes"].tolist(), sample.target["radii_px"].tolist(), strict=True
        ):
            found.setdefault((name.split(":")[0], number), set()).add((kind, radius))
    assert found == {
        ("images/a.tif", 20 * 40 + 3): {(1, 2.0)},
        ("images/a.tif", 8 * 40 + 35): {(0, 3.0)},
        ("images/b.tif", 39 * 40): {(0, 4.0)},
    }


def test_points_follow_windows_and_turns_of_training(tmp_path):
    reader = opened(flight(tmp_path), turn=True)
    seen = set()
    for seed in range(40):
        sample = reader.sample(0, generator_of(seed))
        assert set(numbers_at(sample)) <= {803, 355}
        seen |= {tuple(xy) for xy in sample.target["points_px"].tolist()}
    assert len(seen) > 20


def test_images_without_points_are_samples(tmp_path):
    target = opened(flight(tmp_path)).sample(8).target
    assert target["points_px"].shape == (0, 2)
    assert target["point_classes"].dtype == torch.int64
    assert target["radii_px"].shape == (0,)


def test_points_of_photographs_are_resized_with_them(tmp_path):
    (tmp_path / "images").mkdir()
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[20:24, 8:16] = 255
    Image.fromarray(pixels).save(tmp_path / "images" / "x.png")
    (tmp_path / "points.csv").write_text("image,x,y,class,radius\nx.png,12,22,gull,8\n")
    sample = opened(tmp_path, (RGB,)).sample(0)
    torch.testing.assert_close(
        sample.target["points_px"], torch.tensor([[1.5, 5.5]], dtype=torch.float64), atol=1e-5, rtol=0
    )
    assert sample.inputs["image"][0].argmax() == 5 * 8 + 1
    np.testing.assert_allclose(sample.target["radii_px"], [8 / 32**0.5], rtol=1e-6)  # by 8 across, by 4 down


def test_points_on_the_ground_find_their_pixels(tmp_path):
    from pyproj import Transformer

    flight(tmp_path)
    (tmp_path / "points.csv").unlink()
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": to_degrees.transform(500000 + 10 * x, 5000000 - 10 * y)},
            "properties": {"image": image, "class": kind},
        }
        for image, x, y, kind, _ in POINTS
    ]
    (tmp_path / "birds.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    reader = opened(tmp_path, window=40)
    sample = reader.sample(0)
    np.testing.assert_allclose(sample.target["points_px"], [[3.5, 20.5], [35.5, 8.5]], atol=1e-4)
    assert sample.target["point_classes"].tolist() == [1, 0]
    assert "radii_px" not in sample.target


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("a.tif", 1, 1, "gul", 1), r"points of the classes gul, which are none of gull, tern"),
        (("c.tif", 1, 1, "gull", 1), r"3 images, and 1 of them are not there, such as .*images/c\.tif"),
        (("a.tif", "", 1, "gull", 1), r"the point of row 4 has no place"),
    ],
)
def test_points_that_do_not_fit_are_told(tmp_path, row, said):
    with pytest.raises(InputError, match=said):
        opened(flight(tmp_path, [*POINTS, row]))


def test_tables_that_do_not_fit_are_told(tmp_path):
    flight(tmp_path)
    (tmp_path / "points.csv").write_text("image,x,class\na.tif,1,gull\n")
    with pytest.raises(InputError, match=r"has no column y; found image, x, class, expected image, x, y"):
        opened(tmp_path)
    (tmp_path / "more.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"holds more\.csv, points\.csv; expected one table .* the option table=NAME"):
        opened(tmp_path)
    (tmp_path / "shapes.geojson").write_text('{"features": [{"properties": {}, "geometry": {"type": "Polygon"}}]}')
    with pytest.raises(InputError, match="shapes that are no points"):
        opened(tmp_path, table="shapes.geojson")
    with pytest.raises(ConfigError, match=r"names no classes; .*the option classes="):
        open_dataset("points", tmp_path, split="train", options={}, variant=variant_of(WIDE))
