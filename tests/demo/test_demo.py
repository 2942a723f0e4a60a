"""`zoo demo`: the page stands alone, shows what was computed, and the commands on it are true."""

import base64
import html
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from zoo import demo
from zoo.demo import page as pages
from zoo.demo import pretrain
from zoo.demo.images import shared_colours
from zoo.errors import InputError, OutputError, UnknownModel

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions",
]  # fmt: skip
REFERENCES = ("src", "href", "srcset", "data", "action", "poster", "background")


class Reader(HTMLParser):
    """Elements of a page with their attributes, and the text of its blocks of commands."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.commands = html.unescape(
            "\n".join(re.findall(r"<pre><code>(.*?)</code></pre>", text, re.DOTALL))
        ).splitlines()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    @property
    def images(self):
        return [attributes for tag, attributes in self.elements if tag == "img"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page made in the folder in which it is asked for, as a user does."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(pretrain, "WINDOWS", 4)
        found = demo.run(Path("zoo-demo"), ("smarties",))
        assert found == Path("zoo-demo/index.html")
    return home / found


@pytest.fixture(scope="module")
def read(made):
    return Reader(made.read_text(encoding="utf-8"))


def decoded(image):
    head, _, body = image["src"].partition(";base64,")
    assert head in ("data:image/png", "data:image/jpeg")
    picture = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
    picture.load()
    return picture


def test_every_picture_decodes_shows_something_and_is_described(read):
    figures = read.images[:7]  # three scenes, the truth, three embeddings
    rows, rest = divmod(len(read.images) - len(figures), 1 + 4 + 3 + 3)  # a chip and its look-alikes
    assert rest == 0
    assert rows >= 2
    for image in read.images:
        assert len(image["alt"]) >= 5
    for image in figures:
        pixels = np.asarray(decoded(image).convert("RGB"), dtype=float)
        assert pixels.std() > 10
    assert len({image["src"] for image in figures}) == len(figures)
    for image in read.images[7:]:
        assert 30 <= decoded(image).width <= 128


def test_the_page_refers_to_nothing_outside(read):
    for tag, attributes in read.elements:
        for name in REFERENCES:
            assert attributes.get(name, "data:").startswith("data:"), f"<{tag} {name}={attributes[name]!r}>"
    assert not {tag for tag, _ in read.elements} & {"script", "iframe", "object", "embed", "base"}
    outside = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", read.text)
    assert "://" not in outside
    assert "@import" not in outside
    assert "url(" not in outside


def test_the_page_says_what_the_weights_are(read):
    assert "demo weights: not for science" in read.text
    assert '<meta name="viewport"' in read.text
    assert "prefers-color-scheme: dark" in read.text
    assert re.search("sha256 [0-9a-f]{64}", read.text)


def test_commands_on_the_page_write_the_same_files_again(made, read, zoo_command, monkeypatch, tmp_path):
    commands = [shlex.split(line) for line in read.commands]
    assert len(commands) == 6
    written = [Path(command[4]) for command in commands]
    known = {name: (made.parents[1] / name).read_bytes() for name in written}
    scenes = made.parents[1] / "zoo-demo/smarties"
    (tmp_path / "zoo-demo/smarties").mkdir(parents=True)
    for scene in ("sentinel2", "sentinel1", "aerial"):
        shutil.copy2(scenes / f"{scene}.tif", tmp_path / "zoo-demo/smarties")
    monkeypatch.chdir(tmp_path)
    for program, *arguments in commands:
        assert program == "zoo"
        code, _, errors = zoo_command(*arguments)
        assert (code, errors) == (0, "")
    for name, content in known.items():
        assert name.read_bytes() == content, name


def test_scenes_lie_on_the_same_ground(made):
    corners = set()
    for scene in ("sentinel2", "sentinel1", "aerial"):
        with rasterio.open(made.parent / f"smarties/{scene}.tif") as source:
            corners.add(tuple(source.bounds))
        with rasterio.open(made.parent / f"smarties/{scene}-features.tif") as features:
            assert tuple(features.bounds) == tuple(source.bounds)
    assert len(corners) == 1


def test_look_alikes_are_nearest_and_never_the_same_ground(made):
    bounds = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [30, 0, 40, 10]], float)
    values = np.array([[1, 0], [1, 0], [1, 0.1], [0, 1]], np.float32)

    class Chips:
        pass

    chips = Chips()
    chips.bounds, chips.values = bounds, values
    seen = pretrain.Seen(
        view="sentinel2", scene=None, file=None, map_file=None, table_file=None, maps=None, chips=chips, covers=None
    )
    likeness = pretrain._elsewhere(seen, seen)
    assert likeness[0].tolist() == pytest.approx([-1, -1, 1 / np.sqrt(1.01), 0])
    assert likeness[1].argmax() == 3


def test_equal_vectors_have_equal_colours_in_all_maps():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(8, 5, 5))
    second = first[:, ::-1] * 3.0  # another place and length, the same directions
    second[:, 0, 0] = np.nan
    one, other = shared_colours([first, second])
    assert one.shape == (5, 5, 4)
    np.testing.assert_array_equal(one[::-1][1:], other[1:])
    assert other[0, 0, 3] == 0
    assert other[..., 3].sum() == 24 * 255
    assert one[..., :3].std() > 20


def test_a_foreign_page_is_not_overwritten(tmp_path):
    foreign = tmp_path / "index.html"
    foreign.write_text("<html>mine</html>")
    with pytest.raises(OutputError, match="not a page of `zoo demo`"):
        demo.run(tmp_path, ("smarties",))
    assert foreign.read_text() == "<html>mine</html>"
    assert list(tmp_path.iterdir()) == [foreign]


def test_references_without_a_demo_say_what_to_type(zoo_command, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="zoo demo --model smarties@demo"):
        demo.run(tmp_path, ("smarties@vit-l",))
    with pytest.raises(UnknownModel):
        demo.run(tmp_path, ("smartie",))
    assert list(tmp_path.iterdir()) == []


def test_text_of_models_cannot_break_the_page():
    chapter = pages.Chapter(
        reference="<b>x</b>", summary="a & b", lead='"quoted"', weights="<script>", sections=(
            pages.Section(title="<i>", words="1 < 2", commands=("zoo embed a 'b c.tif' <d>",)),
        ),
    )  # fmt: skip
    reader = Reader(pages.render([chapter], seconds=1.0))
    assert not {tag for tag, _ in reader.elements} & {"b", "i", "script"}
    assert reader.commands == ["zoo embed a 'b c.tif' <d>"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the page was not opened in a browser")
def test_a_browser_shows_all_pictures_and_asks_nobody(made, tmp_path):
    probe = made.with_name("probe.html")
    script = (
        "<script>onload = () => { const all = [...document.images];"
        " document.title = `${all.length} ${all.filter(one => one.complete && one.naturalWidth > 0).length}"
        " ${performance.getEntriesByType('resource').filter(one => !one.name.startsWith('data:')).length}"
        " ${document.documentElement.scrollWidth - innerWidth}`; }</script>"
    )
    probe.write_text(made.read_text(encoding="utf-8").replace("</body>", f"{script}</body>"), encoding="utf-8")
    try:
        dom = chromium(tmp_path, "--window-size=500,900", "--dump-dom", probe.as_uri())
    finally:
        probe.unlink()
    images, shown, fetched, overflow = map(int, re.search(r"<title>(.*?)</title>", dom)[1].split())
    assert images == shown > 7
    assert fetched == 0
    assert overflow <= 0  # nothing sticks out of a narrow window


def chromium(folder, *arguments):
    """Run headless in a process group of its own, so that none of its children stays."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        try:
            return process.communicate(timeout=90)[0]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
