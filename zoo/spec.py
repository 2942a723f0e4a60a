"""What a model is, as data: frozen dataclasses on the standard library alone, with a JSON round trip (`zoo.spec_json`).

A plugin describes its models with these types; everything that zoo does with a model (listing, fetching, checking
inputs, preprocessing, cards) reads the description and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from zoo.errors import SpecError

Json = Any  # null, bool, number, str, or lists and string-keyed mappings of them


class Task(StrEnum):
    """The six questions that zoo's models answer."""

    PRETRAIN = "pretrain"
    SEGMENT = "segment"
    DETECT = "detect"
    FORECAST = "forecast"
    SDM = "sdm"
    RETRIEVE = "retrieve"


class Kind(StrEnum):
    """What an input is made of."""

    RASTER = "raster"  # (bands, H, W) on a grid with a CRS
    IMAGE = "image"  # (bands, H, W) photograph, no CRS needed
    SERIES = "series"  # (times, variables, H, W)
    TABLE = "table"  # rows x variables
    TEXT = "text"  # strings


class Capability(StrEnum):
    """What a model can do beyond its task's own verb."""

    EMBED = "embed"
    CLASSIFY = "classify"
    EXPLAIN = "explain"
    COUNT = "count"
    SEARCH = "search"


class Layout(StrEnum):
    """How the authors' weights file is laid out; everything but SAFETENSORS is converted once, into the cache."""

    SAFETENSORS = "safetensors"
    TORCH = "torch"
    LIGHTNING = "lightning"
    TRANSFORMERS = "transformers"
    OPEN_CLIP = "open_clip"
    ULTRALYTICS = "ultralytics"


# ---------------------------------------------------------------------------------------------------- preprocessing


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """x * factor + offset, the same for all bands."""

    factor: float = 1.0
    offset: float = 0.0
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Limit x to [low, high]."""

    low: float
    high: float
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decibel:
    """10 log10(x) of linear power; non-positive power becomes `floor_db`."""

    floor_db: float
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Percentile:
    """clip((x - low) / (high - low), 0, 1) per band; `low`, `high` follow the order of the input's bands."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalise:
    """(x - mean) / std per band; `mean`, `std` follow the order of the input's bands."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fill:
    """Pixels or values without data become `value`; stands after the steps that scale."""

    value: float = 0.0
    source: str


class Kernel(StrEnum):
    """How pixels are interpolated: as scikit-image's splines, or as torch and torchvision do."""

    SPLINE = "spline"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resize:
    """Resize of a whole image or chip to `size` (height, width); windows cut from a scene are not resized.

    `kernel` says whose interpolation; `order` is the spline's (1 linear, 3 cubic). `antialias` blurs when shrinking (a
    spline: first, by a Gaussian of sigma = max(0, (in/out - 1) / 2)); `clip` limits the result to the range of the
    image before, over all bands. With `shorter`, the image keeps its aspect: its shorter side becomes that many pixels,
    and `size` is cut from the centre.
    """

    size: tuple[int, int]
    kernel: Kernel = Kernel.SPLINE
    order: int = 3
    antialias: bool = True
    clip: bool = True
    shorter: int | None = None
    source: str


Step = Scale | Clip | Decibel | Percentile | Normalise | Fill | Resize


