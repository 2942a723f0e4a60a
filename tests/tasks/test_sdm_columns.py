"""AUC of every column at once, and networks that answer for the species asked for alone."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from zoo.forward import answers_some, arguments_of
from zoo.tasks.metrics.ranks import auc_of_columns


def test_auc_of_columns_is_scikit_learns_and_half_where_there_is_nothing_to_compare():
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 6, (80, 5)).astype(np.float32)  # with ties
    present = generator.random((80, 5)) < 0.3
    present[:, 3], present[:, 4] = False, True
    expected = [roc_auc_score(present[:, column], scores[:, column]) for column in range(3)] + [0.5, 0.5]
    assert auc_of_columns(scores, present) == pytest.approx(expected, abs=1e-12)


class Some(nn.Module):
    def forward(self, table, species=None):
        return table, species


class Every(nn.Module):
    def forward(self, table):
        return table


def test_only_a_network_that_asks_is_told_which_species_are_wanted():
    given = {"table": torch.zeros(1, 2)}
    assert arguments_of(Some(), given, species=(3, 1))["species"] == (3, 1)
    assert "species" not in arguments_of(Some(), given)
    assert "species" not in arguments_of(Every(), given, species=(3, 1))
    assert answers_some(Some())
    assert not answers_some(Every())
