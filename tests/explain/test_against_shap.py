"""Exact values are those of the `shap` library."""

from __future__ import annotations

import numpy as np
import shap
from toy_additive import BANDS, BIAS, SLOPES, additive_model, frame, sigmoid


def test_values_are_those_of_shap():
    sites = frame(3)
    x = sites[list(BANDS)].to_numpy()
    values = additive_model().explain(sites, species=("Poa alpina",)).table["contribution"].to_numpy().reshape(3, 4)
    for site in range(3):

        def probability(shown, site=site):
            return sigmoid(BIAS[0] + (shown * x[site]) @ np.array(SLOPES[0]))

        explainer = shap.ExactExplainer(probability, shap.maskers.Independent(np.zeros((1, 4))))
        np.testing.assert_allclose(values[site], explainer(np.ones((1, 4))).values[0], atol=1e-6)
