"""Published results: mean AUC in percent over species that training, validation and test all have.

Source: zbirobin/MaskSDM-MEE@bfdc9487, outputs of its notebooks (tables of Zbinden et al., doi 10.1111/2041-210x.70200).
"""

from __future__ import annotations

from zoo.spec import Score

SOURCE = "zbirobin/MaskSDM-MEE@bfdc9487"
METRIC = "mean AUC [%]"
SUBSETS = (
    *("bio_1", "location", "SatCLIP", "WorldClim", "+ SoilGrids", "+ topography", "+ location", "+ human"),
    *("+ metadata+", "all with SatCLIP"),
)
NO_SATCLIP = ("bio_1", "location", "WorldClim", "WorldClim + SoilGrids", "environment and location", "all tabular")
SPLOT, BLOCKS, GEOPLANT = "sPlotOpen, 1 degree blocks", "sPlotOpen, 5 degree blocks", "GeoPlant"

# By tag: dataset and values of `SUBSETS`, then of `NO_SATCLIP`.
WITH = {
    "splot": (SPLOT, (85.1, 96.0, 95.7, 97.1, 97.4, 97.5, 97.6, 97.6, 98.0, 98.0)),
    "splot-mean": (SPLOT, (69.6, 77.8, 75.6, 88.7, 91.3, 91.8, 95.5, 95.5, 95.9, 97.8)),
    "splot-median": (SPLOT, (73.5, 82.4, 74.7, 89.4, 91.1, 91.6, 95.9, 95.8, 96.3, 97.9)),
    "blocks5": (BLOCKS, (83.3, 93.7, 85.5, 94.7, 95.2, 95.3, 95.6, 95.7, 96.1, 95.8)),
    "blocks5-mean": (BLOCKS, (66.4, 67.3, 65.9, 86.8, 89.6, 90.3, 93.7, 93.8, 94.5, 95.4)),
}
WITHOUT = {
    "splot-3-blocks": (SPLOT, (85.5, 95.9, 97.0, 97.3, 97.6, 97.9)),
    "splot-linear": (SPLOT, (69.8, 78.2, 88.4, 93.4, 95.8, 96.2)),
    "splot-maxent-lhp": (SPLOT, (81.4, 87.7, 94.6, 95.8, 96.6, 95.7)),
    "splot-maxent-lhptq": (SPLOT, (83.6, 90.3, 95.1, 95.9, 96.6, 96.0)),
    "splot-mlp-7": (SPLOT, (68.7, 74.2, 86.8, 87.8, 97.0, 97.4)),
    "splot-mlp-21": (SPLOT, (41.0, 63.3, 78.3, 78.6, 91.5, 92.3)),
    "splot-resnet-7": (SPLOT, (67.6, 78.6, 90.9, 93.8, 97.3, 97.7)),
    "splot-resnet-21": (SPLOT, (70.6, 80.1, 91.9, 94.4, 97.4, 97.8)),
    "geoplant": (GEOPLANT, (80.0, 80.8, 87.7, 88.6, 88.8, 89.5)),
    "geoplant-3-blocks": (GEOPLANT, (79.6, 80.9, 87.4, 88.4, 88.7, 89.7)),
    "geoplant-linear": (GEOPLANT, (65.6, 64.9, 82.6, 85.0, 86.3, 87.4)),
    "geoplant-maxent-lhp": (GEOPLANT, (71.5, 67.8, 82.9, 83.6, 85.5, 85.4)),
    "geoplant-mlp-7": (GEOPLANT, (65.0, 64.8, 83.3, 85.7, 87.9, 88.4)),
    "geoplant-resnet-7": (GEOPLANT, (66.9, 67.9, 84.2, 86.4, 88.4, 89.3)),
    "geoplant-resnet-21": (GEOPLANT, (68.2, 63.3, 85.5, 87.1, 88.6, 89.3)),
}
# One network per subset of predictors ("oracle"), asked with it.
ORACLES = {
    name: (SUBSETS[place], value)
    for name, place, value in (
        *(("temp", 0, 86.3), ("loc", 1, 96.8), ("satclip", 2, 96.7), ("wc", 3, 97.1), ("wc_sg", 4, 97.4)),
        *(("wc_sg_topo", 5, 97.5), ("wc_sg_topo_loc", 6, 97.7), ("wc_sg_topo_loc_hum", 7, 97.6)),
        ("wc_sg_topo_loc_hum_meta", 8, 97.9),
    )
}
EPOCHS = {5: 96.3, 10: 97.3, 25: 97.8, 50: 97.9, 100: 98.0, 500: 98.0, 1000: 97.9}


def scores_of(tag: str) -> tuple[Score, ...]:
    """The published results of a variant."""
    found: list[Score] = []
    if tag in WITH:
        dataset, values = WITH[tag]
        found += [_score(dataset, *pair) for pair in zip(SUBSETS, values, strict=True)]
    if tag in WITHOUT:
        dataset, values = WITHOUT[tag]
        found += [
            _score(dataset, f"{name}, without SatCLIP", value) for name, value in zip(NO_SATCLIP, values, strict=True)
        ]
    if tag.startswith("splot-oracle-"):
        found.append(_score(SPLOT, *ORACLES[tag.removeprefix("splot-oracle-")]))
    if tag.startswith("splot-epoch-"):
        found.append(_score(SPLOT, "all with SatCLIP", EPOCHS[int(tag.removeprefix("splot-epoch-"))]))
    return tuple(found)


def _score(dataset: str, visible: str, value: float) -> Score:
    return Score(dataset=dataset, metric=METRIC, value=value, protocol=f"test split, visible: {visible}", source=SOURCE)
