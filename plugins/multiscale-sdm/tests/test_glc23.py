"""GeoLifeCLEF 2023: the right species, cells and pixels for each item, and its Id always with it."""

from dataclasses import replace

import glc23_layout as layout
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from zoo_multiscale_sdm import pictures
from zoo_multiscale_sdm.glc23 import BACKGROUND, IMAGES, ONLY, RASTERS, TABLES, glc23, sample_species
from zoo_multiscale_sdm.network.multiscale import build
from zoo_multiscale_sdm.submission import answer_items, write_submission
from zoo_multiscale_sdm.variants import PUBLISHED

import zoo
from zoo.datasets.opening import open_dataset
from zoo.errors import ConfigError, InputError

BOTH, ENV = PUBLISHED[0], next(one for one in PUBLISHED if one.tag == "env-1-5")
SAT = next(one for one in PUBLISHED if one.tag == "sat-25")


@pytest.fixture
def root(tmp_path):
    return layout.write(tmp_path / "GLC23")


def opened(root, split="train", variant=BOTH, **options):
    return open_dataset("glc23", root, split=split, options=options, variant=variant)


def test_items_are_places_and_days_with_all_their_species(root):
    reader = opened(root)
    assert reader.classes == ("5", "24", "271")
    assert len(reader.ids) == len(set(reader.ids)) == 4
    found = {reader.ids[index]: reader.sample(index).target["presence"].tolist() for index in range(4)}
    assert found == {
        "train 46.1 6.6 3018847 40": [1, 0, 1],
        "train 46.4 6.2 3000007 10": [1, 1, 0],
        "train 46.6 7.9 3000011 50": [0, 1, 0],
        "train 46.9 7.1 3000002 30": [1, 0, 0],
    }
    present, known = reader.presences()
    assert present.tolist() == [4, 2, 1]  # rows: the one told twice counts twice, as the authors count
    assert known.tolist() == [4, 4, 4]
    assert reader.sample(0).place == (6.6, 46.1)


def test_surveys_are_labelled_over_the_training_species(root):
    reader = opened(root, "val")
    assert reader.classes == ("5", "24", "271")
    assert [reader.sample(index).target["presence"].tolist() for index in range(2)] == [[0, 0, 1], [1, 1, 0]]
    assert not set(reader.ids) & set(opened(root).ids)


def test_ids_of_the_test_go_with_their_places_and_nothing_is_known_there(root):
    reader = opened(root, "test")
    places = {name: reader.sample(index).place for index, name in enumerate(reader.ids)}
    assert places == {"72": (6.6, 46.1), "70": (6.2, 46.4), "73": (7.9, 46.6)}
    assert reader.sample(0).target["presence"].isnan().all()


def test_rasters_are_read_around_the_place_and_standardised(root):
    sample = opened(root, variant=ENV, standardise="data").sample(3)
    patch = sample.inputs["env"]
    assert patch.shape == (19, 5, 5)
    row, col = 2, 22  # 46.9 N, 7.1 E, just beside the edges of cells
    for number in (1, 12, 19):
        whole = np.ma.masked_equal(layout.values(number), -9999).astype(np.float64)
        expected = ((whole - whole.mean()) / whole.std())[row - 2 :][:5, col - 3 :][:, :6].filled(0)
        inside = patch[number - 1].numpy()
        assert any(np.allclose(inside, expected[:, start : start + 5], atol=1e-5) for start in (0, 1))
        assert (inside[0] == 0).all()  # the raster's first row holds no data


def test_pictures_are_found_by_the_ends_of_their_numbers(root):
    layout.statistics(root)
    reader = opened(root, variant=SAT, standardise="data")
    index = reader.ids.index("train 46.1 6.6 3018847 40")
    seen = reader.sample(index).inputs["sat"]
    assert seen.shape == (4, 24, 24)
    told = [
        (value - mean) / std
        for value, mean, std in zip(layout.colours("3018847"), (100, 110, 120, 90), (10, 20, 40, 30), strict=True)
    ]
    np.testing.assert_allclose(seen[:, 12, 12].numpy(), told, atol=0.15)  # JPEG changes a level or two
    assert pictures.path_of(root, "rgb", "3018847").parts[-3:] == ("47", "88", "3018847.jpeg")


def test_channels_are_known_by_name_in_whatever_order_a_model_has_them(root):
    turned = replace(SAT, inputs=(SAT.inputs[0].subset(("S2:B08", "S2:B04", "S2:B03", "S2:B02")),))
    plain, other = (opened(root, variant=variant).sample(0).inputs["sat"] for variant in (SAT, turned))
    torch.testing.assert_close(other, plain[[3, 0, 1, 2]])


def test_each_item_goes_with_a_background_location_in_training(root):
    reader = opened(root, variant=ENV, background=True)
    assert set(reader.sample(0).inputs) == {"env"}
    samples = [reader.sample(index, torch.Generator()) for index in range(3)]
    batch = reader.collate(samples)
    assert batch.inputs["env"].shape == (6, 19, 5, 5)
    assert batch.target["background"].tolist() == [False] * 3 + [True] * 3
    assert batch.target["presence"][3:].isnan().all()
    torch.testing.assert_close(batch.inputs["env"][:3], torch.stack([one.inputs["env"] for one in samples]))
    assert len(batch.ids) == len(batch) == 6
    again = opened(root, variant=ENV, background=True).sample(1, torch.Generator())
    assert all(torch.equal(one, again.inputs[name]) for name, one in samples[1].inputs.items())
    with pytest.raises(ConfigError, match=r"have no pictures.*multiscale-sdm@env-1-5"):
        opened(root, background=True)


