"""Statistics with which SMARTIES scales its inputs: percentiles of the raw numbers, mean and deviation of the scaled ones.

Source: gsumbul/SMARTIES@fc0df04, the published configuration (Apache-2.0). Bands stand in the order of the files; the
cirrus band is stored in some of them and never used. Mean and std apply after the percentiles have become 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from zoo.spec import Band, Fill, Normalise, Percentile, Resize, Step
from zoo_smarties.spectrum import BY_NAME

Value = TypeVar("Value")

SOURCE = "gsumbul/SMARTIES@fc0df04, published configuration"
SIZE = 224  # pixels; side of every image that the released networks were trained on


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """One row per stored band.

    Attributes:
        stored: names of the spectral ranges, in the order of the file.
        units: of the raw numbers, of `p1` and of `p99`.
        p1, p99: raw numbers that become 0 and 1; what lies beyond is clipped.
        mean, std: of the clipped and scaled numbers.
        unused: bands of the file that the authors leave out although there is a projection for them.
    """

    name: str
    stored: tuple[str, ...]
    units: tuple[str, ...]
    p1: tuple[float, ...]
    p99: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    unused: tuple[str, ...] = ()

    @property
    def selected(self) -> tuple[int, ...]:
        """Places of the bands that the network takes."""
        return tuple(
            place
            for place, name in enumerate(self.stored)
            if BY_NAME[name].number is not None and name not in self.unused
        )

    @property
    def ranges(self) -> tuple[str, ...]:
        """Names of the spectral ranges that the network takes."""
        return _take(self.stored, self.selected)

    @property
    def bands(self) -> tuple[Band, ...]:
        """The bands that the network takes, under zoo's names."""
        return tuple(
            Band(id=BY_NAME[name].band, unit=unit)
            for name, unit in zip(self.ranges, _take(self.units, self.selected), strict=True)
        )

    def joined(self, other: Statistics, name: str) -> Statistics:
        """The bands of both, each with its own statistics."""
        both = {
            one: getattr(self, one) + getattr(other, one) for one in ("stored", "units", "p1", "p99", "mean", "std")
        }
        return Statistics(name=name, unused=self.unused + other.unused, **both)

    def steps(self, *, size: int = SIZE, shorter: int | None = None) -> tuple[Step, ...]:
        """The authors' preprocessing: percentiles, standardisation, no-data to 0, cubic resize of whole chips.

        Args:
            size: side in pixels.
            shorter: pixels of the shorter side before the centre is cut out; `None` = the aspect is ignored.
        """
        places = self.selected
        source = f"{SOURCE}, {self.name}"
        return (
            Percentile(low=_take(self.p1, places), high=_take(self.p99, places), source=source),
            Normalise(mean=_take(self.mean, places), std=_take(self.std, places), source=source),
            Fill(value=0.0, source="gsumbul/SMARTIES@fc0df04: masked pixels become 0 after standardisation"),
            Resize(size=(size, size), shorter=shorter, source="gsumbul/SMARTIES@fc0df04: resize of whole images"),
        )


def _take(values: tuple[Value, ...], places: tuple[int, ...]) -> tuple[Value, ...]:
    return tuple(values[place] for place in places)


def _statistics(name: str, unit: str, rows: str, *, unused: tuple[str, ...] = ()) -> Statistics:
    table = [row.split() for row in rows.strip().splitlines()]
    p1, p99, mean, std = (tuple(float(row[column]) for row in table) for column in range(1, 5))
    stored = tuple(row[0] for row in table)
    return Statistics(
        name=name, stored=stored, units=(unit,) * len(stored), p1=p1, p99=p99, mean=mean, std=std, unused=unused
    )


# Sensors of the pre-training. Columns: range, p1, p99, mean, std.
SENSORS = {
    "RGB": _statistics(
        "RGB",
        "8-bit DN",
        """
        red_1                  2.25423519463343     254.8254785655767   0.39974889159202576   0.2723924219608307
        green_1                0.8408760022210329   254.8135793768661   0.40887942910194397   0.26291385293006897
        blue_3                 0.2604600195558861   254.85720973547197  0.3851129412651062    0.2712573707103729
        """,
    ),
    "SENTINEL2-L1C": _statistics(
        "SENTINEL2-L1C",
        "DN",
        """
        aerosol                37.64585208929401    3080.510786577648   0.4859526455402374    0.12758658826351166
        blue_1                 29.18559466264501    3203.938417959125   0.4051881730556488    0.14896000921726227
        green_2                24.274741671330318   3293.076972690951   0.37699365615844727   0.17880381643772125
        red_2                  17.254247202424953   3989.2347558003903  0.3177563548088074    0.21890224516391754
        red_edge_1             19.13979780847942    4040.7721141423945  0.34872591495513916   0.2125963717699051
        red_edge_2             22.08922591601165    4304.139607115774   0.4299381673336029    0.224585622549057
        near_infrared_2        22.869959399856562   4666.179477913532   0.44645431637763977   0.23589326441287994
        near_infrared_1        19.210916774736788   4529.406012196909   0.4398050904273987    0.23984773457050323
        near_infrared_3        20.55911232659136    4884.792779577175   0.4563218057155609    0.2460414320230484
        short_wave_infrared_1  6.0325504256503395   1864.980932724844   0.3411673307418823    0.2219637632369995
        short_wave_infrared_2  0.23132576070531397  74.06991863107127   0.2185993492603302    0.14908181130886078
        short_wave_infrared_3  9.016896751152418    4843.254056509721   0.39822152256965637   0.251782089471817
        short_wave_infrared_4  5.460257426649006    4007.8071342823278  0.3467017412185669    0.2531779110431671
        """,
    ),
    "SENTINEL2-L2A": _statistics(
        "SENTINEL2-L2A",
        "DN",
        """
        aerosol                1.0                  2811.4529362270814  0.11504939943552017   0.14282256364822388
        blue_1                 27.01892781481322    2604.7705241174135  0.1482059806585312    0.14939884841442108
        green_2                45.058626301104624   2580.36014000968    0.21661478281021118   0.16681823134422302
        red_2                  12.495476066364853   2829.486095366986   0.198346346616745     0.1924632489681244
        red_edge_1             5.990619300620652    3138.512727440568   0.2958453893661499    0.19392383098602295
        red_edge_2             1.0                  4338.892460929282   0.4101085066795349    0.23844216763973236
        near_infrared_2        1.0793969725828485   5182.992628573339   0.3985908329486847    0.23693138360977173
        near_infrared_1        1.0                  5529.262813718612   0.399421751499176     0.24099795520305634
        near_infrared_3        1.0                  5433.892460929279   0.41560056805610657   0.2424980103969574
        short_wave_infrared_1  1.0                  5170.23299517986    0.43314507603645325   0.2453242689371109
        short_wave_infrared_3  2.3175878903313945   4418.1529202629945  0.3597027063369751    0.2402467578649521
        short_wave_infrared_4  4.277889404039971    3387.4430439994744  0.29588255286216736   0.23555098474025726
        """,
    ),
    "SENTINEL1-GRD": _statistics(
        "SENTINEL1-GRD",
        "dB",
        """
        microwave_1            -29.519697483502714  -3.4569002179548702 0.6493455171585083    0.19030459225177765
        microwave_2            -33.421480627395354  -9.905399040164635  0.6035320162773132    0.2288305163383484
        """,
    ),
}

