"""A tiny copy of GeoLifeCLEF 2023 on its published layout."""

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from zoo_multiscale_sdm import pictures
from zoo_multiscale_sdm.glc23 import BACKGROUND, IMAGES, ONLY, RASTERS, TABLES

COLUMNS = "lon;lat;patchID;dayOfYear;speciesId"
PLACES = [(6.2, 46.4, 3000007), (7.1, 46.9, 3000002), (6.6, 46.1, 3018847), (7.9, 46.6, 3000011)]
# rows of (place, day, speciesId); 900 is in no survey, and the pair (1, 30, 5) is told twice
OCCURRENCES = [(0, 10, 24), (1, 30, 5), (1, 30, 5), (2, 40, 5), (2, 40, 271), (3, 50, 24), (0, 10, 5), (3, 50, 900)]
SURVEYED = [(1, 60, 24), (1, 60, 5), (2, 61, 271), (2, 61, 9011)]


def rows(told):
    lines = [
        f"{PLACES[place][0]};{PLACES[place][1]};{PLACES[place][2]};{day};{species}" for place, day, species in told
    ]
    return "\n".join([COLUMNS, *lines, ""])


def write(root):
    """The folder, with 19 bioclimatic rasters of their own numbers and pictures of one colour each."""
    for name in TABLES.values():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    kept = [row for row in OCCURRENCES if row[2] != 900]
    (root / TABLES["train"]).write_text(rows(kept))
    (root / ONLY / "Presences_only_train.csv").write_text(rows(OCCURRENCES))
    (root / TABLES["val"]).write_text(rows(SURVEYED))
    order = [2, 0, 3]  # not that of places
    lines = [f"{70 + n};{PLACES[n][0]};{PLACES[n][1]};{PLACES[n][2]};{n}" for n in order]
    (root / TABLES["test"]).write_text("\n".join(["Id;lon;lat;patchID;dayOfYear", *lines, ""]))
    behind = [f"{6 + 0.1 * n};{46.5};x" for n in range(9)]
    (root / BACKGROUND).write_text("\n".join(["lon;lat;other", *behind, ""]))
    rasters = root / RASTERS / "Climate" / "BioClimatic_Average_1981-2010"
    rasters.mkdir(parents=True)
    for number in range(1, 20):
        layer(rasters / f"bio{number}.tif", number)
    for _, _, patch in PLACES:
        picture(root / IMAGES, str(patch))
    return root


def values(number):
    """(30, 40): what raster `number` holds; its first row is no data."""
    drawn = np.random.default_rng(number).normal(10.0 * number, number, (30, 40)).astype(np.float32)
    drawn[0] = -9999
    return drawn


def layer(path, number):
    profile = {"driver": "GTiff", "height": 30, "width": 40, "count": 1, "dtype": "float32", "nodata": -9999}
    with rasterio.open(path, "w", crs="EPSG:4326", transform=from_origin(6, 47, 0.05, 0.05), **profile) as opened:
        opened.write(values(number), 1)


def colours(patch):
    return [int(patch) % 200 + one for one in (5, 20, 35, 50)]


def picture(folder, patch):
    red, green, blue, nir = colours(patch)
    for kind, image in (
        ("rgb", Image.new("RGB", (128, 128), (red, green, blue))),
        ("nir", Image.new("L", (128, 128), nir)),
    ):
        path = pictures.path_of(folder, kind, patch)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=100, subsampling=0)


def statistics(folder):
    (folder / IMAGES / "rgb_mean.csv").write_text("mean\n100\n110\n120\n")
    (folder / IMAGES / "rgb_std.csv").write_text("std_dev\n10\n20\n40\n")
    (folder / IMAGES / "nir_mean.csv").write_text("mean\n90\n")
    (folder / IMAGES / "nir_std.csv").write_text("std_dev\n30\n")
