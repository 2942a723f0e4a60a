"""Tiny copies of the layouts that the readers know."""

import numpy as np
from zoo_masksdm.predictors import GEOPLANT, GEOPLANT_HUMAN, GEOPLANT_SOIL
from zoo_masksdm.splot import TABLES

KINDS = 6  # species; the last two have at most 20 presences


def write_csv(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(*columns.values(), strict=True)
    lines = [",".join("" if isinstance(one, float) and np.isnan(one) else str(one) for one in row) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")


def write_splot(folder, plots=150, seed=0):
    """The prepared folder: tables shuffled each in its own way; gives predictors (N, 61) and presences by sorted id."""
    generator = np.random.default_rng(seed)
    ids = np.arange(1000, 1000 + plots)
    x = generator.normal(10, 3, (plots, 61))
    x[:, 27], x[:, 28] = generator.uniform(0, 12, plots), generator.uniform(40, 50, plots)
    x[generator.random(x.shape) < 0.2] = np.nan
    x[:, 27:29] = np.where(np.isnan(x[:, 27:29]), [6.0, 45.0], x[:, 27:29])
    presence = generator.random((plots, KINDS)) < [0.5, 0.4, 0.3, 0.6, 0.0, 0.05]
    presence[:21, 3] = True
    presence[:, 5] = np.arange(plots) < 20
    start = 0
    for name, bands in TABLES.items():
        order = generator.permutation(plots)
        columns = {"": range(plots), "PlotObservationID": ids[order]}
        part = x[order, start : start + len(bands)]
        columns |= {one.id: part[:, index] for index, one in reversed(list(enumerate(bands)))}  # in another order
        write_csv(folder / name, columns)
        start += len(bands)
    np.save(folder / "species_occurrences.npy", presence)
    np.save(folder / "satclip_embeddings.npy", generator.normal(size=(plots, 256)).astype(np.float32))
    names = {"": range(KINDS), "Species Name": [f"Planta {one}" for one in "abcdef"], "Index": range(KINDS)}
    write_csv(folder / "species_names.csv", names)
    return x, presence


def write_geoplant(folder, surveys=120, seed=0):
    generator = np.random.default_rng(seed)
    ids = generator.permutation(np.arange(500, 500 + surveys))
    lon, lat = generator.uniform(0, 12, surveys), generator.uniform(40, 50, surveys)
    found = [(row, kind) for row in range(surveys) for kind in (3, 17, 99) if kind == 3 or generator.random() < 0.3]
    found = [pair for pair in found if pair[1] != 99 or pair[0] < 10]
    rows = np.array([row for row, _ in found])
    write_csv(
        folder / "GLC24_PA_metadata_train.csv",
        {
            "lon": lon[rows],
            "lat": lat[rows],
            "geoUncertaintyInM": np.full(len(rows), 5.0),
            "areaInM2": np.full(len(rows), 100.0),
            "speciesId": [float(kind) for _, kind in found],
            "surveyId": ids[rows],
        },
    )
    bio = {one.id: generator.normal(size=surveys) for one in GEOPLANT[:19]}
    soil = {one.id: generator.normal(size=surveys) for one in GEOPLANT_SOIL}
    human = {one.id: generator.normal(size=surveys) for one in GEOPLANT_HUMAN} | {
        "HumanFootprint-HFP1993": generator.normal(size=surveys)
    }
    bio["Bio1"][0] = np.inf
    bio["Bio2"][0] = -3e38
    for name, columns in (
        ("bioclimatic", bio),
        ("soilgrids", soil),
        ("elevation", {"Elevation": generator.normal(size=surveys)}),
        ("human_footprint", human),
    ):
        order = generator.permutation(surveys)
        told = {key: one[order] for key, one in columns.items()}
        write_csv(folder / f"EnvironmentalValues/GLC24-PA-train-{name}.csv", {"surveyId": ids[order]} | told)
    return ids, bio
