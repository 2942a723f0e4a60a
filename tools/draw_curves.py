"""Draw the page's response curves: those of masksdm@demo, with the niches of the virtual species that it learned.

python tools/draw_curves.py     writes docs/images/curves.png
"""

from pathlib import Path

import numpy as np
import pandas as pd
from zoo_masksdm.judging import SITES, TEST
from zoo_masksdm.world import SPECIES, draw

import zoo

IMAGE = Path(__file__).parents[1] / "docs/images/curves.png"
SHOWN = ("Virtualis frigida", "Virtualis pluvialis", "Virtualis clivosa")  # each cares for one predictor
PREDICTORS = ("bio_1", "bio_12", "Slope", "Elevation")


def main() -> None:
    sites = pd.DataFrame(draw(TEST, SITES).x)
    curves = zoo.load("masksdm@demo").explain(sites, curves=True, species=SHOWN, predictors=PREDICTORS)
    figure = curves.plot()
    panels = np.array(figure.axes).reshape(len(SHOWN), len(PREDICTORS))
    for row, species in zip(panels, SHOWN, strict=True):
        for axes, curve in zip(row, curves.curves, strict=True):
            if curve.predictor in SPECIES[species].likes:
                niche = SPECIES[species].probability({curve.predictor: curve.values})
                axes.plot(curve.values, niche, color="black", lw=1.0, ls=":", label="the known niche")
    (told,) = figure.legends
    handles, labels = panels[0, 0].get_legend_handles_labels()
    told.remove()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize="x-small", frameon=False)
    figure.savefig(IMAGE, bbox_inches="tight", metadata={"Software": None})


if __name__ == "__main__":
    main()
