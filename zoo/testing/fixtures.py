"""pytest fixtures for plugins' own tests; pytest finds them through the entry point `pytest11`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from zoo.testing.hub_server import HubServer


@pytest.fixture
def zoo_check() -> Callable[..., Any]:
    """`zoo_check("kelp", expected_failures={...})` runs all checks on a model, and fails with those that failed."""
    from zoo.testing.conformance import failures, run_checks
    from zoo.testing.subject import subject_of

    def check(reference: str, *, expected_failures: Mapping[str, str] | None = None) -> Any:
        outcomes = run_checks(subject_of(reference), expected_failures)
        if complaints := failures(outcomes):
            pytest.fail(f"{reference}:\n{complaints}", pytrace=False)
        return outcomes

    return check


@pytest.fixture
def zoo_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty caches below `tmp_path`, no token, no pooled connection from another test."""
    import huggingface_hub

    huggingface_hub.close_session()
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", "/nonexistent/token")
    monkeypatch.setattr(huggingface_hub.constants, "AGENT_HARNESSES_PATH", str(tmp_path / "harnesses.json"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "zoo"))
    yield tmp_path
    huggingface_hub.close_session()
    for name in ("hf", "zoo"):  # pytest keeps the folder for a while; released files are large
        shutil.rmtree(tmp_path / name, ignore_errors=True)


@pytest.fixture(scope="session")
def zoo_hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A Hub on loopback for all tests of the run; needs `olah`."""
    from zoo.testing.hub_server import serve

    with serve(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture
def zoo_hub(
    zoo_hub_server: HubServer,
    zoo_caches: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[HubServer]:
    """The Hub, without repositories, and the client pointed to it: `zoo_hub.repository("org/name").commit(...)`."""
    monkeypatch.setenv("HF_ENDPOINT", zoo_hub_server.counter.url)
    yield zoo_hub_server
    zoo_hub_server.clear()