# ------------------------------------------------------------------------------------------------------------ inputs


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """One band or variable of an input, matched to the user's data by name.

    Attributes:
        id: name in the vocabulary of `zoo.bands` (`"S2:B04"`, `"S1:VV"`) or, for variables, the field's own (`"bio_1"`).
        unit: unit of the numbers that the first step expects (`"DN"`, `"dB"`, `"degC"`).
        wavelength_nm: (low, high) where the vocabulary does not know the band.
    """

    id: str
    unit: str
    wavelength_nm: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InputSpec:
    """One input of a model. Inputs of the same name are alternatives (one per sensor); different names go together.

    Attributes:
        name: keyword under which the network's `forward` takes the tensor.
        kind: what it is made of.
        label: what tells alternatives apart, unique among them; what a user types after `--sensor` (`"S2-L2A"`).
        bands: bands or variables in the order that the network expects.
        any_subset: whether any non-empty subset of the bands will do. A raster is then narrowed to the bands that are
            there; a table keeps all its variables, and the network is told which values are (`<name>_valid`).
        gsd_m: ground sampling distance in metres, (finest, coarsest) that the model was made for.
        window: side in pixels of the square windows that a scene is cut into (networks with global attention: the
            size of training); `None` lets the prediction choose.
        multiple: sides must be multiples of this many pixels.
        times: number of time steps, `None` for all that there are.
        nodata: value that marks missing pixels where the file does not declare one.
        scale: physical = number * scale + offset, in the convention of the training data.
        offset: see `scale`.
        level: product level of the training data (`"L2A"`).
        steps: preprocessing, in order.
        tokenizer: of texts: `"pkg.mod:function"`, called with the weights' companion files, `{name: path}`; returns a
            function from a list of texts to token ids, int64 (texts, length).
    """

    name: str
    kind: Kind
    label: str = ""
    bands: tuple[Band, ...] = ()
    any_subset: bool = False
    optional: bool = False
    gsd_m: tuple[float, float] | None = None
    window: int | None = None
    multiple: int = 1
    times: int | None = None
    nodata: float | None = None
    scale: float | None = None
    offset: float = 0.0
    level: str | None = None
    steps: tuple[Step, ...] = ()
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        ids = self.band_ids
        if len(set(ids)) != len(ids):
            raise SpecError(f"input {self.name!r} {self.label} names a band twice: {', '.join(ids)}")
        for step in self.steps:
            for values in _per_band(step):
                if len(values) != len(ids):
                    raise SpecError(
                        f"input {self.name!r} {self.label}: {type(step).__name__} has {len(values)} values"
                        f" for {len(ids)} bands"
                    )

    @property
    def band_ids(self) -> tuple[str, ...]:
        return tuple(band.id for band in self.bands)

    def subset(self, ids: tuple[str, ...]) -> InputSpec:
        """The same input narrowed to the bands `ids`, in that order, with its steps narrowed alike."""
        place = {band: index for index, band in enumerate(self.band_ids)}
        rows = [place[band] for band in ids]
        steps = tuple(_narrowed(step, rows) for step in self.steps)
        return replace(self, bands=tuple(self.bands[row] for row in rows), steps=steps)


def _per_band(step: Step) -> tuple[tuple[float, ...], ...]:
    """The fields of a step that hold one number per band."""
    match step:
        case Percentile():
            return step.low, step.high
        case Normalise():
            return step.mean, step.std
        case _:
            return ()


def _narrowed(step: Step, rows: list[int]) -> Step:
    """The step for the bands at `rows` alone."""

    def pick(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[row] for row in rows)

    match step:
        case Percentile():
            return replace(step, low=pick(step.low), high=pick(step.high))
        case Normalise():
            return replace(step, mean=pick(step.mean), std=pick(step.std))
        case _:
            return step


