"""Own tables of sites, background points, modalities that are left out, and the demo's recipe."""

import numpy as np
import pyarrow.csv as pa_csv
import pytest
import torch
from torch import nn
from zoo_multiscale_sdm.objective import MultiScalePresence
from zoo_multiscale_sdm.variants import DEMO, SPECIES
from zoo_multiscale_sdm.world import SPECIES as VIRTUAL
from zoo_multiscale_sdm.world import write_area

import zoo
from zoo.datasets.opening import open_dataset
from zoo.datasets.sample import Batch
from zoo.errors import ConfigError
from zoo.spec import Variant
from zoo.tasks.losses import sdm as losses
from zoo.tasks.objective import Moment
from zoo.tasks.sdm import SdmOutput


class Scores(nn.Module):
    """Logits that are its inputs, and which of them came."""

    def __init__(self):
        super().__init__()
        self.came = []

    def forward(self, env, sat=None):
        self.came.append(sat is not None)
        return SdmOutput(logits=env if sat is None else env + sat)


def moment(seed):
    return Moment(phase="train", step=seed, steps=100, epoch=0.0, generator=torch.Generator().manual_seed(seed))


def batch(**target):
    generator = torch.Generator().manual_seed(0)
    env, sat = torch.randn(2, 4, 3, generator=generator)
    return Batch(ids=("a", "b", "c", "d"), inputs={"env": env, "sat": sat}, target=target)


def test_background_counts_as_in_the_paper():
    """mean(weighted) with absences times lambda, plus (1 - lambda) times the mean of the background."""
    objective = MultiScalePresence(absences=0.3)
    objective.species_weights = torch.tensor([4.0, 2.0, 8.0])
    flags = torch.tensor([False, False, True, True])
    presence = torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]])
    given = batch(presence=presence, background=flags)
    terms = objective(Scores(), given, moment(0))
    found = sum(term.weight * term.total / term.count for term in terms.values())
    probs = (given.inputs["env"] + given.inputs["sat"]).sigmoid()
    y, w = presence[:2], objective.species_weights
    expected = (-torch.log(probs[:2] + 1e-5) * y * w).mean()
    expected += 0.3 * (-torch.log(1 - probs[:2] + 1e-5) * (1 - y) * w / (w - 1)).mean()
    expected += 0.7 * -torch.log(1 - probs[2:] + 1e-5).mean()
    torch.testing.assert_close(found, expected)


def test_a_modality_is_left_out_as_often_as_said_and_never_where_it_is_evaluated():
    objective = MultiScalePresence(loss="bce", without={"sat": 0.25})
    network = Scores().train()
    given = batch(presence=torch.zeros(4, 3))
    for step in range(400):
        objective(network, given, moment(step))
    assert np.mean(network.came) == pytest.approx(0.75, abs=0.06)
    network.eval()
    network.came.clear()
    for step in range(40):
        objective(network, given, moment(step))
    assert all(network.came)
    for wrong, told in (({"sat": 1.0}, "expected shares from 0 to below 1"), ({"sat": -0.1}, "expected shares")):
        with pytest.raises(ConfigError, match=told):
            MultiScalePresence(without=wrong)
    with pytest.raises(ConfigError, match="without names soil; the data have env, sat"):
        MultiScalePresence(loss="bce", without={"soil": 0.5})(network.train(), given, moment(0))


def test_weights_are_items_per_row():
    weights = losses.species_weights(torch.tensor([4.0, 2.0]), torch.tensor([8.0, 8.0]), epsilon=0.0)
    assert weights.tolist() == [2, 4]


@pytest.fixture
def area(tmp_path):
    """Sites of an area, divided by a column, and background points beside them."""
    write_area(tmp_path / "area", sites=60)
    table = pa_csv.read_csv(tmp_path / "area/sites.csv")
    split = ["val" if row % 3 == 0 else "train" for row in range(60)]
    pa_csv.write_csv(table.append_column("split", [split]), tmp_path / "area/sites.csv")
    places = table.select(["decimalLongitude", "decimalLatitude"])
    pa_csv.write_csv(places.slice(0, 20), tmp_path / "area/background.csv")
    return tmp_path / "area"


def test_sites_are_read_as_prediction_reads_them(area):
    """The same patches, and so the same answers, from `sites` as from `zoo predict`."""
    rasters = {"env": "climate.tif", "sat": "scene.tif"}
    reader = open_dataset("sites", area / "sites.csv", split="val", options={"rasters": rasters}, variant=DEMO)
    model = zoo.load("multiscale-sdm@demo", device="cpu")
    table = model.predict({"sites": area / "sites.csv", **{name: area / one for name, one in rasters.items()}}).table
    samples = [reader.sample(index) for index in range(len(reader.ids))]
    logits = model.forward({name: torch.stack([one.inputs[name] for one in samples]) for name in rasters}).logits
    rows = [table["id"].to_pylist().index(name) for name in reader.ids]
    for number, name in enumerate(VIRTUAL):
        told = table[name].to_numpy(zero_copy_only=False)[rows]
        np.testing.assert_allclose(logits[:, number].sigmoid().numpy(), told, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("data.options.background=background.csv", "objective_options.loss=weighted", "objective_options.absences=0.5"),
    ],
)
def test_species_of_ones_own_are_trained_and_judged(area, tmp_path, settings):
    config = zoo.recipe(
        "multiscale-sdm@demo",
        "finetune",
        f"data.folder={area / 'sites.csv'}",
        "data.options.rasters.env=climate.tif",
        "data.options.rasters.sat=scene.tif",
        "data.options.species=[Pratensis ficta,Montana ficta]",
        "start=multiscale-sdm@demo",
        "fresh=[head.*]",
        "epochs=2",
        "batch=20",
        "workers=0",
        "trackers=[]",
        *settings,
    )
    done = zoo.train(config, out=tmp_path / "run")
    assert done.model.variant.classes == ("Pratensis ficta", "Montana ficta")
    for figure in ("auc_mean", "tss", "boyce", "calibration_error", "site_f1"):
        assert figure in done.figures, figure
    found = zoo.load(str(tmp_path / "run/model"), device="cpu").predict(
        {"sites": area / "sites.csv", "env": area / "climate.tif"}
    )
    assert found.table.column_names == ["id", "Pratensis ficta", "Montana ficta"]


def test_the_demo_recipe_learns_in_an_epoch(tmp_path):
    config = zoo.recipe("multiscale-sdm", "demo", "data.options.n=500", "epochs=6", "save_every=6")
    done = zoo.train(config, out=tmp_path / "run")
    found = zoo.evaluate(
        done.model, "multiscale-virtual", options={"n": 200}, bootstrap=0, metric_options={"median": "lower"}
    )
    assert found.figures["auc_median"].value > 0.75


def test_untrained_species_are_numbered():
    assert (SPECIES[0], SPECIES[-1], len(SPECIES)) == ("species 1", "species 2174", 2174)
    assert isinstance(DEMO, Variant)
