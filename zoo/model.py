"""A model ready for use: `load` gives one with its published weights or raises, `build` one with random weights."""

from __future__ import annotations

import hashlib
import importlib
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo import registry
from zoo.builders import builder_of
from zoo.checkpoints.saved import called, is_path, of_run
from zoo.errors import HubError, InputError, WeightsError
from zoo.forward import arguments_of
from zoo.inference import inference
from zoo.options import Options
from zoo.progress import download_bar
from zoo.spec import Capability, ModelSpec, Task, Variant, Weights

if TYPE_CHECKING:
    from zoo.checkpoints.loading import LoadReport
    from zoo.results.provenance import Provenance


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where the weights of a loaded model come from: what provenance records."""

    name: str  # "hf://org/repo/file", "package:file" or a folder's model.safetensors
    revision: str | None
    sha256: str | None
    report: LoadReport | None = None
    made_from: Mapping[str, Any] = field(default_factory=dict)  # what a saved folder says; see `Saved.made_from`
    called: str = ""  # the last part of a saved folder's path, or of a run's; the repository on the Hub


@dataclass(frozen=True, kw_only=True, repr=False)
class Model:
    """A network with the description that says how to feed it and what its answers mean.

    Attributes:
        spec: the model's description.
        variant: which of its networks this is.
        module: the network, in evaluation mode, on `device`.
        origin: where its weights come from; `None` for random weights.
    """

    spec: ModelSpec
    variant: Variant
    module: nn.Module
    device: torch.device
    origin: Origin | None = None

    def __repr__(self) -> str:
        weights = self.origin.name if self.origin else "random weights"
        return f"Model({self.name}, {self.task.value}, {weights}, on {self.device})"

    @property
    def name(self) -> str:
        return f"{self.spec.name}@{self.variant.tag}"

    @property
    def called(self) -> str:
        """The name, after that of the folder or repository where somebody saved these weights: `fir (masksdm@demo)`."""
        own = self.origin.called if self.origin else ""
        return f"{own} ({self.name})" if own else self.name

    @property
    def task(self) -> Task:
        return self.spec.task_of(self.variant)

    def embed(self, source: Any, out: str | Path | None = None, **options: Any) -> Any:
        """Embeddings of `source`: one vector per patch of a scene (`.tif`), or one per chip (`.parquet`, `.csv`).

        Args:
            source: a raster or photograph, a folder or glob of them, an array (bands, H, W) with `bands=`, an xarray
                DataArray; where inputs go together, a mapping of input name to one of these.
            out: file to write; its extension decides dense map or table. `None` keeps a dense map in memory.
            **options: see `zoo.options.Options`.

        Raises:
            InputError: the data do not fit; nothing is written.
        """
        self._require(Capability.EMBED, "embed")
        from zoo.predict.verbs import embed

        return embed(self, source, _path(out), Options.of(options))

    def classify(self, source: Any, out: str | Path | None = None, **options: Any) -> Any:
        """Class scores per chip, for a variant with a head or classes named in words; arguments as in `embed`."""
        self._require(Capability.CLASSIFY, "classify")
        from zoo.predict.verbs import classify

        return classify(self, source, _path(out), Options.of(options))

    def count(self, source: Any, out: str | Path | None = None, **options: Any) -> Any:
        """Number of things found per image and class, for a model that counts; arguments as in `embed`."""
        self._require(Capability.COUNT, "count")
        from zoo.predict.verbs import count

        return count(self, source, _path(out), Options.of(options))

    def index(self, source: Any, out: str | Path | None = None, **options: Any) -> Any:
        """An index of images (`.index`, `.parquet`) to be searched by words or images; arguments as in `embed`."""
        self._require(Capability.SEARCH, "index")
        from zoo.predict.retrieval import index_images

        return index_images(self, source, _path(out), Options.of(options))

    def search(self, index: str | Path, query: Any, *, top: int = 10, **options: Any) -> Any:
        """The images of an index that fit words or an image best; see `zoo.search`."""
        self._require(Capability.SEARCH, "search")
        from zoo.predict.retrieval import search

        return search(index, query, model=self, top=top, **options)

    def predict(self, source: Any, out: str | Path | None = None, **options: Any) -> Any:
        """The answer of the model's task on `source`; arguments as in `embed`."""
        from zoo.predict.verbs import predict

        return predict(self, source, _path(out), Options.of(options))

    def explain(
        self,
        source: Any,
        out: str | Path | None = None,
        *,
        labels: Any = None,
        split: str = "test",
        reader_options: Mapping[str, Any] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        method: str = "exact",
        rounds: int | None = None,
        seed: int = 0,
        plot: str | Path | None = None,
        curves: bool = False,
        predictors: Sequence[str] | None = None,
        **options: Any,
    ) -> Any:
        """What each predictor, or group of them, adds: Shapley values, which sum to the value with all less that without.

        Without `labels` they are of the probability of each species at each place, else of the mean AUC over labelled sites.
        Predictors in no group stay hidden.

        Args:
            source: a table of sites (a row per site, species and group) or predictor rasters (a map of one species with a band
                per group), as in `predict`; with `labels`, the table or folder that the dataset reads.
            out: `.parquet`, `.geojson` or `.csv`, `.tif` for a map, `.png` for a plot; `None` keeps the answer in memory.
            labels: the name of a dataset (`"sites"` for a table of your own), or a reader.
            split: of the dataset.
            reader_options: of the dataset's reader.
            groups: predictors by group; `None` = the variant's groups, or each predictor for itself.
            method: `exact`, or `latin` or `permutation` for orders that are drawn, with standard errors.
            rounds: Latin squares, or pairs of a permutation and its reverse; `None` = 2 or 20.
            seed: of what is drawn.
            plot: a `.png` to draw beside `out`.
            curves: instead, how the probability changes along each predictor, over a table of sites.
            predictors: of the curves; `None` = all that the sites have.
            **options: see `zoo.options.Options`; `species` says which are explained.

        Returns:
            `zoo.explain.result.Explanation` or `ExplanationMap`, or `zoo.explain.curves.Curves`, all with `plot()`; the path
            of a table that was written.

        Raises:
            InputError: the model cannot explain, or the data do not fit; nothing is written.
            ConfigError: an option, a group or a species is wrong.
        """
        self._require(Capability.EXPLAIN, "explain")
        from zoo.explain.method import Method
        from zoo.explain.verb import explain

        return explain(
            self,
            source,
            _path(out),
            Options.of(options),
            labels=labels,
            split=split,
            reader_options=reader_options or {},
            groups=groups,
            method=Method(name=method, rounds=rounds, seed=seed),  # type: ignore[arg-type]  # it checks the name
            plot=_path(plot),
            curves=curves,
            predictors=predictors,
        )

    def save(self, folder: str | Path) -> Path:
        """Write weights, description and card to a folder that `zoo.load` reads; see `zoo.checkpoints.folders`."""
        from zoo.checkpoints.folders import save_model

        return save_model(self, Path(folder))

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        *,
        bands: Mapping[str, tuple[str, ...]] | None = None,
        valid: Mapping[str, Tensor] | None = None,
        times: Mapping[str, Tensor] | None = None,
        species: Sequence[int] | None = None,
        precision: str = "fp32",
    ) -> Any:
        """The network's output for prepared inputs, without gradients.

        Args:
            tensors: one per input name, float32, as `zoo.inputs.preprocess` gives them.
            bands: see `zoo.forward.arguments_of`, as for `valid` and `times`.
            valid: see `bands`.
            times: see `bands`.
            species: see `bands`.
            precision: `fp32`, or `bf16` for autocast.
        """
        arguments = arguments_of(self.module, tensors, bands=bands, valid=valid, times=times, species=species)
        with inference(self.device, precision):
            return self.module(**arguments)

    def provenance(self, options: Mapping[str, str]) -> Provenance:
        """What a result says of how it was made."""
        from zoo import __version__
        from zoo.results.provenance import Provenance

        return Provenance(
            model=self.spec.name,
            variant=self.variant.tag,
            weights=self.origin.name if self.origin else "random",
            revision=self.origin.revision if self.origin else None,
            sha256=self.origin.sha256 if self.origin else self._state_sha256(),
            zoo_version=__version__,
            options=dict(options),
        )

    def _state_sha256(self) -> str:
        """Of keys, shapes and numbers of the network: what tells one with random weights from another."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self.module.state_dict().items()):
            if not isinstance(tensor, Tensor):  # a module's extra state
                continue
            digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype};".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def _require(self, capability: Capability, verb: str) -> None:
        have = self.spec.capabilities_of(self.variant)
        if capability in have:
            return
        others = [one.tag for one in self.spec.variants if capability in self.spec.capabilities_of(one)]
        advice = f"variants that do: {', '.join(others)}" if others else _who_can(capability)
        raise InputError(
            f"{self.name} does not {verb}; it can {', '.join(['predict', *have])}; {advice}"
            f"; see `zoo info {self.spec.name}`"
        )


def _who_can(capability: Capability) -> str:
    """The models that can, of those that are installed."""
    names = dict.fromkeys(
        entry.spec.name
        for entry in registry.entries()
        if any(capability in entry.spec.capabilities_of(one) for one in entry.spec.variants)
    )
    return f"no variant of this model does; models that do: {', '.join(names) or 'none is installed'}"


def load(
    reference: str, *, device: str | torch.device | None = None, offline: bool | None = None, update: bool = False
) -> Model:
    """The model that `reference` names, with its weights, ready to use.

    Args:
        reference: `smarties`, `smarties@vit-l`, `hf://org/repo[@revision]`, or a folder as `Model.save` writes it
            (anything with a `/` or a leading `.`).
        device: `"cpu"`, `"cuda"`; `None` = the accelerator if there is one.
        offline: open no connection; `None` = as `HF_HUB_OFFLINE` says.
        update: look for a newer commit of weights that are not pinned.

    Raises:
        UnknownModel: no plugin has it.
        HubError: the weights cannot be fetched, or lie in an archive that zoo does not read; the message says what to do.
        WeightsError: the weights are missing, altered, or do not fit. There is no fallback to random weights.
    """
    if reference.startswith("hf://"):
        from zoo.hub.fetch import fetch_repo

        with download_bar() as bar:
            folder = fetch_repo(reference, offline=offline, update=update, progress=bar)
        return _load_folder(folder, device, origin=reference.partition("@")[0], revision=folder.name)
    if is_path(reference):
        return _load_folder(Path(reference), device)
    entry, variant = registry.find(reference)
    weights = variant.weights
    if weights is None:
        raise WeightsError(
            f"the authors published no weights for {entry.spec.name}@{variant.tag};"
            f" load a folder or file of your own (`zoo convert {reference} FILE`), or get random ones with zoo.build"
        )
    if weights.archive is not None:
        raise HubError(not_fetched(entry.spec, variant))
    if weights.repo is None:
        file, sha256 = _shipped(weights)
        origin = Origin(name=weights.file, revision=None, sha256=sha256)
    else:
        from zoo.hub.fetch import fetch

        with download_bar() as bar:
            fetched = fetch(weights, offline=offline, update=update, progress=bar)
        name = f"hf://{weights.repo}/{weights.file}"
        file, origin = fetched.path, Origin(name=name, revision=fetched.revision, sha256=fetched.sha256)
    return _with_weights(entry, variant, weights=weights, file=file, origin=origin, device=device)


def build(reference: str, *, seed: int = 0, device: str | torch.device | None = None) -> Model:
    """The network that `reference` names with random weights, drawn from `seed`: for training and for tests."""
    entry, variant = registry.find(reference)
    target = _device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = builder_of(entry.plugin.distribution, variant)()
    return Model(spec=entry.spec, variant=variant, module=module.eval().to(target), device=target)


def not_fetched(spec: ModelSpec, variant: Variant) -> str:
    """What to do about weights that lie in an archive which zoo does not read."""
    weights = variant.weights
    assert weights is not None
    data = " --data FOLDER (the authors' data, for what the file lacks)" if spec.bundle else ""
    return (
        f"the authors published {weights.file} of {spec.name}@{variant.tag} inside an archive, {weights.archive}, which zoo"
        f" does not fetch; download it there, then `zoo convert {spec.name}@{variant.tag}"
        f" {Path(weights.file).name} OUT{data}` and load the folder OUT"
    )


def _load_folder(
    folder: Path, device: str | torch.device | None, *, origin: str | None = None, revision: str | None = None
) -> Model:
    from zoo.checkpoints.folders import read_folder

    saved = read_folder(of_run(folder))
    entry, _ = registry.find(saved.model)
    name = origin or f"{saved.model}@{saved.variant.tag} (local)"  # provenance holds no path of this machine
    told = Origin(
        name=name,
        revision=revision,
        sha256=saved.sha256,
        made_from=saved.made_from,
        called=origin or called(folder),
    )
    return _with_weights(entry, saved.variant, weights=saved.weights, file=saved.file, origin=told, device=device)


def _with_weights(
    entry: registry.Entry,
    variant: Variant,
    *,
    weights: Weights,
    file: Path,
    origin: Origin,
    device: str | torch.device | None,
) -> Model:
    from zoo.checkpoints.loading import load_into

    target = _device(device)
    module, report = load_into(builder_of(entry.plugin.distribution, variant), file, weights, sha256=origin.sha256)
    return Model(
        spec=entry.spec,
        variant=variant,
        module=module.eval().to(target),
        device=target,
        origin=replace(origin, report=report),
    )


def _shipped(weights: Weights) -> tuple[Path, str]:
    """The file of weights inside a plugin, and its SHA-256, which is what the description says if it says any."""
    from zoo.checkpoints.layouts import known_sha256

    package, _, name = weights.file.partition(":")
    file = Path(str(importlib.resources.files(package))) / name
    if not file.is_file():
        raise WeightsError(f"{weights.file}: not in the installed package {package}; reinstall its plugin")
    if weights.size is not None and file.stat().st_size != weights.size:
        raise WeightsError(
            f"{weights.file} has {file.stat().st_size} bytes, its description says {weights.size}; reinstall its plugin"
        )
    sha256 = known_sha256(file)
    if weights.sha256 not in (None, sha256):
        raise WeightsError(
            f"{weights.file} has SHA-256 {sha256}, its description says {weights.sha256}; reinstall its plugin"
        )
    return file, sha256


def _device(device: str | torch.device | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    from zoo.processes import processes

    return torch.device(processes().device)


def _path(out: str | Path | None) -> Path | None:
    return None if out is None else Path(out)
