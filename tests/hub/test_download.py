"""Downloads from a third party's Hub server, as they should go, and what is found on disk afterwards."""

import json
import os

import pytest

from zoo.errors import HubError, WeightsError
from zoo.hub.fetch import cache_list, cache_remove, cache_verify, fetch, fetch_file, fetch_repo
from zoo.hub.records import State, git_sha1_of, hub_cache, sha256_of
from zoo.spec import Weights

LARGE = bytes(range(256)) * 400
SMALL = b'{"model": "tiny"}\n'


def test_pinned_lfs_file_is_fetched_checked_and_then_found_without_a_connection(mirror, python):
    commit = mirror.commit({"config.json": SMALL}, {"model.safetensors": LARGE})
    weights = Weights(repo=mirror.repo, file="model.safetensors", revision=commit, companions=("config.json",))
    fetched = fetch(weights)
    assert fetched.path.read_bytes() == LARGE
    assert (fetched.revision, fetched.size, fetched.sha256) == (commit, len(LARGE), sha256_of(fetched.path))
    assert (fetched.path.parent / "config.json").read_bytes() == SMALL
    before = mirror.counter.accepted
    line = f"fetch(Weights(repo={mirror.repo!r}, file='model.safetensors', revision={commit!r})).path"
    again = python(
        "import sys; from zoo.hub.fetch import fetch; from zoo.spec import Weights;"
        f"print({line}); print([m for m in ('huggingface_hub', 'torch', 'numpy') if m in sys.modules])"
    )
    assert again.splitlines() == [str(fetched.path), "[]"]
    assert mirror.counter.accepted == before


def test_connections_are_counted_at_all(mirror):
    commit = mirror.commit({"config.json": SMALL}, {})
    before = mirror.counter.accepted
    fetch_file(mirror.repo, "config.json", commit)
    assert mirror.counter.accepted > before


def test_files_lie_where_huggingface_hub_finds_them(mirror):
    from huggingface_hub import try_to_load_from_cache

    commit = mirror.commit({"config.json": SMALL}, {"model.safetensors": LARGE})
    fetched = fetch_file(mirror.repo, "model.safetensors", commit)
    small = fetch_file(mirror.repo, "config.json", commit)
    found = try_to_load_from_cache(mirror.repo, "model.safetensors", revision=commit, cache_dir=hub_cache())
    assert found == str(fetched.path)
    assert fetched.path.resolve().name == fetched.sha256
    assert small.path.resolve().name == git_sha1_of(small.path)


def test_unpinned_load_keeps_its_commit_until_update(mirror):
    first = mirror.commit({}, {"model.safetensors": LARGE})
    assert fetch_file(mirror.repo, "model.safetensors").revision == first
    second = mirror.commit({}, {"model.safetensors": LARGE + b"new"})
    before = mirror.counter.accepted
    assert fetch_file(mirror.repo, "model.safetensors").revision == first
    assert mirror.counter.accepted == before
    updated = fetch_file(mirror.repo, "model.safetensors", update=True)
    assert (updated.revision, updated.path.read_bytes()) == (second, LARGE + b"new")
    assert fetch_file(mirror.repo, "model.safetensors", offline=True).revision == second


def test_altered_lfs_bytes_never_load(mirror, naps):
    commit = mirror.commit({}, {"model.safetensors": LARGE})
    mirror.lfs(LARGE).write_bytes(b"X" + LARGE[1:])
    with pytest.raises(HubError, match="do not have the hash"):
        fetch_file(mirror.repo, "model.safetensors", commit)
    assert not list(hub_cache().rglob("*safetensors"))
    assert not list(hub_cache().rglob("blobs/*"))


def test_truncated_lfs_bytes_never_load(mirror, naps):
    commit = mirror.commit({}, {"model.safetensors": LARGE})
    mirror.lfs(LARGE).write_bytes(LARGE[:-1])
    with pytest.raises(HubError, match=f"{len(LARGE) - 1} of {len(LARGE)} bytes"):
        fetch_file(mirror.repo, "model.safetensors", commit)
    assert not list(hub_cache().rglob("*safetensors"))