# ----------------------------------------------------------------------------------------------------------- weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """One published weights file.

    Attributes:
        repo: Hub repository (`"org/name"`); `None` where the file ships inside the plugin.
        file: name in the repository, or `"package:name"` inside an installed package.
        revision: 40-hex commit; `None` = not read yet, shown as "not pinned".
        sha256: of the file; `None` = not read yet.
        size: bytes; `None` = not read yet.
        layout: how the file is laid out.
        renames: `"pkg.weights:RENAMES"`, from the authors' keys to the network's.
        allowed_missing: exact keys of the network that the file may lack.
        ignored: patterns (`fnmatch`) of keys that the file may hold beyond the network's; counted in the report.
        optional_prefix: prefix that all keys of the file may share, and that is then stripped.
        companions: small files of the repository that belong to the weights (tokenizer, label table).
        license: SPDX, `None` = not stated by the authors.
        archive: page from which the user fetches the file, where it lies in an archive that zoo does not read (zips of a
            Zenodo record); `repo` is then `None`.
    """

    file: str
    repo: str | None = None
    archive: str | None = None
    revision: str | None = None
    sha256: str | None = None
    size: int | None = None
    layout: Layout = Layout.SAFETENSORS
    renames: str | None = None
    allowed_missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    optional_prefix: str | None = None
    companions: tuple[str, ...] = ()
    license: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether commit and hash are both known, so that the file can be checked against what was published."""
        if self.archive is not None:
            return self.sha256 is not None
        return self.repo is None or (self.revision is not None and self.sha256 is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One published result: metric on dataset, as the authors report it."""

    dataset: str
    metric: str
    value: float | None
    protocol: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """One variable that a network of the task `forecast` answers.

    Attributes:
        name: as files call it.
        unit: as UDUNITS spells it (`"W m-2"`); `"1"` for a probability.
        long_name: in words.
        probability: the network gives a logit, and its sigmoid is meant.
        scale: quantity = number of the network * scale + offset (the target's std and mean).
        offset: see `scale`.
        low: least value that can be; lower ones become it.
        high: largest value that can be.
    """

    name: str
    unit: str
    long_name: str = ""
    probability: bool = False
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One network of a model, with or without weights.

    Attributes:
        tag: what stands after `@` in a reference (`smarties@vit-l`).
        builder: `"pkg.module:function"`, called with `config` as keywords; returns an `nn.Module`.
        config: plain data.
        inputs: see `InputSpec`.
        classes: names of the output's classes, in order.
        void: those of the classes that mean "not labelled": they are outputs of the network, and losses, metrics and
            shares of cover leave them out.
        colours: of the classes (red, green, blue; 0-255), in order; empty = zoo's own.
        multi_label: whether classes may hold together (sigmoid) or exclude each other (softmax).
        templates: sentences into which a class's name is put where classes are words (`"a satellite photo of {}."`).
        stride: input pixels per output pixel of a dense output.
        quantities: what a forecast answers, in the network's order.
        lead_times_h: for when, in hours after the last input; one per step of the answer.
        groups: of variables that are explained together, by name (`{"soil": ("clay", "sand")}`); empty = each for itself.
        weights: `None` where the authors published none.
        task: where it is not the model's own.
        capabilities: `None` = the model's own.
        demo: small weights for trying things out, not for science.
    """

    tag: str
    builder: str
    summary: str = ""
    config: Mapping[str, Json] = field(default_factory=dict)
    inputs: tuple[InputSpec, ...]
    classes: tuple[str, ...] = ()
    void: tuple[str, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    multi_label: bool = False
    templates: tuple[str, ...] = ()
    stride: int = 1
    quantities: tuple[Quantity, ...] = ()
    lead_times_h: tuple[float, ...] = (0.0,)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: Weights | None = None
    scores: tuple[Score, ...] = ()
    task: Task | None = None
    capabilities: tuple[Capability, ...] | None = None
    demo: bool = False

    def __post_init__(self) -> None:
        keys = [(spec.name, spec.label) for spec in self.inputs]
        if not keys:
            raise SpecError(f"variant {self.tag!r} declares no inputs")
        if len(set(keys)) != len(keys):
            raise SpecError(f"variant {self.tag!r}: two inputs share a name and a label: {keys}")
        if unknown := set(self.void) - set(self.classes):
            raise SpecError(f"variant {self.tag!r}: void classes {sorted(unknown)} are none of its classes")
        variables = {band for spec in self.inputs for band in (spec.name, *spec.band_ids)}
        if unknown := {one for members in self.groups.values() for one in members} - variables:
            raise SpecError(
                f"variant {self.tag!r}: groups name {sorted(unknown)}, which are no variables of its inputs"
            )
        if self.colours and len(self.colours) != len(self.classes):
            raise SpecError(f"variant {self.tag!r} has {len(self.colours)} colours for {len(self.classes)} classes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Licences:
    """SPDX expressions as the authors state them; `None` = not stated by the authors."""

    code: str | None
    weights: str | None
    data: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """Where the model is described; `bibtex` is what `zoo info --bibtex` prints."""

    title: str
    doi: str | None = None
    arxiv: str | None = None
    bibtex: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One model: a paper, its variants, and all that is needed to run them.

    Attributes:
        objectives: `{name: "pkg.mod:Class"}` for training.
        bundle: of checkpoints that users bring: `"pkg.mod:function"`, called with the variant they name, the file, and the
            path that they give beside it (`zoo convert --data`, or `None`); returns the variant as the file has it, and the
            `Weights` that say how it is read.
        datasets: names of the datasets that the paper uses.
        repository: the authors' code.
    """

    name: str
    task: Task
    summary: str
    paper: Paper
    repository: str | None
    licences: Licences
    variants: tuple[Variant, ...]
    capabilities: tuple[Capability, ...] = ()
    objectives: Mapping[str, str] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    bundle: str | None = None

    def __post_init__(self) -> None:
        tags = [variant.tag for variant in self.variants]
        if not tags:
            raise SpecError(f"model {self.name!r} has no variants")
        if len(set(tags)) != len(tags):
            raise SpecError(f"model {self.name!r} has two variants of the same tag: {', '.join(tags)}")

    @property
    def default(self) -> Variant:
        return self.variants[0]

    def task_of(self, variant: Variant) -> Task:
        return variant.task or self.task

    def capabilities_of(self, variant: Variant) -> tuple[Capability, ...]:
        return self.capabilities if variant.capabilities is None else variant.capabilities


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """One published dataset that a plugin can read; `reader` is `"pkg.data:Class"`, called with the folder's path."""

    name: str
    summary: str
    reader: str
    task: Task
    license: str | None
    source: str
