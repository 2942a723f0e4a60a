"""A Hub, a disk or another process that misbehaves."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.errors import HubError, WeightsError
from zoo.hub import transfer
from zoo.hub.fetch import cache_list, cache_remove, cache_verify, fetch_file
from zoo.hub.records import State, hub_cache

REPO = "lab/tiny"
LARGE = bytes(range(251)) * 4000  # about 1 MB
FETCH = f"from zoo.hub.fetch import fetch_file; print(fetch_file({REPO!r}, 'model.safetensors').path)"


@pytest.fixture
def commit(hub):
    return hub.commit(REPO, {"model.safetensors": LARGE, "config.json": b"{}"})


def names(pattern):
    return [path.name for path in hub_cache().rglob(pattern)]


def test_cut_connection_goes_on_where_it_broke(hub, commit, naps):
    hub.faults["file"] = [("cut", 300_000), ("cut", 200_000)]
    assert fetch_file(REPO, "model.safetensors").path.read_bytes() == LARGE
    assert hub.ranges() == [None, "bytes=300000-", "bytes=500000-"]


def test_download_that_was_given_up_resumes_at_the_next_call(hub, commit, naps):
    hub.faults["file"] = [("cut", 300_000)] + [("cut", 0)] * (transfer.TRIES - 1)
    with pytest.raises(HubError, match=r"downloads go on where"):
        fetch_file(REPO, "model.safetensors")
    assert names("*.safetensors") == []
    assert fetch_file(REPO, "model.safetensors").path.read_bytes() == LARGE
    assert hub.ranges()[-1] == "bytes=300000-"
    assert names("*.incomplete") == []


def test_part_of_a_download_that_nobody_wants_any_more_is_removed(hub, commit, naps):
    hub.faults["file"] = [("cut", 300_000)] + [("cut", 0)] * (transfer.TRIES - 1)
    with pytest.raises(HubError):
        fetch_file(REPO, "model.safetensors")
    assert cache_remove(REPO) == 300_000
    assert names("blobs/*") == []


def test_killed_process_leaves_a_part_that_the_next_one_takes_over(hub, commit, python):
    hub.pace_s = 0.05
    child = python(FETCH, wait=False)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size > 200_000 for path in hub_cache().rglob("*.incomplete")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert names("*.safetensors") == []
    hub.pace_s = 0.0
    assert fetch_file(REPO, "model.safetensors").path.read_bytes() == LARGE
    assert int(hub.ranges()[-1].removeprefix("bytes=").rstrip("-")) > 200_000


def test_server_that_ignores_range_is_read_from_the_start(hub, commit, naps):
    hub.faults["file"] = [("cut", 300_000), ("no-range",)]
    assert fetch_file(REPO, "model.safetensors").path.read_bytes() == LARGE


def test_part_of_other_bytes_is_thrown_away(hub, commit, naps):
    """A resumed download whose first half was garbage: the hash tells, and the second attempt starts at zero."""
    blobs = hub_cache() / "models--lab--tiny" / "blobs"
    blobs.mkdir(parents=True)
    digest = hashlib.sha256(LARGE).hexdigest()
    (blobs / f"{digest}.zoo-{os.uname().nodename}-999999999.incomplete").write_bytes(b"?" * 300_000)
    assert fetch_file(REPO, "model.safetensors").path.read_bytes() == LARGE
    assert hub.ranges() == ["bytes=300000-", None]


def test_more_bytes_than_declared_are_refused(hub, commit, naps):
    hub.faults["file"] = [("serve", LARGE + b"x"), ("serve", LARGE + b"x")]
    with pytest.raises(HubError, match="do not have the hash"):
        fetch_file(REPO, "model.safetensors")
    assert names("blobs/*") == []


def test_small_file_is_checked_by_its_git_hash(hub, commit, naps):
    hub.faults["file"] = [("serve", b"[]"), ("serve", b"[]")]
    with pytest.raises(HubError, match="do not have the hash"):
        fetch_file(REPO, "config.json")
    assert fetch_file(REPO, "config.json").path.read_bytes() == b"{}"


@pytest.mark.parametrize("kind", ["api", "paths", "file"])
def test_too_many_requests_waits_as_long_as_it_is_told(hub, commit, naps, kind):
    hub.faults[kind] = [("status", 429, {"Retry-After": "7"}), ("status", 429, {"RateLimit": '"api";r=0;t=55'})]
    assert fetch_file(REPO, "model.safetensors").path.read_bytes() == LARGE
    assert naps == [7.0, 55.0]


def test_too_many_requests_for_too_long_is_told_at_once(hub, commit, naps):
    hub.faults["api"] = [("status", 429, {"Retry-After": "3600"})]
    with pytest.raises(HubError, match="wait 3600 s"):
        fetch_file(REPO, "model.safetensors")
    assert naps == []


def test_too_many_requests_for_ever_ends(hub, commit, naps):
    hub.faults["api"] = [("status", 429, {"Retry-After": "1"})] * 20
    with pytest.raises(HubError, match="too many requests"):
        fetch_file(REPO, "model.safetensors")
    assert naps == [1.0] * (transfer.TRIES - 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_errors_are_tried_again(hub, commit, naps, status):
    hub.faults["api"] = [("status", status)]
    hub.faults["file"] = [("status", status), ("status", status)]
    assert fetch_file(REPO, "model.safetensors").path.read_bytes() == LARGE
    assert naps == [1.0, 1.0, 2.0]


def test_server_error_for_ever_ends(hub, commit, naps):
    hub.faults["paths"] = [("status", 503)] * 20
    with pytest.raises(HubError, match=f"answered 503.*zoo pull hf://{REPO}"):
        fetch_file(REPO, "model.safetensors")
    assert len(naps) == transfer.TRIES - 1


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, f"{REPO} is gated: accept its terms at .*/{REPO}, .*hf auth login"),
        (401, {"X-Error-Code": "RepoNotFound"}, "shows no repository .*hf auth login"),
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, r"refuses access .*\(401\).*HF_TOKEN"),
        (403, {}, r"refuses access .*\(403\)"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "has no revision 'main'"),
    ],
)  # fmt: skip
def test_refusals_say_what_to_do_and_are_not_repeated(hub, commit, naps, status, headers, told):
    hub.faults["api"] = [("status", status, headers)]
    with pytest.raises(HubError, match=told) as caught:
        fetch_file(REPO, "model.safetensors")
    assert [kind for kind, *_ in hub.requests] == ["api"]
    assert caught.value.__cause__ is not None


def test_gated_file_is_told_too(hub, commit, naps):
    hub.faults["file"] = [("status", 403, {"X-Error-Code": "GatedRepo"})]
    with pytest.raises(HubError, match="gated"):
        fetch_file(REPO, "model.safetensors", commit)


def test_token_goes_with_every_request(hub, commit, monkeypatch):
    seen = []
    answer = hub.RequestHandlerClass._fault
    monkeypatch.setattr(
        hub.RequestHandlerClass,
        "_fault",
        lambda self, kind: seen.append((kind, self.headers.get("Authorization"))) or answer(self, kind),
    )
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    fetch_file(REPO, "model.safetensors")
    assert seen == [(kind, "Bearer hf_test") for kind in ("api", "paths", "file")]


def test_hub_that_is_not_there_is_told_after_seconds(caches, naps, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"cannot read lab/tiny at http://127\.0\.0\.1:9"):
        fetch_file(REPO, "model.safetensors")
    assert sum(naps) <= 5


def test_log_in_page_instead_of_the_hub(hub, commit, monkeypatch):
    monkeypatch.setattr(hub.RequestHandlerClass, "_json", lambda self, _: self._refuse(200, {}))
    with pytest.raises(HubError, match="log-in page"):
        fetch_file(REPO, "model.safetensors")


def test_commit_that_is_a_path_is_refused(hub):
    hub.commits[REPO], hub.branches[REPO] = {"../../evil": {"model.safetensors": LARGE}}, {"main": "../../evil"}
    with pytest.raises(HubError, match="expected 40 hexadecimal digits"):
        fetch_file(REPO, "model.safetensors")


def test_progress_counts_bytes_up_to_the_size(hub, commit, naps):
    hub.faults["file"] = [("cut", 300_000)]
    told = []
    fetch_file(REPO, "model.safetensors", progress=lambda *row: told.append(row))
    assert {(name, total) for name, _, total in told} == {("model.safetensors", len(LARGE))}
    done = [row[1] for row in told]
    assert done == sorted(done)
    assert done[-1] == len(LARGE)


# ------------------------------------------------------------------------------------------------------ two processes


def test_two_processes_at_once_fetch_once(hub, commit, python):
    hub.pace_s = 0.02
    children = [python(FETCH, wait=False) for _ in range(2)]
    for child in children:
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        assert Path(out.strip()).read_bytes() == LARGE
    assert len(hub.ranges()) == 1


def test_two_processes_where_locks_do_nothing_both_get_whole_files(hub, commit, python):
    unlocked = "import contextlib, huggingface_hub.utils as u; u.WeakFileLock = lambda f: contextlib.nullcontext(); "
    hub.pace_s = 0.02
    children = [python(unlocked + FETCH, wait=False) for _ in range(2)]
    for child in children:
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        assert Path(out.strip()).read_bytes() == LARGE
    assert len(hub.ranges()) == 2
    assert [entry.state for entry in cache_verify()] == [State.OK]
    assert names("*.incomplete") == []


def test_part_of_a_living_process_is_left_alone(tmp_path):
    blob = tmp_path / ("0" * 64)
    own = os.uname().nodename
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        theirs = tmp_path / f"{blob.name}.zoo-{own}-{living.pid}.incomplete"
        theirs.write_bytes(b"abc")
        assert transfer._take_over(blob).stat().st_size == 0
        assert theirs.exists()
    finally:
        living.kill()
        living.wait()
    (tmp_path / f"{blob.name}.zoo-{own}-{os.getpid()}.incomplete").unlink()
    assert transfer._take_over(blob).read_bytes() == b"abc"
    assert not theirs.exists()


def test_part_of_another_host_is_taken_over_only_when_it_is_old(tmp_path):
    blob = tmp_path / ("0" * 64)
    theirs = tmp_path / f"{blob.name}.zoo-elsewhere-1.incomplete"
    theirs.write_bytes(b"abc")
    own = transfer._take_over(blob)
    assert own.stat().st_size == 0
    own.unlink()
    old = time.time() - transfer.ABANDONED_S - 1
    os.utime(theirs, (old, old))
    assert transfer._take_over(blob).read_bytes() == b"abc"


# --------------------------------------------------------------------------------------------------------------- disks


@pytest.fixture
def shared(nobody, monkeypatch):
    """Both caches in a folder that can be closed to writing."""
    folder, read_only = nobody
    monkeypatch.setenv("HF_HOME", str(folder / "hf"))
    monkeypatch.setenv("ZOO_CACHE", str(folder / "zoo"))
    return read_only


def test_read_only_cache_is_read_and_its_refusal_to_write_is_clear(hub, shared):
    first = hub.commit(REPO, {"model.safetensors": LARGE, "config.json": b"{}"})
    path = fetch_file(REPO, "model.safetensors", first).path
    before = hub.accepted
    with shared():
        assert fetch_file(REPO, "model.safetensors", first).path == path
        assert hub.accepted == before
        with pytest.raises(WeightsError, match=r"cannot write .*HF_HOME.*ZOO_CACHE"):
            fetch_file(REPO, "config.json", first)
    assert fetch_file(REPO, "config.json", first).size == 2


def test_read_only_cache_without_records_is_read_when_the_files_are_whole(hub, shared):
    commit = hub.commit(REPO, {"model.safetensors": LARGE})
    path = fetch_file(REPO, "model.safetensors", commit).path
    shutil.rmtree(os.environ["ZOO_CACHE"])
    with shared():
        assert fetch_file(REPO, "model.safetensors", commit).path == path
        assert fetch_file(REPO, "model.safetensors", commit, offline=True).path == path
    assert cache_list() == ()


def test_touched_file_in_a_read_only_cache_still_loads(hub, shared):
    commit = hub.commit(REPO, {"model.safetensors": LARGE})
    path = fetch_file(REPO, "model.safetensors", commit).path
    os.utime(path, ns=(1, 1))
    with shared():
        assert fetch_file(REPO, "model.safetensors", commit, offline=True).path == path


def test_no_room_is_told_before_a_byte_is_fetched(hub, commit, monkeypatch):
    real = shutil.disk_usage
    monkeypatch.setattr("zoo.hub.transfer.shutil.disk_usage", lambda path: real(path)._replace(free=1000))
    with pytest.raises(WeightsError, match=r"no room for model.safetensors in .*: 1\.0 MB needed, 0\.0 MB free"):
        fetch_file(REPO, "model.safetensors")
    assert hub.ranges() == []


def test_disk_that_fills_up_leaves_nothing_behind(hub, commit, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zoo.hub.transfer.os.fsync", full)
    with pytest.raises(WeightsError, match=r"no room for model\.safetensors"):
        fetch_file(REPO, "model.safetensors")
    assert names("*.safetensors") + names("blobs/*") == []
    monkeypatch.undo()


def test_file_system_without_links_holds_the_file_itself(hub, commit, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    path = fetch_file(REPO, "model.safetensors").path
    assert not path.is_symlink()
    assert path.read_bytes() == LARGE
    assert fetch_file(REPO, "model.safetensors", offline=True).path == path
    assert fetch_file(REPO, "model.safetensors", update=True).path == path
