"""Retrieval: the right image first, by words and by images; classes in words; an index that knows its maker."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from toy_retriever import COLOURS, IMAGE, TEXT, retriever

import zoo
from zoo.errors import ConfigError, InputError, OutputError, PluginError, SpecError, WeightsError
from zoo.inputs.words import companions
from zoo.model import Model, Origin
from zoo.predict.texts import embed_texts
from zoo.spec import Capability, Weights
from zoo.spec_json import decode, encode

PALETTE = {
    "red": (250, 10, 10),
    "green": (10, 250, 10),
    "blue": (10, 10, 250),
    "yellow": (250, 250, 10),
    "grey": (90, 90, 90),
}


@pytest.fixture
def tiles(tmp_path):
    folder = tmp_path / "tiles"
    (folder / "sub").mkdir(parents=True)
    for name, colour in PALETTE.items():
        where = folder / "sub" if name == "yellow" else folder
        Image.new("RGB", (20, 12), colour).save(where / f"{name}.png")
    return folder


def cosine(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_words_find_the_image_of_their_colours(tiles, tmp_path):
    model, index = retriever(), tmp_path / "tiles.index"
    model.index(tiles, index)
    hits = model.search(index, "a green and red field", top=3).table
    assert hits["id"].to_pylist() == ["sub/yellow.png", "grey.png", "green.png"]
    assert hits["rank"].to_pylist() == [1, 2, 3]
    wanted = [cosine(PALETTE[name], (1, 1, 0)) for name in ("yellow", "grey", "green")]
    np.testing.assert_allclose(hits["score"], wanted, atol=1e-5)
    assert model.search(index, "blue").table["id"][0].as_py() == "blue.png"
    assert len(model.search(index, "blue", top=100)) == 5


def test_an_image_finds_its_like(tiles, tmp_path):
    model, index = retriever(), tmp_path / "tiles.parquet"
    model.index(tiles, index)
    Image.new("RGB", (40, 40), (240, 230, 20)).save(tmp_path / "query.png")
    hits = zoo.search(index, tmp_path / "query.png", model=model, top=1)
    assert hits.table["id"].to_pylist() == ["sub/yellow.png"]
    np.testing.assert_allclose(hits.table["score"][0].as_py(), cosine((240, 230, 20), PALETTE["yellow"]), atol=1e-5)


def test_the_index_holds_unit_vectors_footprints_and_provenance_and_is_the_same_twice(tmp_path):
    pixels = np.zeros((3, 16, 24), "uint8")
    pixels[0, :, :8], pixels[1, :, 8:16], pixels[2, :, 16:] = 200, 200, 200
    scene = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "height": 16, "width": 24, "count": 3, "dtype": "uint8", "crs": "EPSG:32632"}
    with rasterio.open(scene, "w", transform=from_origin(500_000, 5_200_000, 1, 1), **profile) as file:
        file.write(pixels)
        file.descriptions = COLOURS
    model, index = retriever(), tmp_path / "scene.index"
    model.index(scene, index)
    table = pq.read_table(index)
    assert table["id"].to_pylist()[:3] == ["scene.tif:0:0", "scene.tif:0:8", "scene.tif:0:16"]
    np.testing.assert_allclose(table["embedding"].to_pylist(), np.tile(np.eye(3), (2, 1)), atol=1e-6)
    assert table.schema.metadata[b"ZOO_MODEL"] == b"toybag"
    again = tmp_path / "again.index"
    model.index(scene, again, batch_size=8)
    assert digest(again) == digest(index)
    hits = model.search(index, "green", top=2)
    assert hits.crs.to_epsg() == 32632
    assert hits.places[1].tolist() == [[500008, 5199984], [500016, 5199984], [500016, 5199992], [500008, 5199992]]
    hits.save(tmp_path / "hits.geojson")
    assert json.loads((tmp_path / "hits.geojson").read_text())["features"][0]["properties"]["id"] == "scene.tif:0:8"


def test_classes_are_words(tiles):
    model = retriever(gain=20.0)
    table = model.classify(tiles, classes=COLOURS).rows().table
    assert table.column_names == ["id", *COLOURS]
    row = table["id"].to_pylist().index("sub/yellow.png")
    logits = 20 * np.array([cosine(PALETTE["yellow"], one) for one in np.eye(3)])
    np.testing.assert_allclose(
        [table[name][row].as_py() for name in COLOURS], np.exp(logits) / np.exp(logits).sum(), atol=1e-4
    )


def test_templates_are_averaged_as_unit_vectors(tiles):
    model = retriever(templates=("{} {} {} red", "blue {}."))
    own = model.classify(tiles, classes=("green", "blue")).values
    first, second = np.array([1, 3, 0]) / np.sqrt(10), np.array([0, 1, 1]) / np.sqrt(2)
    green, blue = (first + second), np.array([1, 0, 3]) / np.sqrt(10) + np.array([0, 0, 1])
    logits = 10 * np.array([cosine(PALETTE["grey"], green), cosine(PALETTE["grey"], blue)])
    row = 2  # blue.png, green.png, grey.png
    np.testing.assert_allclose(own[row], np.exp(logits) / np.exp(logits).sum(), atol=1e-4)
    plain = model.classify(tiles, classes=("green", "blue"), templates=("{}",)).values
    assert plain[row] == pytest.approx([0.5, 0.5], abs=1e-4)
    with pytest.raises(ConfigError, match=r"has no \{\}"):
        model.classify(tiles, classes=("green",), templates=("a photo",))
    with pytest.raises(ConfigError, match=r"names its classes in words of yours.*--classes"):
        model.classify(tiles)
    with pytest.raises(ConfigError, match="each once"):
        model.predict(tiles, classes=("green", "green"))


def test_embed_gives_the_same_vectors_as_the_index(tiles, tmp_path):
    model = retriever()
    model.index(tiles, tmp_path / "tiles.index")
    embedded = model.embed(tiles, tmp_path / "tiles.parquet")
    np.testing.assert_array_equal(pq.read_table(tmp_path / "tiles.index")["embedding"].to_pylist(), embedded.values)


def test_an_index_of_another_model_is_refused(tiles, tmp_path):
    model, index = retriever(), tmp_path / "tiles.index"
    made = Model(
        spec=model.spec,
        variant=model.variant,
        module=model.module,
        device=model.device,
        origin=Origin(name="hf://a/b/c", revision="0" * 40, sha256="1" * 64),
    )
    made.index(tiles, index)
    assert len(made.search(index, "red", top=2)) == 2
    with pytest.raises(InputError, match=r"was made by toybag@bag \(hf://a/b/c, sha256 111.*index the images again"):
        model.search(index, "red")
    model.index(tiles, index)
    with pytest.raises(InputError, match=r"weights 'random', which have no public name.*--model"):
        zoo.search(index, "red")


def test_files_that_are_no_index_say_so(tiles, tmp_path):
    model = retriever()
    model.classify(tiles, tmp_path / "classes.parquet", classes=COLOURS)
    (tmp_path / "text.index").write_text("hello")
    cases = {
        "absent.index": "does not exist; make it with `zoo index",
        "text.index": "is no index",
        "classes.parquet": "has the columns id, red, green, blue and was made by toybag; expected an index",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=message):
            model.search(tmp_path / name, "red")
    with pytest.raises(OutputError, match=r"\.txt"):
        model.index(tiles, tmp_path / "tiles.txt")
    assert not (tmp_path / "tiles.txt").exists()


def test_words_and_models_that_do_not_fit(tiles, tmp_path):
    model = retriever()
    with pytest.raises(InputError, match="text 2 of 2 is empty"):
        embed_texts(model, ["red", " "])
    mute = replace(model.variant, inputs=(IMAGE,))
    with pytest.raises(InputError, match="takes no words"):
        embed_texts(replace(model, variant=mute), ["red"])
    for tokenizer, error in ((None, SpecError), ("toy_retriever:nothing", PluginError)):
        variant = replace(model.variant, inputs=(IMAGE, replace(TEXT, tokenizer=tokenizer)))
        with pytest.raises(error, match="tokenizer"):
            embed_texts(replace(model, variant=variant), ["red"])
    shut = replace(model.variant, capabilities=(Capability.EMBED,))
    with pytest.raises(InputError, match=r"does not index; it can predict, embed"):
        replace(model, variant=shut).index(tiles, tmp_path / "tiles.index")


def test_companions_come_with_the_weights_or_say_what_to_type(tmp_path, monkeypatch):
    package = tmp_path / "toybag_small_files"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    model = retriever()

    def with_companions(*names):
        weights = Weights(file="toybag_small_files:weights.safetensors", companions=names)
        variant = replace(model.variant, weights=weights)
        return replace(model, variant=variant, spec=replace(model.spec, variants=(variant,)))

    assert companions(with_companions("words.json")) == {"words.json": package / "words.json"}
    with pytest.raises(WeightsError, match=r"merges\.txt is not there; type `zoo pull toybag@bag`"):
        companions(with_companions("words.json", "merges.txt"))


def test_tokenizer_and_templates_survive_json():
    variant = retriever(templates=("a {}",)).variant
    assert decode(type(variant), json.loads(json.dumps(encode(variant)))) == variant


def test_index_search_and_classify_from_the_command_line(make_plugin, tiles, tmp_path, zoo_command):
    import torch
    from safetensors.torch import save_file

    site = make_plugin(
        "toybag",
        """
    def toy():
        from dataclasses import replace
        from zoo.spec import Capability, Resize, Scale, Weights

        image = InputSpec(name="image", kind=Kind.IMAGE, window=8,
                          bands=tuple(Band(id=f"RGB:{name}", unit="DN") for name in "RGB"),
                          steps=(Scale(factor=1 / 255, source="-"), Resize(size=(8, 8), order=1, source="-")))
        text = InputSpec(name="text", kind=Kind.TEXT, tokenizer="toybag_network:tokenizer")
        variant = Variant(tag="bag", builder="toybag_network:Bag", inputs=(image, text),
                          weights=Weights(file="toybag_files:weights.safetensors"))
        able = (Capability.EMBED, Capability.CLASSIFY, Capability.SEARCH)
        return replace(model("toybag"), task=Task.RETRIEVE, variants=(variant,), capabilities=able)

    @hookimpl
    def zoo_register_models():
        return [toy()]
    """,
    )
    (site / "toybag_network.py").write_text((Path(__file__).parent / "toy_retriever.py").read_text())
    (site / "toybag_files").mkdir()
    (site / "toybag_files" / "__init__.py").write_text("")
    save_file({"log_scale": torch.tensor(2.0)}, site / "toybag_files" / "weights.safetensors")
    index = tmp_path / "tiles.index"
    assert zoo_command("index", "toybag", tiles, index) == (0, f"wrote {index}\n", "")
    code, said, _ = zoo_command("search", index, "blue", "--top", "1")
    assert (code, said.split()[0], said.split()[2]) == (0, "1", "blue.png")
    code, said, _ = zoo_command("search", index, tiles / "red.png", "--image", "--json", "--top", "2")
    assert json.loads(said)[0]["id"] == "red.png"
    assert zoo_command("search", index, "green", tmp_path / "hits.csv")[0] == 0
    assert pa_csv.read_csv(tmp_path / "hits.csv")["id"][0].as_py() == "green.png"
    assert "--force" in zoo_command("search", index, "green", tmp_path / "hits.csv")[2]
    out = tmp_path / "classes.csv"
    assert zoo_command("classify", "toybag", tiles, out, "--classes", "red,blue", "--template", "very {}")[0] == 0
    table = pa_csv.read_csv(out)
    assert table["red"][table["id"].to_pylist().index("red.png")].as_py() > 0.9
