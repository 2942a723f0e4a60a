"""Tables of sites: long and wide say the same, predictors are prepared by name, and doubtful tables are told."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from own_data import variant_of

from zoo.datasets.blocks import block_cells, block_folds
from zoo.datasets.dividing import SHARES, NoSuchSplit, drawn, range_of
from zoo.datasets.layouts.background import open_background
from zoo.datasets.layouts.site_rows import places_of
from zoo.datasets.layouts.site_values import Sources
from zoo.datasets.opening import open_dataset
from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.spec import Band, Fill, InputSpec, Kind, Normalise
from zoo.tasks.metrics.sdm import SdmMetrics
from zoo.tasks.sdm import SdmOutput

CLIMATE = InputSpec(
    name="climate",
    kind=Kind.TABLE,
    bands=(Band(id="bio_1", unit="degC"), Band(id="bio_12", unit="mm")),
    any_subset=True,
    steps=(Normalise(mean=(10.0, 800.0), std=(5.0, 200.0), source="ours"), Fill(value=0.0, source="ours")),
)
STRICT = InputSpec(name="climate", kind=Kind.TABLE, bands=CLIMATE.bands)
LONG = """site,scientificName,occurrenceStatus,decimalLongitude,decimalLatitude,bio_12,BIO_01,split
p,Abies alba,present,6.5,46.5,1000,5,train
p,Fagus sylvatica,absent,6.5,46.5,1000,5,train
q,Fagus sylvatica,present,7.5,46.0,600,,train
r,Abies alba,absent,8.0,47.0,800,10,val
"""
WIDE = """site,longitude,latitude,bio_1,bio_12,Abies alba,Fagus sylvatica,split
p,6.5,46.5,5,1000,1,0,train
q,7.5,46,,600,,1,train
r,8,47,10,800,0,,val
"""
SPECIES = ("Abies alba", "Fagus sylvatica")


def opened(path, split="train", *, inputs=(CLIMATE,), classes=SPECIES, **options):
    return open_dataset("sites", path, split=split, options=options, variant=variant_of(*inputs, classes=classes))


def table(tmp_path, text, name="sites.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", [LONG, WIDE])
def test_long_and_wide_tables_say_the_same(tmp_path, text):
    table(tmp_path, text)
    reader = opened(tmp_path)
    assert (reader.ids, reader.classes) == (("p", "q"), SPECIES)
    p, q = reader.sample(0), reader.sample(1)
    assert p.inputs["climate"].tolist() == [-1.0, 1.0]
    assert (q.inputs["climate"].tolist(), q.valid["climate"].tolist()) == ([0.0, -1.0], [False, True])
    np.testing.assert_array_equal(p.target["presence"], [1, 0])
    np.testing.assert_array_equal(q.target["presence"], [np.nan, 1])
    assert (p.place, q.place) == ((6.5, 46.5), (7.5, 46.0))
    assert opened(tmp_path, "val").ids == ("r",)


@pytest.mark.parametrize("text", [LONG, WIDE])
def test_semicolons_decimal_commas_and_windows_1252_say_the_same(tmp_path, text):
    text = text.replace(",", ";").replace(".", ",").replace("Abies alba", "Gentiana lútea")
    (tmp_path / "sites.csv").write_bytes(text.encode("cp1252"))
    with pytest.warns(ZooWarning, match="read as Windows-1252"):
        reader = opened(tmp_path, classes=("Gentiana lútea", "Fagus sylvatica"))
    assert (reader.ids, reader.classes) == (("p", "q"), ("Gentiana lútea", "Fagus sylvatica"))
    assert reader.sample(0).inputs["climate"].tolist() == [-1.0, 1.0]
    assert (reader.sample(0).place, reader.sample(1).place) == ((6.5, 46.5), (7.5, 46.0))
    np.testing.assert_array_equal(reader.presence, [[1, 0], [np.nan, 1]])


def test_a_spreadsheet_of_occurrences_is_told_what_to_save(tmp_path):
    (tmp_path / "finds.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"is a spreadsheet.*save the sheet as CSV UTF-8"):
        opened(tmp_path / "finds.xlsx")


def test_unlisted_species_of_complete_lists_are_absent(tmp_path):
    path = table(tmp_path, LONG)
    np.testing.assert_array_equal(opened(path, unlisted="absent").sample(1).target["presence"], [0, 1])
    alone = table(
        tmp_path, "site,species,bio_1,bio_12\np,Abies alba,5,1000\nq,Fagus sylvatica,6,900\n", "presences.csv"
    )
    with pytest.raises(ConfigError, match=r"presences alone; .*the option unlisted=absent .* or unknown"):
        opened(alone, shares={"train": 1.0})
    reader = opened(alone, shares={"train": 1.0}, unlisted="absent")
    np.testing.assert_array_equal(np.stack([reader.sample(i).target["presence"] for i in range(2)]), np.eye(2))


def test_a_species_that_was_found_once_is_present(tmp_path):
    path = table(
        tmp_path,
        LONG + "q,Fagus sylvatica,absent,7.5,46.0,600,,train\np,Fagus sylvatica,present,6.5,46.5,1000,5,train\n",
    )
    reader = opened(path)
    np.testing.assert_array_equal(reader.sample(0).target["presence"], [1, 1])
    np.testing.assert_array_equal(reader.sample(1).target["presence"], [np.nan, 1])


def test_rows_without_an_id_are_sites_by_their_coordinates(tmp_path):
    path = table(tmp_path, "\n".join(line.partition(",")[2] for line in LONG.splitlines()))
    reader = opened(path)
    assert reader.ids == ("6.500000 46.500000", "7.500000 46.000000")
    assert reader.sample(0).target["presence"].tolist() == [1, 0]


def test_a_table_per_split_is_read_by_its_name(tmp_path):
    head = "bio_1,bio_12,Abies alba,Fagus sylvatica\n"
    table(tmp_path, head + "5,1000,1,0\n6,900,0,1\n", "train.csv")
    pq.write_table(
        pa.table({"bio_1": [7.0], "bio_12": [1], "Abies alba": [True], "Fagus sylvatica": [0]}),
        tmp_path / "val.parquet",
    )
    assert opened(tmp_path).ids == ("train.csv row 1", "train.csv row 2")
    reader = opened(tmp_path, "val")
    assert reader.ids == ("val.parquet row 1",)
    assert reader.sample(0).target["presence"].tolist() == [1, 0]
    with pytest.raises(InputError, match=r"holds train\.csv, val\.parquet; expected .* one called test\.csv"):
        opened(tmp_path, "test")


def test_shares_draw_sites_not_rows(tmp_path):
    rows = [f"s{site},{name},present,5,1000" for site in range(60) for name in SPECIES]
    path = table(tmp_path, "\n".join(["site,species,presence,bio_1,bio_12", *rows]))
    parts = [opened(path, split, unlisted="absent", shares={"train": 0.7, "val": 0.3}) for split in ("train", "val")]
    assert parts[0].ids == tuple(f"s{site}" for site in range(60) if drawn(f"s{site}", 0) < 0.7)
    assert len(parts[0].ids) + len(parts[1].ids) == 60
    assert all(part.presence.eq(1).all() for part in parts)


def test_species_that_the_model_does_not_know_are_told_or_left_out_on_demand(tmp_path):
    path = table(tmp_path, LONG.replace("Fagus sylvatica", "Fagus silvatica"))
    said = r"1 species .* none of the model's 2: Fagus silvatica \(did you mean Fagus sylvatica\?\)"
    for split in ("train", "val"):  # of the table, wherever its rows are
        with pytest.warns(ZooWarning, match="2 of 4 rows are left out, of " + said):
            reader = opened(path, split)
    assert reader.classes == SPECIES
    assert reader.presence[:, 1].isnan().all()
    with pytest.raises(
        InputError, match=r"2 species .* the model's 2: Abies alpa, Fagus silvatica \(did you mean Abies alba"
    ):
        opened(table(tmp_path, path.read_text().replace("Abies alba", "Abies alpa"), "other.csv"))
    reader = opened(path, species=["Fagus silvatica"])
    assert reader.classes == ("Fagus silvatica",)
    np.testing.assert_array_equal(reader.presence[:, 0], [0, 1])
    assert opened(path, classes=()).classes == ("Abies alba", "Fagus silvatica")


def test_rows_that_name_no_species_are_counted_and_left_out(tmp_path):
    path = table(tmp_path, LONG + "q,,present,7.5,46.0,600,,train\ns,,present,9,46,600,7,train\n")
    with pytest.warns(ZooWarning, match=r"sites\.csv: 2 of 6 rows name no species and are left out"):
        reader = opened(path)
    assert reader.ids == ("p", "q")
    reader = opened(path, unlisted="absent")  # of complete lists some are empty
    assert reader.ids == ("p", "q", "s")
    np.testing.assert_array_equal(reader.presence[2], [0, 0])


def test_training_is_told_what_there_is_of_each_species_in_each_split(tmp_path):
    twice = LONG + "q,Fagus sylvatica,present,7.5,46.0,600,,train\nt,Abies alba,present,9,46,700,8,val\n"
    table(tmp_path, "lon,lat,bio_1,bio_12\n6.1,46.2,10,800\n6.3,46.4,12,700\n", "behind.csv")
    reader = opened(table(tmp_path, twice), background="behind.csv")
    rows = "3 finds of 2 species (and 1 row that repeats one at its site), 2 absences, 2 background points"
    assert reader.told == (
        f"sites.csv: {rows}; species are those of the column 'scientificName'",
        "train, val: 2 + 2 sites, 2 + 0 background points; finds of Abies alba (1 + 1), Fagus sylvatica (1 + 0)",
    )
    assert opened(tmp_path / "sites.csv", "val").told == ()
    assert opened(table(tmp_path, WIDE, "wide.csv")).told == (
        "wide.csv: 2 finds of 2 species, 2 absences",
        "train, val: 2 + 1 sites; finds of Abies alba (1 + 0), Fagus sylvatica (1 + 0)",
    )


def test_background_of_presences_alone_is_told_for_each_split(climate):
    path, _, _ = occurrences(climate)
    told = {"inputs": (WHERE,), "classes": (), "covariates": "climate", "background": 600, "block_km": 500.0}
    parts = [opened(path, split, **told) for split in ("train", "val", "test")]
    finds = [int((one.presence == 1).sum()) for one in parts]
    points = [sum(name.startswith("background") for name in one.ids) for one in parts]
    first, second = parts[0].told
    assert first == "occurrences.csv: 300 finds of 1 species, 600 background points"
    sums = [" + ".join(map(str, one)) for one in (finds, points)]
    assert second == (
        f"train, val, test: {sums[0]} sites, {sums[1]} background points; finds of Abies alba ({sums[0]})"
    )


def test_a_column_of_splits_stays_with_its_rows_where_others_have_no_place(tmp_path):
    rasters(tmp_path)
    path = table(tmp_path, "\n".join([LONG.splitlines()[0], "o,Abies alba,present,,,1,2,val", *LONG.splitlines()[1:]]))
    with pytest.warns(ZooWarning, match="1 of 4 sites have no coordinates"):
        reader = opened(path, inputs=(CLIMATE, HEIGHT), rasters={"terrain": "layers"})
    assert reader.ids == ("p", "q")
    np.testing.assert_array_equal(reader.presence, [[1, 0], [np.nan, 1]])


def test_too_few_blocks_are_told_as_train_val_and_test(tmp_path):
    path = table(tmp_path, "lon,lat,bio_1,bio_12,Abies alba\n6.5,46.5,5,1000,1\n", "one.csv")
    with pytest.raises(ConfigError, match=r"1 place lies in 1 block of 2\.0 km, and train, val and test take one"):
        opened(path, classes=("Abies alba",), block_km=2.0)
    with pytest.raises(
        ConfigError, match=r"1 place lies in 1 block of 2\.0 km, so 2 of 3 folds would be empty; choose smaller blocks$"
    ):
        opened(path, classes=("Abies alba",), block_km=2.0, folds=3, fold=1)


def test_wide_tables_without_the_species_are_told(tmp_path):
    path = table(tmp_path, WIDE.replace("Fagus sylvatica", "beech"))
    with pytest.raises(InputError, match=r"no column for 1 of 2 species: Fagus sylvatica; found site, "):
        opened(path)
    with pytest.raises(ConfigError, match=r"names no species, and the table has no column `species`"):
        opened(path, classes=())


def test_numbers_that_are_no_presence_are_told(tmp_path):
    with pytest.raises(InputError, match=r"column 'Abies alba' holds 12; expected 1 \(present\), 0 \(absent\)"):
        opened(table(tmp_path, WIDE.replace("1000,1,0", "1000,12,0")))
    with pytest.raises(InputError, match=r"column 'occurrenceStatus' holds 'seen'; expected present or absent"):
        opened(table(tmp_path, LONG.replace("absent", "seen")))


def test_sites_twice_or_nowhere_are_told(tmp_path):
    with pytest.raises(InputError, match=r"4 rows for 3 sites, such as 'p' more than once; expected a row per"):
        opened(table(tmp_path, WIDE + "p,6.5,46.5,5,1000,1,0,train\n"))
    with pytest.raises(InputError, match=r"lists species but not their sites"):
        opened(table(tmp_path, "species,bio_1,bio_12\nAbies alba,5,1000\n"), shares={"train": 1.0})
    with pytest.raises(InputError, match=r"the rows of site 'p' differ in 'bio_12'"):
        opened(table(tmp_path, LONG.replace("1000,5,train", "999,5,train", 1)))


def test_sites_that_lack_predictors_are_counted_and_left_out(tmp_path):
    path = table(tmp_path, WIDE)
    with pytest.warns(ZooWarning, match=r"1 of 2 sites lack predictors and are left out"):
        reader = opened(path, inputs=(STRICT,))
    assert reader.ids == ("p",)
    assert reader.sample(0).inputs["climate"].tolist() == [5, 1000]


def test_a_variable_that_is_missing_is_told(tmp_path):
    with pytest.raises(InputError, match=r"bio_12"):
        opened(table(tmp_path, WIDE.replace("bio_12", "rain")), inputs=(STRICT,))


def test_a_split_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(InputError, match=r"no row of the split 'test'; its column 'split' holds train, val"):
        opened(table(tmp_path, LONG), "test")
    with pytest.raises(ConfigError, match=r"column 'split', which the option shares would overrule"):
        opened(table(tmp_path, LONG), shares={"train": 1.0})


def test_models_that_see_images_too_are_told(tmp_path):
    from own_data import S2

    with pytest.raises(InputError, match=r"sees patches of image around each site.*option rasters\.image=FILE"):
        opened(table(tmp_path, LONG), inputs=(CLIMATE, S2))


# -------------------------------------------------------------------------------------------------- patches around sites


HEIGHT = InputSpec(
    name="terrain",
    kind=Kind.RASTER,
    bands=(Band(id="height", unit="m"), Band(id="bio_4", unit="1")),
    window=3,
    steps=(Normalise(mean=(10.0, 0.0), std=(2.0, 1.0), source="ours"), Fill(value=0.0, source="ours")),
)


def rasters(tmp_path):
    """Of 10 x 20 cells of a tenth of a degree: the height is the number of the cell; and a coarser one of 1s."""
    from own_data import write_tif
    from rasterio.transform import from_origin

    (tmp_path / "layers").mkdir()
    height = np.arange(200, dtype=np.float32).reshape(1, 10, 20)
    height[0, 5, 5] = -1
    write_tif(
        tmp_path / "layers/height.tif",
        height,
        names=("height",),
        crs="EPSG:4326",
        nodata=-1,
        transform=from_origin(6, 47, 0.1, 0.1),
    )
    write_tif(
        tmp_path / "layers/CHELSA_bio4_1981-2010_V.2.1.tif",
        np.ones((1, 2, 3), np.float32),
        names=(None,),
        crs="EPSG:4326",
        transform=from_origin(6, 47, 1, 1),
    )
    return height[0]


def test_patches_are_read_around_each_site_from_a_folder_of_rasters(tmp_path):
    height = rasters(tmp_path)
    path = table(tmp_path, LONG.replace("6.5,46.5", "6.55,46.45").replace("7.5,46.0", "7.55,46.05"))
    reader = opened(path, inputs=(CLIMATE, HEIGHT), rasters={"terrain": "layers"})
    sample = reader.sample(0)
    assert set(sample.inputs) == {"climate", "terrain"}
    expected = (height[4:7, 4:7] - 10) / 2
    expected[1, 1] = 0  # no data
    np.testing.assert_allclose(sample.inputs["terrain"][0], expected)
    assert sample.inputs["terrain"][1].tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]  # beyond the coarse raster's edges
    assert sample.valid["terrain"].all()
    corner = reader.sample(1)
    assert corner.inputs["terrain"][0][2].tolist() == [0, 0, 0]  # beyond the edge
    np.testing.assert_allclose(corner.inputs["terrain"][0][1], (height[9, 14:17] - 10) / 2)
    assert corner.place == (7.55, 46.05)


def test_what_patches_need_is_told(tmp_path):
    rasters(tmp_path)
    path = table(tmp_path, LONG)
    with pytest.raises(ConfigError, match="rasters names 'land'; toy sees patches of terrain"):
        opened(path, inputs=(CLIMATE, HEIGHT), rasters={"land": "layers"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no data found; expected files ending in \.tif"):
        opened(path, inputs=(CLIMATE, HEIGHT), rasters={"terrain": "empty"})
    nowhere = table(tmp_path, re.sub(r"(present|absent),[\d.]+,[\d.]+", r"\1,,", LONG), "other.csv")
    with pytest.raises(InputError, match=r"other\.csv has no coordinates that are known"):
        opened(nowhere, inputs=(CLIMATE, HEIGHT), rasters={"terrain": "layers"})
    partly = table(tmp_path, LONG.replace("8.0,47.0", ","), "partly.csv")
    with pytest.warns(ZooWarning, match="1 of 3 sites have no coordinates and are left out"):
        assert len(opened(partly, inputs=(CLIMATE, HEIGHT), rasters={"terrain": "layers"}).ids) == 2


def test_background_points_are_further_sites_of_the_training_data(tmp_path):
    path = table(tmp_path, LONG)
    table(tmp_path, "lon,lat,bio_1,bio_12\n6.1,46.2,10,800\n6.3,46.4,,\n6.2,46.9,15,\n", "behind.csv")
    reader = opened(path, background="behind.csv")
    assert reader.ids == ("p", "q", "background 1", "background 3")
    assert [bool(reader.sample(index).target["background"]) for index in range(4)] == [False, False, True, True]
    last = reader.sample(3)
    assert last.inputs["climate"].tolist() == [1, 0]
    assert last.target["presence"].isnan().all()
    assert last.place == (6.2, 46.9)
    assert "background" not in opened(path).sample(0).target
    assert "background" not in opened(path, "val", background="behind.csv").sample(0).target
    table(tmp_path, "lon,lat\n6.1,46.2\n", "bare.csv")
    with pytest.raises(InputError, match="bio_1"):
        opened(path, background="bare.csv")


# ------------------------------------------------------------------------------------------------------- own occurrences

WHERE = InputSpec(
    name="climate",
    kind=Kind.TABLE,
    bands=(
        Band(id="bio_1", unit="degC"),
        Band(id="bio_12", unit="mm"),
        Band(id="Longitude", unit="deg"),
        Band(id="Latitude", unit="deg"),
    ),
    any_subset=True,
    steps=(Fill(value=0.0, source="ours"),),
)
NORTH, SOUTH = 60.0, 0.0


@pytest.fixture
def climate(tmp_path):
    """Two rasters of 40 x 60 cells of a degree or so: the first is the number of the column, but for a corner without
    data; the second, coarser, the number of the row."""
    from own_data import write_tif
    from rasterio.transform import from_origin

    columns = np.broadcast_to(np.arange(40, dtype=np.float32), (60, 40)).copy()
    columns[:30, :20] = -9
    place = from_origin(0, NORTH, 1, 1)
    write_tif(tmp_path / "climate/bio_1.tif", columns[None], (None,), nodata=-9, crs="EPSG:4326", transform=place)
    rows = np.broadcast_to(np.arange(30, dtype=np.float32)[:, None], (30, 20))
    write_tif(
        tmp_path / "climate/wc2.1_10m_bio_12.tif",
        rows[None],
        (None,),
        crs="EPSG:4326",
        transform=from_origin(0, NORTH, 2, 2),
    )
    return tmp_path


def occurrences(tmp_path, n=300, seed=0, text="", name="occurrences.csv"):
    """Presences alone, all over the southern half."""
    draw = np.random.default_rng(seed)
    lon, lat = draw.uniform(0, 40, n), draw.uniform(0, 29, n)
    rows = [f"Abies alba,{x:.5f},{y:.5f}" for x, y in zip(lon, lat, strict=True)]
    path = table(tmp_path, "\n".join([f"species,decimalLongitude,decimalLatitude{text}", *rows]), name)
    return path, lon.round(5), lat.round(5)


def test_variables_that_the_table_lacks_are_sampled_at_the_sites(climate):
    path = table(
        climate, "site,lon,lat,bio_12,Abies alba\na,30.5,50.5,777,1\nb,30.5,10.5,,0\nc,3.5,50.5,,1\n", "wide.csv"
    )
    options = {"classes": ("Abies alba",), "shares": {"train": 1.0}}
    reader = opened(path, inputs=(WHERE,), covariates="climate", **options)
    assert [reader.sample(index).inputs["climate"].tolist() for index in range(3)] == [
        [30.0, 777.0, 30.5, 50.5],  # the table's own number counts
        [30.0, 24.0, 30.5, 10.5],
        [0.0, 4.0, 3.5, 50.5],
    ]
    assert reader.sample(2).valid["climate"].tolist() == [False, True, True, True]
    near = opened(path, inputs=(WHERE,), covariates="climate", sampling="nearest", **options)
    assert near.sample(2).inputs["climate"][0] == 20.0  # 17 columns east; the rows below are further
    between = opened(path, inputs=(WHERE,), covariates="climate/bio_1.tif", sampling="bilinear", **options)
    assert between.sample(0).inputs["climate"][0] == 30.0
    with pytest.raises(ConfigError, match="sampling is 'cubic'; expected cell, nearest, bilinear"):
        opened(path, inputs=(WHERE,), covariates="climate", sampling="cubic", **options)
    with pytest.raises(InputError, match="no coordinates at which the rasters could be read"):
        opened(table(climate, "Abies alba\n1\n0\n"), inputs=(CLIMATE,), covariates="climate", **options)


def test_background_points_in_degrees_go_with_sites_in_metres(tmp_path):
    (tmp_path / "points.csv").write_text("lon,lat\n8.2,46.9\n")
    (tmp_path / "metric.csv").write_text("x,y\n2600000,1200000\n")
    for name in ("points.csv", "metric.csv"):
        points = open_background(name, None, tmp_path, None, (), seed=0, crs="EPSG:2056")
        assert places_of(points)[0] == pytest.approx(
            (8.2, 46.9) if name == "points.csv" else (7.4386, 46.9511), abs=1e-3
        )


def test_background_points_are_uniform_on_the_ground_where_rasters_have_data(climate):
    path, lon, lat = occurrences(climate)
    lat[0] = 59.0
    rows = [f"Abies alba,{x},{y}" for x, y in zip(lon, lat, strict=True)]
    path = table(climate, "\n".join(["species,lon,lat", *rows]), "tall.csv")
    reader = opened(
        path, inputs=(WHERE,), classes=(), covariates="climate", background=4000, shares={"train": 1.0}, seed=3
    )
    drawn_here = reader.places[reader.background.numpy()]
    assert drawn_here.shape == (4000, 2)
    assert reader.presence[reader.background].isnan().all()
    assert reader.valid["climate"][reader.background].all()  # and so nothing in the corner without data
    assert not ((drawn_here[:, 0] < 20) & (drawn_here[:, 1] > 30)).any()
    assert (drawn_here.min(axis=0) >= [lon.min(), lat.min()]).all()
    assert (drawn_here.max(axis=0) <= [lon.max(), 59.0]).all()
    # Of the columns that are whole, the share below 30 degrees is that of the sine of the latitude.
    east = drawn_here[drawn_here[:, 0] >= 20, 1]
    sine = np.sin(np.radians([lat.min(), 30.0, 59.0]))
    expected = (sine[1] - sine[0]) / (sine[2] - sine[0])
    assert np.mean(east < 30) == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / len(east)))
    again = opened(
        path, inputs=(WHERE,), classes=(), covariates="climate", background=4000, shares={"train": 1.0}, seed=3
    )
    np.testing.assert_array_equal(again.places, reader.places)


def test_blocks_keep_sites_and_background_points_of_a_split_together(climate):
    path, _, _ = occurrences(climate)
    told = {"inputs": (WHERE,), "classes": (), "covariates": "climate", "background": 600, "block_km": 500.0}
    parts = {split: opened(path, split, **told) for split in ("train", "val", "test")}
    cells = {
        split: {tuple(one) for one in block_cells(reader.places, block_km=500.0).tolist()}
        for split, reader in parts.items()
    }
    assert not cells["train"] & cells["test"]
    assert not cells["train"] & cells["val"]
    assert not cells["val"] & cells["test"]
    sites = {split: int((reader.presence == 1).sum()) for split, reader in parts.items()}
    assert sum(sites.values()) == 300
    assert sites["train"] == pytest.approx(240, abs=30)
    assert sum(len(reader.ids) for reader in parts.values()) == 900
    # Presences alone are judged against the points of their own blocks, which count as absences there.
    test = parts["test"]
    assert (int((test.presence == 0).sum()), test.background) == (len(test.ids) - sites["test"], None)
    assert test.notes[0].startswith("absences are background points")
    assert parts["train"].presence[parts["train"].background].isnan().all()
    assert parts["train"].notes == ()


def test_where_absences_are_known_background_points_only_train(climate):
    path, lon, _ = occurrences(climate, text=",presence")
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], *[f"{row},{int(x > 20)}" for row, x in zip(rows[1:], lon, strict=True)]]))
    told = {"inputs": (WHERE,), "classes": (), "covariates": "climate", "background": 300, "block_km": 500.0}
    train, test = (opened(path, split, **told) for split in ("train", "test"))
    assert not any(one.startswith("background") for one in test.ids)
    assert test.notes == ()
    assert 0 < int(train.background.sum()) < 300  # those of held-out blocks are not in training


def test_folds_are_the_test_one_after_another(climate):
    path, _, _ = occurrences(climate)
    told = {"inputs": (WHERE,), "classes": (), "covariates": "climate", "unlisted": "absent", "block_km": 500.0}
    ids = {
        (fold, split): set(opened(path, split, folds=4, fold=fold, **told).ids)
        for fold in (1, 2, 3, 4)
        for split in ("train", "val", "test")
    }
    every = set().union(*(ids[fold, "test"] for fold in (1, 2, 3, 4)))
    assert sum(len(ids[fold, "test"]) for fold in (1, 2, 3, 4)) == len(every) == 300
    for fold in (1, 2, 3, 4):
        assert ids[fold, "val"] == ids[fold % 4 + 1, "test"]
        assert ids[fold, "train"] == every - ids[fold, "test"] - ids[fold, "val"]
    reader = opened(path, "test", folds=4, fold=1, **told)
    places = np.array([[float(one) for one in name.split()] for name in sorted(every)])
    expected = block_folds(places, folds=4, block_km=500.0, seed=0)[0]
    assert set(reader.ids) == {sorted(every)[row] for row in expected}
    assert reader.notes[0].startswith("absences are sites where the species is not listed")


def test_options_of_own_occurrences_that_contradict_are_told(climate):
    path, _, _ = occurrences(climate)
    told = {"inputs": (WHERE,), "classes": (), "covariates": "climate", "unlisted": "absent"}
    with pytest.raises(ConfigError, match="say all of block_km, folds and fold"):
        opened(path, folds=5, fold=1, **told)
    with pytest.raises(ConfigError, match=r"found fold=6 of folds=5; expected 3 folds or more"):
        opened(path, folds=5, fold=6, block_km=100, **told)
    with pytest.raises(ConfigError, match="folds have equal shares"):
        opened(path, folds=5, fold=1, block_km=100, shares={"train": 1.0}, **told)
    with pytest.raises(ConfigError, match="column 'split', which the option block_km would overrule"):
        opened(table(climate, LONG), block_km=100)
    with pytest.raises(ConfigError, match=r"background is 0; expected a table, or how many points"):
        opened(path, background=0, **told)
    with pytest.raises(ConfigError, match=r"no rasters say what they are like; say covariates=FOLDER"):
        opened(path, inputs=(WHERE,), classes=(), background=10)
    far = table(climate, "species,lon,lat\nAbies alba,100,0\nAbies alba,110,10\n", "far.csv")
    with pytest.raises(InputError, match=r"of 500 points in the box .* 0 lie where all rasters have data"):
        opened(far, background=10, shares={"train": 1.0}, **told)
    with pytest.raises(
        InputError, match=r"lists nothing of Abies albus; it lists Abies alba \(did you mean Abies alba"
    ):
        opened(path, species=["Abies albus"], **told)


def test_a_variable_that_only_sites_have_is_told(climate):
    table(climate, "lon,lat\n30.1,20.2\n31.3,10.4\n", "points.csv")
    path = table(climate, "site,lon,lat,bio_12,Abies alba\na,30.5,20.5,777,1\nb,31.5,10.5,700,1\n", "wide.csv")
    with pytest.raises(InputError, match="bio_12 is known either of sites or of background points alone"):
        opened(
            path,
            inputs=(WHERE,),
            classes=("Abies alba",),
            covariates="climate/bio_1.tif",
            background="points.csv",
            shares={"train": 1.0},
        )


def test_rows_without_a_species_tell_of_a_site_alone(climate):
    path = table(climate, "species,lon,lat\nAbies alba,30.5,20.5\n,30.5,10.5\n", "gbif.csv")
    reader = opened(path, inputs=(WHERE,), classes=(), covariates="climate", unlisted="absent", shares={"train": 1.0})
    assert (reader.classes, reader.presence[:, 0].tolist()) == (("Abies alba",), [1, 0])


# ------------------------------------------------------------------------------------- what is one site, in which split


def test_ids_of_finds_are_no_ids_of_sites(tmp_path):
    """Two species at one place are one site, whatever their finds are called; rows without an id have a place."""
    head = "occurrenceID,catalogNumber,id,eventID,species,lon,lat,bio_1,bio_12"
    rows = [
        "o1,c1,1,,Abies alba,6.5,46.5,5,1000",
        ",,2,,Fagus sylvatica,6.5,46.5,5,1000",
        ",,3,,Fagus sylvatica,7.5,46.0,6,900",
        "o4,c4,4,e,Abies alba,7.5,46.0,7,800",
    ]
    path = table(tmp_path, "\n".join([head, *rows]))
    reader = opened(path, unlisted="absent", shares={"train": 1.0})
    assert reader.ids == ("6.500000 46.500000", "7.500000 46.000000", "e")
    np.testing.assert_array_equal(reader.presence, [[1, 1], [0, 1], [1, 0]])
    without = table(tmp_path, "\n".join([head, *rows]).replace("eventID", "remark"), "finds.csv")
    with pytest.raises(InputError, match=r"rows of site '7\.500000 46\.000000' differ in 'bio_1'"):
        opened(without, unlisted="absent", shares={"train": 1.0})
    plots = table(
        tmp_path, "id,species,lon,lat,bio_1,bio_12\n1,Abies alba,6,46,5,9\n1,Fagus sylvatica,6,46,5,9\n", "plots.csv"
    )
    assert opened(plots, unlisted="absent", shares={"train": 1.0}).ids == ("1",)


def test_a_place_is_in_one_split_whatever_the_order_of_rows(tmp_path):
    head = "longitude,latitude,bio_1,bio_12,Abies alba,Fagus sylvatica"
    rows = [f"{6 + place / 10},46,{place},{visit},1,0" for visit in range(3) for place in range(40)]
    seen = []
    for name, lines in (("a.csv", rows), ("b.csv", rows[::-1])):
        path = table(tmp_path, "\n".join([head, *lines]), name)
        parts = [opened(path, split, shares={"train": 0.6, "val": 0.4}) for split in ("train", "val")]
        assert len(parts[0].ids) + len(parts[1].ids) == 120
        seen.append([{tuple(one) for one in part.places.tolist()} for part in parts])
    assert not seen[0][0] & seen[0][1]
    assert seen[0] == seen[1]
    assert "row 1" in {*opened(tmp_path / "a.csv", shares={"train": 1.0}).ids}


@pytest.mark.parametrize("options", [{}, {"unlisted": "absent"}])
def test_a_site_in_two_splits_is_told(tmp_path, options):
    path = table(
        tmp_path,
        LONG.replace("p,Fagus sylvatica,absent,6.5,46.5,1000,5,train", "p,Fagus sylvatica,present,6.5,46.5,1000,5,val"),
    )
    with pytest.raises(InputError, match=r"rows of 1 sites are in several splits, such as those of 'p' in train, val"):
        opened(path, **options)


def test_a_split_into_which_no_site_falls_is_told(tmp_path):
    rows = [f"s{site},5,1000,1,0" for site in range(4)]
    path = table(tmp_path, "\n".join(["site,bio_1,bio_12,Abies alba,Fagus sylvatica", *rows]))
    empty = [split for split in ("train", "val", "test") if not any(_falls(f"s{site}", split) for site in range(4))]
    assert "val" in empty
    with pytest.raises(NoSuchSplit, match=r"0 of 4 sites fall into 'val'.*shares=.*block_km="):
        opened(path, "val")
    assert len(opened(path).ids) == 4 - sum(_falls(f"s{site}", "test") for site in range(4))


def _falls(name, split):
    low, high = range_of(split, SHARES)
    return low <= drawn(name, 0) < high


# ------------------------------------------------------------------------------------------------- presences and absences


def test_wide_tables_of_presences_alone_are_told_as_long_ones_are(tmp_path):
    path = table(tmp_path, "site,bio_1,bio_12,Abies alba,Fagus sylvatica\np,5,1000,1,\nq,6,900,,1\n")
    with pytest.raises(ConfigError, match=r"presences alone; .*the option unlisted=absent .* or unknown"):
        opened(path, shares={"train": 1.0})
    reader = opened(path, shares={"train": 1.0}, unlisted="absent")
    np.testing.assert_array_equal(reader.presence, np.eye(2))
    reader = opened(path, shares={"train": 1.0}, unlisted="unknown")
    np.testing.assert_array_equal(reader.presence, [[1, np.nan], [np.nan, 1]])


MIXED = """site,lon,lat,Abies alba,Fagus sylvatica,split
p,30.5,20.5,1,1,train
q,31.5,10.5,0,1,train
r,32.5,10.5,1,1,val
s,33.5,11.5,0,,val
"""


def test_background_stands_for_absences_of_the_species_of_which_none_is_listed(climate):
    path = table(climate, MIXED)
    told = {"inputs": (WHERE,), "covariates": "climate", "background": 100}
    train, val = (opened(path, split, **told) for split in ("train", "val"))
    assert train.presence[train.background].isnan().all()
    points = np.array([one.startswith("background") for one in val.ids])
    assert points.sum() > 0
    assert val.presence[points, 0].isnan().all()
    assert (val.presence[points, 1] == 0).all()
    assert val.notes[0].startswith("absences of Fagus sylvatica are background points")
    assert len(val.notes) == 1


def test_species_without_any_absence_are_in_no_mean_and_told(climate):
    reader = opened(table(climate, MIXED), "val", inputs=(WHERE,), covariates="climate")
    assert reader.notes == (
        "no absence is known of Fagus sylvatica in this split: left out of the means of AUC, TSS, ...",
    )
    metric = SdmMetrics(variant=variant_of(WHERE, classes=SPECIES), **reader.judged_by)
    logits = torch.tensor([[2.0, 1.0], [1.0, 0.0]])
    metric.update(SdmOutput(logits), {"presence": reader.presence}, reader.ids)
    figures = metric.compute()
    assert figures["auc_mean"].value == 1.0  # not the mean of 1 and 0.5
    assert opened(table(climate, MIXED), inputs=(WHERE,), covariates="climate").notes == ()


# ---------------------------------------------------------------------------------------------------- drawn points


def test_drawn_points_lie_in_cells_with_data_however_sites_are_sampled(climate):
    rows = ["Abies alba,1,59", "Abies alba,39,5", "Abies alba,25,40"]
    path = table(climate, "\n".join(["species,lon,lat", *rows]))
    told = {"inputs": (WHERE,), "classes": (), "covariates": "climate", "background": 500, "shares": {"train": 1.0}}
    reader = opened(path, sampling="nearest", **told)
    places = reader.places[reader.background.numpy()]
    assert len(places) == 500
    assert not ((places[:, 0] < 20) & (places[:, 1] > 30)).any()


def test_rasters_are_opened_once_for_all_rounds_of_drawing(climate, monkeypatch):
    path, _, _ = occurrences(climate)
    opens = []
    layers = Sources.layers
    monkeypatch.setattr(Sources, "layers", lambda self: opens.append(1) or layers(self))
    text = path.read_text() + "\nAbies alba,0.5,59.5"  # a quarter of the box has no data: 1 round is too few
    told = {"inputs": (WHERE,), "classes": (), "covariates": "climate", "background": 500, "shares": {"train": 1.0}}
    opened(table(climate, text), **told)
    assert len(opens) == 1


def test_where_points_are_drawn_rasters_count_before_columns(climate):
    """A column that is filled at some sites would tell them from points; one that only the table has, altogether."""
    wide = "site,lon,lat,bio_12,Abies alba\na,30.5,20.5,777,1\nb,31.5,10.5,,1\n"
    told = {"inputs": (WHERE,), "classes": ("Abies alba",), "background": 20, "shares": {"train": 1.0}}
    reader = opened(table(climate, wide), covariates="climate", **told)
    assert reader.inputs["climate"][:2, 1].tolist() == [19.0, 24.0]  # of the raster: 2 degrees a row, from 60 north
    with (
        pytest.warns(ZooWarning, match=r"wide\.csv: bio_12 is left out, for only columns tell"),
        pytest.warns(ZooWarning, match="1 of 4 variables is not there"),
    ):
        reader = opened(table(climate, wide, "wide.csv"), covariates="climate/bio_1.tif", **told)
    assert reader.valid["climate"].any(dim=0).tolist() == [True, False, True, True]


def test_names_of_the_tables_columns_are_not_those_of_drawn_points(climate):
    path = table(climate, "a,b,c,d,Abies alba\ns,30.5,20.5,777,1\nt,31.5,10.5,3,1\n".replace("b,c", "lon,lat"))
    told = {"inputs": (WHERE,), "classes": ("Abies alba",), "covariates": "climate", "shares": {"train": 1.0}}
    reader = opened(path, bands=["-", "-", "-", "bio_12", "-"], background=20, **told)
    assert len(reader.ids) == 22
    assert reader.valid["climate"].all()


def test_sites_that_span_no_box_are_told(climate):
    told = {"inputs": (WHERE,), "classes": (), "covariates": "climate", "background": 10, "shares": {"train": 1.0}}
    for rows in (["30.5,20.5"], ["30.5,20.5"] * 3):
        path = table(climate, "\n".join(["species,lon,lat", *[f"Abies alba,{one}" for one in rows]]))
        with pytest.raises(
            InputError, match=r"1 site at longitude 30\.5000, latitude 20\.5000 span no box.*points\.csv"
        ):
            opened(path, **told)


def test_the_box_of_sites_across_the_date_line_is_the_smaller_one(tmp_path):
    from own_data import write_tif
    from rasterio.transform import from_origin

    world = np.ones((1, 18, 36), np.float32)
    for name in ("bio_1", "bio_12"):
        write_tif(
            tmp_path / f"world/{name}.tif", world, (None,), crs="EPSG:4326", transform=from_origin(-180, 90, 10, 10)
        )
    path = table(tmp_path, "species,lon,lat\nAbies alba,175,-20\nAbies alba,-170,-10\nAbies alba,179,-12\n")
    told = {"inputs": (WHERE,), "classes": (), "covariates": "world", "background": 300, "shares": {"train": 1.0}}
    reader = opened(path, **told)
    lon = reader.places[reader.background.numpy(), 0]
    assert ((lon >= 175) | (lon <= -170)).all()
    assert np.mean(lon > 0) == pytest.approx(1 / 3, abs=0.1)
    assert (np.abs(lon) <= 180).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"block_km": "3km"}, "block_km is '3km'; expected a number of kilometres"),
        ({"block_km": -3}, "block_km is -3; expected a number of kilometres above 0"),
        ({"seed": -1}, "seed is -1; expected a whole number"),
        ({"seed": 1.5}, r"seed is 1\.5; expected a whole number"),
        ({"block_km": 500, "folds": 3.5, "fold": 1}, r"folds is 3\.5; expected a whole number"),
        ({"block_km": 500, "folds": "3", "fold": 1}, "folds is '3'; expected a whole number"),
        ({"shares": 0.8}, r"shares is 0\.8; expected a number per split"),
        ({"covariates": 3}, "covariates is 3; expected a file, folder or pattern"),
        ({"rasters": 3}, "rasters is 3; expected a file or folder per input"),
        ({"table": 3}, "table is 3; expected the name of a file"),
        ({"species": [3]}, r"species is \[3\]; expected names"),
    ],
)
def test_options_of_another_kind_are_told(climate, options, said):
    path, _, _ = occurrences(climate)
    with pytest.raises(ConfigError, match=said):
        opened(path, **{"inputs": (WHERE,), "covariates": "climate", "unlisted": "absent"} | options)


def test_a_single_species_is_a_list_of_one(climate):
    path, _, _ = occurrences(climate, n=5)
    reader = opened(
        path, inputs=(WHERE,), covariates="climate", unlisted="absent", species="Abies alba", shares={"train": 1.0}
    )
    assert reader.classes == ("Abies alba",)