def test_the_training_table_is_made_of_the_challenges_own(root):
    before = (root / TABLES["train"]).read_text()
    (root / TABLES["train"]).unlink()
    with pytest.raises(InputError, match=r"is not there; found .*Presences_only_train.csv.*sample_species"):
        opened(root)
    sample_species(root)
    reader = opened(root)
    assert reader.classes == ("5", "24", "271")
    assert sorted((root / TABLES["train"]).read_text().split()) == sorted(before.split())


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: (root / BACKGROUND).unlink(), "cannot read .*Pseudoabsence"),
        (
            lambda root: (root / TABLES["train"]).write_text("lon,lat\n1,2\n"),
            "has no column lat, lon, patchID, dayOfYear",
        ),
        (lambda root: next((root / RASTERS).rglob("bio7.tif")).unlink(), "1 of 19 variables is not there.*bio_7"),
        (lambda root: layout.layer(root / RASTERS / "BIO_07.tif", 7), "are both bio_7"),
        (lambda root: [one.unlink() for one in (root / RASTERS).rglob("*.tif")], r"holds no \.tif"),
    ],
)
def test_what_is_missing_is_told(root, spoil, told):
    spoil(root)
    with pytest.raises(InputError, match=told):
        opened(root, variant=ENV, background=True)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.unlink(), "is not there; expected a patch of 128 x 128 px"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "is damaged"),
        (lambda path: path.write_text("no picture"), "is damaged"),
        (lambda path: layout.Image.new("RGB", (64, 64)).save(path), "has 64 x 64 px; expected 128 x 128"),
    ],
)
def test_bad_pictures_are_told(root, spoil, told):
    spoil(pictures.path_of(root / IMAGES, "rgb", "3018847"))
    reader = opened(root, variant=SAT)
    with pytest.raises(InputError, match=told):
        reader.sample(reader.ids.index("train 46.1 6.6 3018847 40"))


def test_wrong_options_are_told(root):
    with pytest.raises(ConfigError, match="splits train, val, test, found 'validation'"):
        glc23(root, split="validation", variant=ENV)
    with pytest.raises(ConfigError, match="standardise is 'own'; expected model or data"):
        opened(root, standardise="own")
    assert not list((root / ONLY).glob("*new*"))


@pytest.mark.parametrize("recipe", ["glc23", "glc23-background"])
def test_recipes_of_the_paper_run_on_the_layout_and_keep_the_datas_statistics(root, tmp_path, recipe):
    config = zoo.recipe(
        "multiscale-sdm@env-1-5", recipe, f"data.folder={root}", "epochs=1", "batch=2", "workers=0", "trackers=[]"
    )
    phase = next(iter(config.phases.values()))
    assert (phase.optimizer.name, phase.optimizer.lr, phase.optimizer.weight_decay) == ("sgd", 1e-2, 1e-4)
    done = zoo.train(config, out=tmp_path / "run")
    assert done.model.variant.classes == ("5", "24", "271")
    # of scales in pixels up to 59, and so of rasters, both crops are the same; the paper's recipe says its own
    assert done.model.variant.config["crop"] == ("original" if recipe == "glc23" else "centred")
    step = done.model.variant.inputs[0].steps[0]
    assert step.mean[11] == pytest.approx(
        np.ma.masked_equal(layout.values(12), -9999).astype(np.float64).mean(), rel=1e-6
    )
    assert np.isfinite(done.figures["auc_median"])
    again = zoo.load(str(tmp_path / "run" / "model"), device="cpu")
    assert again.variant.inputs == done.model.variant.inputs
    found = again.predict({"sites": sites(), "env": root / RASTERS}).table
    assert found.column_names == ["id", "5", "24", "271"]


def sites():
    return pa.table({"Id": [9, 4], "lon": [6.6, 7.1], "lat": [46.1, 46.4]})


def test_submissions_have_each_id_with_its_own_species(tmp_path):
    table = pa.table(
        {"id": [5, 3], "11": pa.array([0.7, 0.5], pa.float32()), "12": pa.array([0.2, 0.725], pa.float32())}
    )
    pq.write_table(table, tmp_path / "test.parquet")
    out = write_submission(tmp_path / "test.parquet", tmp_path / "out.csv", threshold=0.5)
    assert out.read_text() == "Id,Predicted\n5,11\n3,12\n"  # 0.5 is not above 0.5
    pq.write_table(table.drop(["id"]), tmp_path / "test.parquet")
    with pytest.raises(InputError, match="no column id"):
        write_submission(tmp_path / "test.parquet", tmp_path / "other.csv")
    assert not (tmp_path / "other.csv").exists()


def test_items_of_the_test_are_answered_with_their_own_pictures(root, tmp_path):
    config = {**BOTH.config, "num_classes": 3}
    small = replace(BOTH, config=config, classes=("5", "24", "271"))
    built = zoo.build("multiscale-sdm", device="cpu")
    model = replace(built, variant=small, module=build(**config).eval())
    reader = opened(root, "test", variant=small)
    out = answer_items(model, reader, tmp_path / "test.parquet", batch_size=2)
    table = pq.read_table(out)
    assert table["id"].to_pylist() == list(reader.ids) == ["72", "70", "73"]
    for row in range(3):
        one = {name: value[None] for name, value in reader.sample(row).inputs.items()}
        told = [table[name][row].as_py() for name in small.classes]
        np.testing.assert_allclose(told, model.forward(one).logits.sigmoid()[0].numpy(), atol=1e-6)
    lines = write_submission(out, tmp_path / "out.csv", threshold=0.0).read_text().splitlines()
    assert lines == ["Id,Predicted", "72,5 24 271", "70,5 24 271", "73,5 24 271"]
