"""AUC of every column at once, and networks that answer for the species asked for alone."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from zoo.forward import answers_some, arguments_of
from zoo.tasks.metrics.ranks import auc_of_columns, auc_of_rows


def test_auc_of_columns_is_scikit_learns_and_half_where_there_is_nothing_to_compare():
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 6, (80, 5)).astype(np.float32)  # with ties
    present = generator.random((80, 5)) < 0.3
    present[:, 3], present[:, 4] = False, True
    expected = [roc_auc_score(present[:, column], scores[:, column]) for column in range(3)] + [0.5, 0.5]
    assert auc_of_columns(scores, present) == pytest.approx(expected, abs=1e-12)


def test_auc_of_rows_is_scikit_learns_without_the_sites_that_say_nothing():
    generator = np.random.default_rng(1)
    scores = generator.integers(0, 6, (6, 80)).astype(np.float32)  # with ties
    told = generator.integers(0, 3, (6, 80))  # absent, present, not known
    told[3], told[4], told[5] = 2, 1, 0
    found = auc_of_rows(scores, np.nonzero(told == 1), told == 0)
    expected = [roc_auc_score(told[row, told[row] < 2], scores[row, told[row] < 2]) for row in range(3)]
    assert found == pytest.approx([*expected, 0.5, 0.5, 0.5], abs=1e-12)


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