@pytest.mark.parametrize("damage", [LARGE[:-1], b"", b"X" + LARGE[1:]], ids=["short", "empty", "altered"])
def test_damaged_blob_is_fetched_again(mirror, damage):
    commit = mirror.commit({}, {"model.safetensors": LARGE})
    path = fetch_file(mirror.repo, "model.safetensors", commit).path
    path.resolve().write_bytes(damage)
    again = fetch_file(mirror.repo, "model.safetensors", commit)
    assert again.path.read_bytes() == LARGE


def test_damaged_blob_offline_is_a_clear_error_without_a_connection(mirror):
    commit = mirror.commit({}, {"model.safetensors": LARGE})
    path = fetch_file(mirror.repo, "model.safetensors", commit).path
    path.resolve().write_bytes(LARGE[:-1])
    before = mirror.counter.accepted
    with pytest.raises(HubError, match=rf"damaged: {len(LARGE) - 1} bytes.*expected {len(LARGE)}.*zoo pull hf://lab/"):
        fetch_file(mirror.repo, "model.safetensors", commit, offline=True)
    assert mirror.counter.accepted == before


def test_swapped_files_are_noticed(mirror):
    commit = mirror.commit({}, {"a.safetensors": LARGE, "b.safetensors": LARGE[::-1]})
    a, b = (fetch_file(mirror.repo, name, commit).path for name in ("a.safetensors", "b.safetensors"))
    blob_a, blob_b = a.resolve(), b.resolve()
    a.unlink()
    a.symlink_to(blob_b)
    b.unlink()
    b.symlink_to(blob_a)
    with pytest.raises(HubError, match="damaged"):
        fetch_file(mirror.repo, "a.safetensors", commit, offline=True)
    assert fetch_file(mirror.repo, "a.safetensors", commit).path.read_bytes() == LARGE


def test_touched_but_unaltered_file_is_hashed_once_and_recorded(mirror, monkeypatch):
    commit = mirror.commit({}, {"model.safetensors": LARGE})
    path = fetch_file(mirror.repo, "model.safetensors", commit).path
    os.utime(path, ns=(1, 1))
    hashed = []
    monkeypatch.setattr("zoo.hub.records.sha256_of", lambda one: hashed.append(one) or sha256_of(one))
    for _ in range(2):
        assert fetch_file(mirror.repo, "model.safetensors", commit, offline=True).path == path
    assert hashed == [path]


def test_offline_and_absent_is_an_error_with_the_line_to_type(mirror, monkeypatch):
    mirror.commit({}, {"model.safetensors": LARGE})
    before = mirror.counter.accepted
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match=f"`zoo pull hf://{mirror.repo}`"):
        fetch_file(mirror.repo, "model.safetensors")
    assert mirror.counter.accepted == before


def test_update_offline_is_a_contradiction(mirror):
    with pytest.raises(HubError, match="--update and --offline"):
        fetch_file(mirror.repo, "model.safetensors", update=True, offline=True)


def test_file_of_another_program_is_adopted_offline_when_its_hash_is_its_name(mirror):
    from huggingface_hub import hf_hub_download

    commit = mirror.commit({"config.json": SMALL}, {"model.safetensors": LARGE})
    for name in ("model.safetensors", "config.json"):
        hf_hub_download(mirror.repo, name, cache_dir=hub_cache(), endpoint=mirror.counter.url)
    assert not cache_list()
    assert fetch_file(mirror.repo, "model.safetensors", offline=True).revision == commit
    small = fetch_file(mirror.repo, "config.json", offline=True).path
    assert len(cache_list()) == 2
    cache_remove(mirror.repo)
    small.parent.mkdir(parents=True, exist_ok=True)
    hf_hub_download(mirror.repo, "config.json", cache_dir=hub_cache(), endpoint=mirror.counter.url)
    small.resolve().write_bytes(SMALL[:-2])
    with pytest.raises(HubError, match="damaged"):
        fetch_file(mirror.repo, "config.json", commit, offline=True)