# Evaluation sets that have statistics of their own; BigEarthNet's are those of the two sensors.
DATASETS = {
    "EuroSAT": _statistics(
        "EuroSAT",
        "DN",
        """
        aerosol                968.0                2084.0              0.34366747736930847   0.21045532822608948
        blue_1                 697.0                2223.0              0.2713719308376312    0.1970716118812561
        green_2                457.0                2321.0              0.3102375864982605    0.19605565071105957
        red_2                  242.0                2862.0              0.2662188410758972    0.21756012737751007
        red_edge_1             203.0                2883.0              0.36944717168807983   0.20496250689029694
        red_edge_2             179.0                3898.0              0.4893955886363983    0.22960464656352997
        near_infrared_2        158.0                4876.0              0.4686998128890991    0.22847740352153778
        near_infrared_1        131.0                4806.0              0.46322500705718994   0.23722581565380096
        short_wave_infrared_1  57.0                 1851.0              0.3750271201133728    0.22142820060253143
        short_wave_infrared_2  5.0                  28.0                0.30388349294662476   0.174857959151268
        short_wave_infrared_3  22.0                 4205.0              0.42840376496315      0.23700211942195892
        short_wave_infrared_4  11.0                 3132.0              0.3525424003601074    0.23857484757900238
        near_infrared_3        119.0                5312.0              0.4768053889274597    0.23559165000915527
        """,
    ),
    "WHU-RS19": _statistics(
        "WHU-RS19",
        "8-bit DN",
        """
        red_1                  3.0555752415767135   248.51044250456945  0.4299933910369873    0.2503267228603363
        green_1                13.163185831810187   248.81946905197088  0.428328275680542     0.23467813432216644
        blue_3                 6.690973452598544    249.4375221467738   0.3949107825756073    0.23853836953639984
        """,
    ),
    "UC-Merced": _statistics(
        "UC-Merced",
        "8-bit DN",
        """
        red_1                  5.498963563859194    244.8077720335493   0.39974889159202576   0.2723924219608307
        green_1                13.11450763095778    243.6155440670986   0.40887942910194397   0.26291385293006897
        blue_3                 15.76891186580283    240.8077720335493   0.3851129412651062    0.2712573707103729
        """,
    ),
    "RESISC45": _statistics(
        "RESISC45",
        "8-bit DN",
        """
        red_1                  9.302753751240079    240.5137687562004   0.3654215335845947    0.2231537103652954
        green_1                15.39449249751984    238.42203000992066  0.366093248128891     0.21009083092212677
        blue_3                 11.39449249751984    236.33029126364087  0.3381563425064087    0.20738767087459564
        """,
    ),
    "DFC2020": _statistics(
        "DFC2020",
        "8-bit DN of DFC_preprocessed.pt",
        """
        aerosol                0.0                  255.0               0.4908                0.2237
        blue_1                 0.0                  255.0               0.4883                0.2103
        green_2                0.0                  255.0               0.4875                0.2098
        red_2                  0.0                  255.0               0.487                 0.2136
        red_edge_1             0.0                  255.0               0.4898                0.2244
        red_edge_2             0.0                  255.0               0.4956                0.2441
        near_infrared_2        0.0                  255.0               0.4944                0.2413
        near_infrared_1        0.0                  255.0               0.4944                0.2413
        near_infrared_3        0.0                  255.0               0.4954                0.2437
        short_wave_infrared_1  0.0                  255.0               0.4961                0.2456
        short_wave_infrared_3  0.0                  255.0               0.4877                0.1745
        short_wave_infrared_4  0.0                  255.0               0.4925                0.2354
        microwave_1            0.0                  255.0               0.4887                0.2233
        microwave_2            0.0                  255.0               0.498                 0.2394
        """,
        unused=("microwave_1", "microwave_2"),
    ),
    "BigEarthNetS2": SENSORS["SENTINEL2-L2A"],
    "BigEarthNetS1": SENSORS["SENTINEL1-GRD"],
}
