"""Ranks and recalls against a search by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from shared_work import plain, variant

from zoo.errors import InputError
from zoo.tasks.metrics import retrieve
from zoo.tasks.metrics.retrieve import RetrieveMetrics, ranks
from zoo.tasks.retrieve import RetrieveOutput, unit

TOY = variant()
NUMBERS = [5, 1, 3, 2, 5, 4, 1, 2, 5, 3, 1, 4]  # captions of each image
IMAGES = len(NUMBERS)
OWNERS = np.repeat(range(IMAGES), NUMBERS)


@pytest.fixture(scope="module")
def vectors():
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(IMAGES, 6, generator=generator)
    return images, images[OWNERS] + 2 * torch.randn(len(OWNERS), 6, generator=generator)


def measured(vectors, batches=(range(IMAGES),), **options):
    images, texts = vectors
    metric = RetrieveMetrics(variant=TOY, **options)
    for rows in batches:
        output = RetrieveOutput(image=images[list(rows)], text=torch.cat([texts[row == OWNERS] for row in rows]))
        captions = tuple(("a caption",) * NUMBERS[row] for row in rows)
        metric.update(output, {"texts": captions}, [f"image {row}" for row in rows])
    return metric.compute()


def searched(queries, gallery, query_ids, gallery_ids):
    """Rank of the best right answer, by sorting."""
    found = []
    for query, own in zip(queries, query_ids, strict=True):
        order = np.argsort(-(gallery @ query))
        found.append(next(rank for rank, place in enumerate(order) if gallery_ids[place] == own))
    return np.array(found)


def test_recalls_are_those_of_a_search(vectors):
    images, texts = (unit(one).double().numpy() for one in vectors)
    to_text = searched(images, texts, range(IMAGES), OWNERS)
    to_image = searched(texts, images, OWNERS, range(IMAGES))
    figures = measured(vectors)
    recalls = {
        f"{name}_r{k}": np.mean(found < k)
        for name, found in (("image_to_text", to_text), ("text_to_image", to_image))
        for k in (1, 5, 10)
    }
    assert len({round(value, 6) for value in recalls.values()}) == 6  # or the test could not tell them apart
    for name, value in recalls.items():
        assert figures[name].value == pytest.approx(value), name
    assert figures["mean_recall"].value == pytest.approx(np.mean(list(recalls.values())))
    assert figures["image_to_text_rank"].value == np.floor(np.median(to_text)) + 1
    assert figures["text_to_image_rank"].value == np.floor(np.median(to_image)) + 1
    assert figures["tied"].value == 0


def test_queries_are_searched_in_chunks(vectors, monkeypatch):
    whole = measured(vectors)
    monkeypatch.setattr(retrieve, "CHUNK", 5)
    assert measured(vectors) == whole


def test_order_and_batches_change_nothing(vectors):
    whole = plain(measured(vectors, bootstrap=30))
    order = np.random.default_rng(0).permutation(IMAGES).tolist()
    assert plain(measured(vectors, (order[:5], order[5:6], order[6:]), bootstrap=30)) == pytest.approx(whole, rel=1e-12)
    assert whole["mean_recall.low"] < whole["mean_recall.value"] < whole["mean_recall.high"]


@pytest.mark.parametrize(("ties", "expected"), [("greater", [0, 0, 0]), ("stable", [0, 1, 2])])
def test_the_rule_for_ties(ties, expected):
    """Three queries, and a gallery in which all is alike."""
    found, tied = ranks(torch.ones(3, 2), torch.ones(3, 2), torch.arange(3), torch.arange(3), ties=ties)
    assert found.tolist() == expected
    assert tied.all()


def test_a_caption_that_two_images_share_ties(vectors):
    images, texts = vectors
    texts = texts.clone()
    texts[5] = texts[0].clone()  # image 1's one caption is a caption of image 0
    assert measured((images, texts))["tied"].value > 0
    assert (
        0
        <= measured((images, texts), ties="stable")["mean_recall"].value
        <= measured((images, texts))["mean_recall"].value
    )


def test_a_network_that_says_the_same_of_everything_is_at_chance_where_ties_are_stable():
    alike = (torch.ones(IMAGES, 4), torch.ones(len(OWNERS), 4))
    assert measured(alike)["mean_recall"].value == 1
    figures = measured(alike, ties="stable")
    assert figures["tied"].value == 1
    assert figures["text_to_image_r5"].value < 0.6


def test_what_does_not_fit_is_refused():
    metric = RetrieveMetrics(variant=TOY)
    with pytest.raises(InputError, match="b has no caption"):
        metric.update(RetrieveOutput(torch.ones(2, 3), torch.ones(1, 3)), {"texts": (("x",), ())}, ["a", "b"])
    with pytest.raises(InputError, match="found 1 image vectors and 1 caption vectors; expected 1 and 2"):
        metric.update(RetrieveOutput(torch.ones(1, 3), torch.ones(1, 3)), {"texts": (("x", "y"),)}, ["a"])