def test_blob_that_another_program_left_short_is_not_believed_online(mirror):
    from huggingface_hub import hf_hub_download

    commit = mirror.commit({}, {"model.safetensors": LARGE})
    path = hf_hub_download(mirror.repo, "model.safetensors", cache_dir=hub_cache(), endpoint=mirror.counter.url)
    with open(os.path.realpath(path), "r+b") as blob:
        blob.truncate(100)
    short = hf_hub_download(mirror.repo, "model.safetensors", cache_dir=hub_cache(), endpoint=mirror.counter.url)
    assert os.path.getsize(short) == 100  # served without an error: why zoo keeps records of its own
    assert fetch_file(mirror.repo, "model.safetensors", commit).path.read_bytes() == LARGE


@pytest.mark.parametrize(("field", "value"), [("sha256", "0" * 64), ("size", 7)])
def test_file_that_differs_from_its_pin_is_refused_before_and_after_it_is_cached(mirror, field, value):
    commit = mirror.commit({}, {"model.safetensors": LARGE})
    weights = Weights(repo=mirror.repo, file="model.safetensors", revision=commit, **{field: value})
    with pytest.raises(WeightsError, match="pins"):
        fetch(weights)
    assert not list(hub_cache().rglob("blobs/*"))
    fetch_file(mirror.repo, "model.safetensors", commit)
    with pytest.raises(WeightsError, match="pins"):
        fetch(weights)


def test_repository_that_does_not_exist(mirror):
    with pytest.raises(HubError, match="no repository 'lab/nobody'"):
        fetch_file("lab/nobody", "model.safetensors")


def test_file_that_does_not_exist(mirror):
    commit = mirror.commit({"config.json": SMALL}, {})
    with pytest.raises(HubError, match=r"no file 'weights\.bin' at commit"):
        fetch_file(mirror.repo, "weights.bin", commit)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\\..\\x", ""])
def test_names_that_leave_the_repository_are_refused(name, caches):
    with pytest.raises(WeightsError, match="not the name of a file"):
        fetch_file("lab/tiny", name, offline=True)


def test_repository_folder_has_the_known_files_only_and_all_from_one_commit(mirror):
    files = {"config.json": SMALL, "README.md": b"# Tiny\n", "modeling_evil.py": b"import os\n"}
    commit = mirror.commit(files, {"model.safetensors": LARGE, "pytorch_model.bin": LARGE[::-1]})
    folder = fetch_repo(f"hf://{mirror.repo}")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert json.loads((folder / "config.json").read_text()) == {"model": "tiny"}
    assert folder.name == commit
    before = mirror.counter.accepted
    assert fetch_repo(f"hf://{mirror.repo}@{commit}") == folder
    assert fetch_repo(mirror.repo, offline=True) == folder
    assert mirror.counter.accepted == before


def test_reference_that_is_none(caches):
    with pytest.raises(HubError, match="expected hf://ORG/NAME"):
        fetch_repo("hf://just-a-name")


def test_cache_is_listed_verified_and_removed(mirror):
    first = mirror.commit({"config.json": SMALL}, {"model.safetensors": LARGE})
    weights = fetch_file(mirror.repo, "model.safetensors", first)
    config = fetch_file(mirror.repo, "config.json", first)
    second = mirror.commit({"config.json": SMALL + b" "}, {})
    shared = fetch_file(mirror.repo, "model.safetensors", second)
    assert [entry.state for entry in cache_verify()] == [State.OK] * 3
    stat = config.path.stat()
    config.path.resolve().write_bytes(b"?" * len(SMALL))
    os.utime(config.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    by_file = {(entry.record.file, entry.record.commit): entry.state for entry in cache_verify()}
    assert by_file["config.json", first] is State.DAMAGED
    assert cache_remove(mirror.repo, first) == len(SMALL)  # the weights are shared with the second commit
    assert shared.path.read_bytes() == LARGE
    assert not weights.path.exists()
    assert cache_remove(mirror.repo) == len(LARGE)
    assert cache_list() == ()
    assert not list(hub_cache().rglob("blobs/*"))
    with pytest.raises(WeightsError, match="nothing recorded"):
        cache_remove(mirror.repo)
