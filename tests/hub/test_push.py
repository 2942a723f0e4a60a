"""Publishing to a Hub on loopback, and the commands pull, cache and push."""

import functools
import json

import pytest
from click.testing import CliRunner

from zoo.cli import cache as cache_file
from zoo.cli import pull as pull_file
from zoo.cli import push as push_file
from zoo.errors import HubError, WeightsError
from zoo.hub.fetch import fetch_repo
from zoo.hub.push import push
from zoo.hub.records import sha256_of

CARD = b"---\nlicense: apache-2.0\n---\n# Tiny\n"


def safetensors(count):
    """A safetensors file of `count` float32 numbers."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * count)


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors(1000))
    (folder / "golden.safetensors").write_bytes(safetensors(10))
    (folder / "config.json").write_text('{"model": "tiny"}')
    (folder / "README.md").write_bytes(CARD)
    for name in ("train.py", "old.ckpt", ".env"):
        (folder / name).write_text("stays here")
    (folder / "logs").mkdir()
    (folder / "logs" / "golden.safetensors").write_text("stays here too")
    return folder


def test_what_is_pushed_is_what_is_fetched_back(hub, saved, capfd):
    pushed = push(saved, "lab/new")
    assert hub.created == ["lab/new"]
    assert set(hub.commits["lab/new"][pushed.commit]) == {
        "model.safetensors", "golden.safetensors", "config.json", "README.md",
    }  # fmt: skip
    assert sorted(pushed.left_out) == [".env", "logs/golden.safetensors", "old.ckpt", "train.py"]
    folder = fetch_repo("hf://lab/new")
    assert folder.name == pushed.commit
    for file in pushed.files:
        assert (folder / file.name).read_bytes() == (saved / file.name).read_bytes()
        assert file.sha256 == sha256_of(folder / file.name)


def test_dry_run_checks_everything_and_opens_no_connection(hub, saved):
    pushed = push(saved, "hf://lab/new", dry_run=True)
    assert pushed.commit is None
    assert {file.name: file.size for file in pushed.files}["model.safetensors"] == len(safetensors(1000))
    assert hub.accepted == 0
    (saved / "model.safetensors").write_bytes(safetensors(1000)[:-1])
    with pytest.raises(WeightsError, match=r"header promises"):
        push(saved, "lab/new", dry_run=True)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("model.safetensors", None, "lacks model.safetensors"),
        ("README.md", None, "lacks README.md"),
        ("README.md", b"# no header\n", "no card header"),
        ("config.json", b"{", "not JSON"),
        ("golden.safetensors", b"\x80\x04pickle", "not a whole safetensors file"),
        ("model.safetensors", b"\x02" + bytes(7) + b"[]", "bad header"),
        ("model.safetensors", b"", "not a whole safetensors file"),
    ],
)
def test_folder_that_is_not_a_saved_model_is_refused(hub, saved, name, content, told):
    (saved / name).unlink()
    if content is not None:
        (saved / name).write_bytes(content)
    with pytest.raises(WeightsError, match=told):
        push(saved, "lab/new")
    assert hub.accepted == 0


def test_link_out_of_the_folder_is_not_followed(hub, saved, tmp_path):
    (tmp_path / "secret.safetensors").write_bytes(safetensors(3))
    (saved / "golden_2.safetensors").symlink_to(tmp_path / "secret.safetensors")
    with pytest.raises(WeightsError, match="outside the folder"):
        push(saved, "lab/new")


@pytest.mark.parametrize("kind", ["api", "commit"])
@pytest.mark.parametrize("status", [401, 403])
def test_no_right_to_write(hub, saved, naps, kind, status):
    hub.faults[kind] = [("status", status)]
    with pytest.raises(HubError, match=rf"does not let you write lab/new \({status}\): log in"):
        push(saved, "lab/new")
    assert hub.commits.get("lab/new", {}) == {}


def test_busy_hub_is_waited_for_when_the_repository_is_created(hub, saved, naps):
    hub.faults["api"] = [("status", 429, {"Retry-After": "3"})]
    assert push(saved, "lab/new").commit in hub.commits["lab/new"]
    assert naps == [3.0]


def test_commit_is_not_repeated_as_it_may_have_arrived(hub, saved, naps):
    hub.faults["commit"] = [("status", 500)]
    with pytest.raises(HubError, match=r"answered 500 .*zoo push FOLDER lab/new"):
        push(saved, "lab/new")
    assert [kind for kind, *_ in hub.requests].count("commit") == 1


@pytest.mark.parametrize("repo", ["new", "lab/new@main", "a/b/c"])
def test_name_that_is_no_repository(hub, saved, repo):
    with pytest.raises(HubError, match="expected ORG/NAME"):
        push(saved, repo)


# ------------------------------------------------------------------------------------------------------------ commands


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(one) for one in arguments], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_commands_push_pull_list_verify_remove(hub, saved, tmp_path):
    code, out, err = run(push_file.command, saved, "lab/new", "--dry-run")
    assert (code, len(out.splitlines())) == (0, 4)
    assert "left out: train.py" in err
    assert "nothing was sent" in err
    assert hub.accepted == 0
    code, _, err = run(push_file.command, saved, "lab/new")
    commit = hub.branches["lab/new"]["main"]
    assert f"at commit {commit}" in err

    code, out, err = run(pull_file.command, "hf://lab/new", "--to", tmp_path / "copy")
    assert code == 0
    assert err == ""
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == sorted(
        ["model.safetensors", "golden.safetensors", "config.json", "README.md"]
    )
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == safetensors(1000)
    before = hub.accepted
    assert run(pull_file.command, "hf://lab/new", "--offline")[0] == 0
    assert hub.accepted == before

    code, out, _ = run(cache_file.command, "list")
    assert [line.split()[:2] for line in out.splitlines()] == [
        [f"lab/new@{commit[:12]}", name] for name in sorted(["README.md", "config.json", "golden.safetensors", "model.safetensors"])
    ]  # fmt: skip
    assert run(cache_file.command, "verify")[0] == 0
    fetch_repo("lab/new").joinpath("config.json").resolve().write_text("{}")
    code, out, _ = run(cache_file.command, "verify")
    assert code == 1
    assert out.startswith("damaged: ")
    assert run(cache_file.command, "remove", f"lab/new@{commit}")[0] == 0
    assert run(cache_file.command, "list")[1] == ""


def test_pull_of_a_model_fetches_its_companions_and_says_that_it_is_not_pinned(hub, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from zoo.spec import Weights

    commit = hub.commit("lab/tiny", {"weights/a.bin": b"a" * 2000, "labels.txt": b"reef"})
    weights = Weights(repo="lab/tiny", file="weights/a.bin", companions=("labels.txt",))
    row = SimpleNamespace(spec=SimpleNamespace(name="tiny")), SimpleNamespace(weights=weights, tag="base")
    monkeypatch.setattr("zoo.registry.find", lambda _: row)
    code, out, err = run(pull_file.command, "tiny", "--to", tmp_path / "copy")
    assert code == 0
    assert out.split() == [str(tmp_path / "copy" / name) for name in ("labels.txt", "weights/a.bin")]
    assert (tmp_path / "copy" / "weights" / "a.bin").read_bytes() == b"a" * 2000
    assert f"tiny@base: not pinned; now at commit {commit}" in err


def test_message_names_the_installed_model(caches, monkeypatch):
    from types import SimpleNamespace

    from zoo.hub.fetch import fetch
    from zoo.spec import Weights

    weights = Weights(repo="lab/tiny", file="model.safetensors")
    variant = SimpleNamespace(weights=weights, tag="base")
    entry = SimpleNamespace(spec=SimpleNamespace(name="tiny", variants=(variant,)))
    monkeypatch.setattr("zoo.registry.entries", functools.cache(lambda: (entry,)))
    with pytest.raises(HubError, match="`zoo pull tiny@base`"):
        fetch(weights, offline=True)
