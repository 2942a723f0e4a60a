"""Batches of samples, read by processes of their own: the same whatever their number."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from zoo.datasets.sample import Batch, Reader, Sample, collate_of
from zoo.datasets.seeds import generator_of, seed_of
from zoo.errors import InputError, ZooError

Key = tuple[int, int]  # epoch, and index of a sample


def loader(
    reader: Reader, keys: Iterable[Sequence[Key]], *, seed: int, workers: int, training: bool, pin: bool
) -> Iterable[Batch]:
    """Batches of the samples that `keys` name.

    Args:
        reader: gives the samples.
        keys: of each batch, the (epoch, index) of its samples; taken as batches are read, a few ahead of those given.
        seed: of the run: with epoch and index it decides what is drawn for a sample, and its entry of `Batch.seeds`.
        workers: processes that read, with one thread each; 0 = this one. They live as long as the loader.
        training: whether samples are augmented.
        pin: whether batches lie in page-locked memory.

    Raises:
        ZooError: a sample cannot be read, as the reader raised it, with the sample's id; whichever process read it.
        InputError: samples of one batch differ in size or bands.
    """
    return _Loader(
        DataLoader(
            _Keyed(reader, seed, training),
            batch_sampler=keys,  # type: ignore[arg-type]  # any iterable will do, a generator too
            collate_fn=_Collate(collate_of(reader), seed),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin,
            worker_init_fn=_begin_worker,
            generator=torch.Generator(),  # torch would draw a seed for its workers from the run's own generator
        )
    )


@dataclass(frozen=True, slots=True)
class _Loader:
    batches: DataLoader[Any]

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            if isinstance(batch, _Failure):
                raise batch.kind(batch.message)
            yield batch


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error in place of a sample: torch would hand it over as the text of a traceback."""

    kind: type[ZooError]
    message: str


@dataclass(frozen=True, slots=True)
class _Keyed(Dataset[Any]):
    """Samples by (epoch, index)."""

    reader: Reader
    seed: int
    training: bool

    def __getitem__(self, key: Key) -> tuple[Key, Sample] | _Failure:
        epoch, index = key
        generator = generator_of(self.seed, epoch, index) if self.training else None
        if self.training and hasattr(self.reader, "at_epoch"):
            self.reader.at_epoch(epoch)
        try:
            return key, self.reader.sample(index, generator)
        except ZooError as err:
            return _Failure(type(err), _told(self.reader.ids[index], str(err)))
        except OSError as err:
            message = f"cannot be read: {err}; check the disk, and that the file is still there"
            return _Failure(InputError, _told(self.reader.ids[index], message))
        except Exception as err:
            err.add_note(f"while reading sample {self.reader.ids[index]!r}")
            raise


@dataclass(frozen=True, slots=True)
class _Collate:
    collate: Callable[[Sequence[Sample]], Batch]
    seed: int

    def __call__(self, found: Sequence[tuple[Key, Sample] | _Failure]) -> Batch | _Failure:
        read: list[tuple[Key, Sample]] = []
        for one in found:
            if isinstance(one, _Failure):
                return one
            read.append(one)
        samples = [sample for _, sample in read]
        try:
            batch = self.collate(samples)
        except (RuntimeError, ValueError) as err:
            problem = _unlike(samples)
            if problem is None:
                raise
            return _Failure(InputError, f"{problem} ({err})")
        seeds = [seed_of(self.seed, epoch, index, 1) for (epoch, index), _ in read]
        return replace(batch, seeds=torch.tensor(seeds, dtype=torch.int64))


def _told(name: str, message: str) -> str:
    return message if name in message else f"sample {name}: {message}"


def _unlike(samples: Sequence[Sample]) -> str | None:
    """What keeps samples from sharing a batch."""
    first = samples[0]
    for one in samples[1:]:
        if one.bands != first.bands:
            return (
                f"samples {first.id} and {one.id} have other bands ({dict(first.bands)}, {dict(one.bands)});"
                " expected the same in all: keep one sensor per dataset (option sensor), or say the option bands"
            )
        sizes, other = _sizes(first), _sizes(one)
        if sizes != other:
            return (
                f"samples {first.id} and {one.id} have other sizes ({sizes}, {other}); expected the same in all:"
                " cut or resize them, or say the option crop or window"
            )
    return None


def _sizes(sample: Sample) -> dict[str, tuple[int, ...]]:
    tensors = {**sample.inputs, **sample.target}
    return {name: tuple(one.shape) for name, one in tensors.items() if isinstance(one, torch.Tensor)}


# ------------------------------------------------------------------------------------------------------------ workers


def _begin_worker(number: int) -> None:  # noqa: ARG001  (torch's signature)
    """One thread per worker, and signals left to the process that trains: it ends workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        # A scheduler that takes the machine back tells every process of the job. The one that trains then writes a
        # checkpoint, and must not find its workers gone. First of all: threads that begin later inherit the mask.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_for_parent, args=(os.getppid(),), daemon=True).start()
    import pyarrow as pa
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn's

    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    threadpool_limits(1)  # NumPy's and SciPy's


def _end_for_parent(parent: int) -> None:
    with contextlib.suppress(OSError):
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
    os._exit(0)
