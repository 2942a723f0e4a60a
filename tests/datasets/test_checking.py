"""What a check of data says: each fault alone, and nothing of data without fault."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from zoo.datasets import labelled
from zoo.datasets.checking import check
from zoo.datasets.findings import Severity
from zoo.datasets.labelled import check_dataset
from zoo.datasets.sample import IGNORED, Sample
from zoo.errors import InputError
from zoo.options import Options
from zoo.spec import Band, InputSpec, Kind, Normalise, Percentile, Variant

BANDS = ("B02", "B03", "B04")
S2 = InputSpec(
    name="image",
    kind=Kind.RASTER,
    label="S2-L2A",
    bands=tuple(Band(id=f"S2:{name}", unit="DN") for name in BANDS),
    gsd_m=(10.0, 10.0),
    window=64,
    multiple=16,
    level="L2A",
    scale=1e-4,
    steps=(Percentile(low=(0, 0, 0), high=(2000, 2000, 2000), source="test"),),
)


def pixels(seed=0, size=128, count=3):
    return np.random.default_rng(seed).integers(50, 1900, (count, size, size)).astype(np.uint16)


def write(path, data, *, names=BANDS, crs="EPSG:32632", gsd=10, nodata=0, **profile):
    where = {"crs": crs, "transform": from_origin(5e5, 5e6, gsd, gsd)} if crs else {}
    shape = {"count": len(data), "height": data.shape[1], "width": data.shape[2], "dtype": data.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", nodata=nodata, **shape, **where, **profile) as file:
        if names:
            file.descriptions = names
        file.write(data)
    return path


def said(*files, **options):
    return [
        (one.severity.value, one.where, one.what)
        for one in check(files, inputs=[S2], options=Options(**options)).findings
    ]


def test_good_files_give_no_finding(tmp_path):
    files = [write(tmp_path / f"{k}.tif", pixels(k)) for k in range(3)]
    report = check(files, inputs=[S2])
    assert report.findings == ()
    assert not report.has_errors
    assert report.looked_at == "3 files, all looked into"


@pytest.mark.parametrize(
    ("change", "severity", "sentence"),
    [
        ({"names": None}, "error", "its channels have no names"),
        ({"names": ("B02", "B03", "B8A")}, "error", "missing S2:B04"),
        ({"gsd": 60}, "warning", "has pixels of 60 m, and S2-L2A was made for 10 m"),
        ({"crs": None}, "warning", "no CRS"),
        ({"nodata": None}, "note", "no nodata value is declared"),
        ({"data": pixels(size=8)}, "error", "8 x 8 px; expected at least 16 x 16 px"),
        ({"data": pixels(size=32)}, "note", "smaller than the model's windows of 64 px"),
        ({"data": pixels() * 0}, "warning", "no data at all"),
        ({"data": (pixels() / 1e4).astype(np.float32)}, "warning", "scaled to 0..1 already? Say --scale 1"),
        ({"data": pixels(count=4), "names": (*BANDS, "B08")}, "note", "the model does not use B08"),
    ],
)
def test_each_fault_is_told(tmp_path, change, severity, sentence):
    keywords = {"data": pixels(), **change}
    path = write(tmp_path / "a.tif", keywords.pop("data"), **keywords)
    found = [one for one in said(path) if sentence in one[2]]
    assert [one[:2] for one in found] == [(severity, "a.tif")]


def test_undeclared_fill_is_found_and_settled_by_an_option(tmp_path):
    data = pixels().astype(np.int16)
    data[:, :, :32] = -9999
    path = write(tmp_path / "a.tif", data, nodata=None)
    assert ("warning", "a.tif", "25 % of the pixels are -9999 in all bands, which counts as data") in said(path)
    assert said(path, nodata=-9999) == []


def test_a_file_whose_last_blocks_are_lost_is_found_by_reading(tmp_path):
    whole = write(
        tmp_path / "whole.tif", pixels(size=512), tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole.read_bytes()[:-3000])  # the header is at the beginning and stays whole
    assert [one[:2] for one in said(cut) if "damaged or cut short" in one[2]] == [("error", "cut.tif")]
    cut.write_bytes(whole.read_bytes()[:100])
    assert said(cut)[0][0] == "error"


def test_files_that_differ_from_the_others_are_named(tmp_path):
    files = [write(tmp_path / f"{k}.tif", pixels(k)) for k in range(3)]
    files.append(write(tmp_path / "zone.tif", pixels(9), crs="EPSG:32633"))
    files.append(write(tmp_path / "fine.tif", pixels(8), gsd=7))
    files.append(write(tmp_path / "type.tif", pixels(7).astype(np.int16)))
    found = {one.where: one for one in check(files, inputs=[S2]).findings}
    assert found["zone.tif"].what == "another CRS than in most: EPSG:32633 here, EPSG:32632 in 5 files"
    assert found["fine.tif"].what.startswith("pixels of 7 m, and of 10 m in")
    assert found["type.tif"].what == "numbers of another type than in most: int16 here, uint16 in 5 files"
    assert len(found) == 3


def test_copies_are_found_by_their_bytes(tmp_path):
    files = [write(tmp_path / f"{k}.tif", pixels(k)) for k in range(2)]  # of one size
    files.append(tmp_path / "copy.tif")
    shutil.copy(files[0], files[2])
    assert said(*files) == [("warning", "0.tif", "the same bytes as copy.tif")]


def test_the_same_fault_of_many_files_is_told_once(tmp_path):
    files = [write(tmp_path / f"{k}.tif", pixels(k), names=None) for k in range(5)]
    (one,) = check(files, inputs=[S2]).findings
    assert (one.where, one.others, one.severity) == ("0.tif", 4, Severity.ERROR)


def test_of_many_files_a_sample_is_looked_into(tmp_path):
    files = [write(tmp_path / f"{k:02}.tif", pixels(k)) for k in range(12)]
    report = check(files, inputs=[S2], sample=4)
    assert report.looked_at == "12 files, 4 looked into"


def test_columns_of_tables_that_are_missing_or_empty_are_told(tmp_path):
    spec = InputSpec(
        name="x",
        kind=Kind.TABLE,
        any_subset=True,
        bands=(Band(id="bio_1", unit="degC"), Band(id="bio_2", unit="degC"), Band(id="ph", unit="1")),
        steps=(Normalise(mean=(10, 8, 6), std=(5, 2, 1), source="test"),),
    )
    path = tmp_path / "sites.csv"
    rng = np.random.default_rng(0)
    path.write_text(
        "site,bio_1,ph\n" + "".join(f"{k},{rng.normal(283, 5):.2f},{6 if k < 3 else ''}\n" for k in range(30))
    )
    sentences = [one.what for one in check([path], inputs=[spec]).findings]
    assert any("bio_2" in one and "not there" in one for one in sentences)
    assert "ph: 90 % of the values are missing" in sentences
    assert any(one.startswith("nothing but one number in ph") for one in sentences)
    assert "bio_1: another unit or another band: half of it lies far above" in sentences


# ------------------------------------------------------------------------------------------------------ labelled data


@dataclass
class Toy:
    ids: list[str]
    classes: tuple[str, ...] = ("sea", "land")
    labels: list[object] = field(default_factory=list)
    pixel: float = 0.0

    def sample(self, index, generator=None):
        label = self.labels[index] if self.labels else index % 2
        if label == "broken":
            raise InputError("the file is damaged")
        target = {} if label is None else {"label": torch.as_tensor(label)}
        return Sample(id=self.ids[index], inputs={"image": torch.full((1, 2, 2), self.pixel)}, target=target)


@pytest.fixture
def opened(monkeypatch):
    """`opened(train=Toy(...))` makes these the splits of every dataset, and checks them."""

    def run(variant=None, **splits):
        monkeypatch.setattr(labelled, "open_dataset", lambda name, folder, *, split, options, variant: splits[split])
        report = check_dataset("toy", "folder", splits=[*splits], variant=variant)
        return report, [(one.severity.value, one.where, one.what) for one in report.findings]

    return run


def variant_of(*classes):
    return Variant(tag="t", builder="a:b", inputs=(S2,), classes=classes)


def test_a_good_dataset_gives_its_balance_and_no_finding(opened):
    report, found = opened(variant_of("sea", "land"), train=Toy(["a", "b", "c"]), val=Toy(["d", "e"]))
    assert found == []
    assert report.balance == (("sea", 3), ("land", 2))
    assert (report.unit, report.looked_at) == ("samples", "5 samples in train, val, 5 of them read")


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (Toy(["a", "b"], labels=[0, 2]), ("error", "b", "label 2 is none of the 2 classes (0 to 1)")),
        (Toy(["a", "a"]), ("error", "train", "1 samples are there twice, the first is a")),
        (Toy(["a", "b", "c"], labels=[0, 1, "broken"]), ("error", "c", "cannot be read: the file is damaged")),
        (Toy(["a", "b"], pixel=np.nan), ("error", "a", "input image holds NaN or infinity")),
        (
            Toy(["a", "b", "c"], labels=[0, 1, None]),
            ("warning", "train", "1 of the 3 samples that were read have no labels, the first is c"),
        ),
        (Toy(["a"], labels=[[[0, 0], [IGNORED, 7]]]), ("error", "a", "label 7 is none of the 2 classes (0 to 1)")),
        (Toy(["a", "b"], labels=[0, 0]), ("warning", "", "no label of land in the samples that were read")),
        (Toy(["a", "b"], labels=[[1.0, 1.0], [0.0, 1.0]]), None),
    ],
)
def test_each_fault_of_labels_is_told(opened, reader, expected):
    _, found = opened(train=reader)
    assert (expected in found) if expected else found == []


def test_splits_that_share_samples_are_an_error(opened):
    _, found = opened(train=Toy(["a", "b", "c"]), test=Toy(["c", "d"]))
    assert found[0][:2] == ("error", "train and test")
    assert "1 samples are in both, the first is c" in found[0][2]


def test_classes_must_be_those_of_the_head(opened):
    _, found = opened(variant_of("sea", "land", "ice"), train=Toy(["a", "b"]))
    assert found[0][0] == "warning"
    assert "2 classes in the data, and the model's head answers 3" in found[0][2]
    _, found = opened(variant_of("land", "sea"), train=Toy(["a", "b"]))
    assert found[0][0] == "warning"
    assert "class 0 is 'sea' in the data and 'land' in the model" in found[0][2]


# ------------------------------------------------------------------------------------------------------- command line


def test_the_command_prints_findings_and_ends_with_1_after_an_error(tmp_path, make_plugin, zoo_command, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "toy")
    make_plugin("toy", "    @hookimpl\n    def zoo_register_models():\n        return [model('toy')]")
    folder = tmp_path / "tiles"
    folder.mkdir()
    write(folder / "good.tif", pixels()[2:], names=("B04",))
    code, out, _ = zoo_command("data", "check", folder, "--model", "toy")
    assert (code, out) == (0, "1 file, all looked into: nothing would go wrong that can be seen beforehand\n")
    write(folder / "bad.tif", pixels(1)[1:2], names=("B03",))
    code, out, _ = zoo_command("data", "check", folder, "--model", "toy")
    assert code == 1
    assert out.startswith("error    bad.tif: ")
    assert out.splitlines()[-1] == "2 files, 1 looked into: 1 error"
    code, out, _ = zoo_command("data", "check", folder, "--model", "toy", "--json")
    assert code == 1
    assert json.loads(out)["findings"][0]["severity"] == "error"


def test_a_folder_one_level_too_high_is_told_with_the_right_one(tmp_path, make_plugin, zoo_command, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGINS", "toy")
    make_plugin("toy", "    @hookimpl\n    def zoo_register_models():\n        return [model('toy')]")
    for name in ("Forest", "River"):
        folder = tmp_path / "download" / "inner" / "train" / name
        folder.mkdir(parents=True)
        write(folder / f"{name}.tif", pixels(len(name))[2:], names=("B04",))
    data = ("--model", "toy", "--dataset", "class-folders")
    code, out, _ = zoo_command("data", "check", tmp_path / "download" / "inner", *data)
    assert (code, "River" in out) == (0, True)
    code, out, _ = zoo_command("data", "check", tmp_path / "download", *data)
    assert code == 1
    assert "inner" in out.replace("\n         ", " ")
