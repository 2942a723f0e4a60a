"""The published results, by the scales of environmental and satellite patches in pixels.

Validation is on presence-absence surveys. Test numbers were typed into a notebook beside the column of threshold 0.5, so
that threshold is assumed; and the authors' code pairs test Ids with other rows than their own (see `submission`): if
they came from it, they are understated.

Source: notebook outputs in the history of ninavantiel/multi_scale_SDMs, runs of July 2024.
"""

from __future__ import annotations

from zoo.spec import Score

_SOURCE = "ninavantiel/multi_scale_SDMs@22ac42f, notebooks of July 2024"
_SURVEYS, _TEST = "GeoLifeCLEF 2023, surveys for validation", "GeoLifeCLEF 2023, hidden test"
_LAST = "last epoch"

# env scales | sat scales | median AUC | best F1 and its threshold | F1 at 0.5 | F1 of the test in percent
_TABLE = """
1          |           | .8691 | .0332 .65  | .0305 | 2.37
5          |           | .8569 | .0333      |       |
9          |           | .8363 | .0317      |       |
17         |           | .8359 | .0238      |       |
25         |           | .8365 | .0201      |       |
1 5        |           | .8573 | .0334 .65  | .0313 | 2.39
1 5 9      |           | .8537 | .0335      |       |
1 5 9 17   |           | .8628 | .0328      |       | 2.35
1 5 9 17 25|           | .8512 | .0328      |       |
           | 25        | .8041 | .0301      |       | 1.69
           | 59        | .8138 | .0310      |       | 1.98
           | 115       | .8085 | .0321      |       | 2.00
           | 25 59     | .8067 | .0352 .70  |       |
           | 25 59 115 | .8180 | .0393 .725 | .0353 | 2.25
1          | 25        | .8827 | .0421 .725 |       | 2.42
1          | 59        | .8783 | .0315 .50  | .0315 | 2.30
1          | 115       | .8855 | .0270 .70  |       | 1.93
1          | 25 59 115 | .8743 | .0312 .65  | .0292 | 2.23
1 5        | 25 59 115 | .8756 | .0408 .675 | .0386 | 2.77
1 5 9 17   | 25 59 115 | .8663 | .0391 .675 |       | 2.46
"""


def scores_of(env: tuple[int, ...], sat: tuple[int, ...]) -> tuple[Score, ...]:
    """The published results of the network of these scales."""
    for line in _TABLE.strip().splitlines():
        cells = [cell.split() for cell in line.split("|")]
        scales = tuple(tuple(map(int, cell)) for cell in cells[:2])
        if scales == (env, sat):
            return _read([[float(one) for one in cell] for cell in cells[2:]], best=scales == ((), (59,)))
    return ()


def _read(cells: list[list[float]], *, best: bool) -> tuple[Score, ...]:
    (auc,), (best_f1, *threshold), even, test = cells
    epoch = "epoch of best median AUC" if best else _LAST
    at = f"at the best threshold, {threshold[0]:g}" if threshold else "at the best threshold"
    rows = [
        (_SURVEYS, "median AUC", [auc], epoch),
        (_SURVEYS, "site F1", [best_f1], f"{epoch}, {at}"),
        (_SURVEYS, "site F1", even, f"{epoch}, at 0.5"),
        (_TEST, "site F1 [%]", test, f"{epoch}, at 0.5 (assumed); Ids may be mixed up"),
    ]
    return tuple(
        Score(dataset=dataset, metric=metric, value=value, protocol=protocol, source=_SOURCE)
        for dataset, metric, values, protocol in rows
        for value in values
    )
