"""Of a dataset that shows some variables alone, the others are missing, and nothing else changes."""

import pickle

import pytest
import torch

from zoo.datasets.sample import Sample
from zoo.datasets.shown import shown
from zoo.errors import ConfigError
from zoo.spec import Band, InputSpec, Kind, Variant


def table(name, *bands, **told):
    return InputSpec(
        name=name, kind=Kind.TABLE, label=name, bands=tuple(Band(id=one, unit="1") for one in bands), **told
    )


VARIANT = Variant(
    tag="toy",
    builder="toy:build",
    inputs=(
        table("site", "warmth", "rain", "slope", any_subset=True),
        table("place", "p1", "p2", optional=True),
        table("season", "day"),
    ),
    groups={"climate": ("warmth", "rain")},
)


class Sites:
    ids = ("a", "b")
    classes = ("x",)
    notes = ("mind the gap",)

    def sample(self, index, generator=None):
        inputs = {"site": torch.arange(3.0) + index, "place": torch.ones(2), "season": torch.ones(1)}
        return Sample(id=self.ids[index], inputs=inputs, valid={"site": torch.tensor([True, False, True])})


def test_hidden_variables_are_missing_and_whole_inputs_left_out():
    found = shown(Sites(), VARIANT, ["climate"]).sample(1)
    assert found.valid["site"].tolist() == [True, False, False]  # rain was missing before
    assert found.inputs["site"].tolist() == [1.0, 2.0, 3.0]
    assert set(found.inputs) == {"site", "season"}  # what the network needs is never hidden


def test_an_input_may_be_shown_as_a_whole():
    found = shown(Sites(), VARIANT, ["place", "Slope"]).sample(0)
    assert found.valid["site"].tolist() == [False, False, True]
    assert found.inputs["place"].tolist() == [1.0, 1.0]


def test_all_else_is_the_readers_own_also_in_another_process():
    reader = pickle.loads(pickle.dumps(shown(Sites(), VARIANT, ["rain"])))
    assert (reader.ids, reader.classes, reader.notes) == (("a", "b"), ("x",), ("mind the gap",))
    assert not hasattr(reader, "presences")


def test_a_name_that_is_none_of_the_models_raises_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean rain"):
        shown(Sites(), VARIANT, ["rains"])
