"""The network answers the same however it is asked, and what is cut away decided nothing."""

import pytest
import torch
from zoo_multiscale_sdm.network.geometry import Sliding, Span, needed, seen, size_after
from zoo_multiscale_sdm.network.multiscale import build
from zoo_multiscale_sdm.variants import DEMO, PUBLISHED, env_network, sat_network

from zoo.errors import InputError
from zoo.testing.filled import filled_like

CNN = {
    "bands": 3,
    "backbone": "cnn",
    "filters": [4, 6],
    "kernels": [3, 5],
    "paddings": [1, 0],
    "pools": [2, 1],
    "scales": {
        "width": 6,
        "embedding": 5,
        "linears": 2,
        "kernels": [[1], [3, 2]],
        "strides": [[1], [2, 1]],
        "pools": [[1], [1, 2]],
    },
}
RESNET = sat_network((25, 59), width=8, embedding=6)


def network_of(crop="centred", **modalities):
    made = build(modalities=modalities, num_classes=7, crop=crop)
    made.load_state_dict(filled_like(made))
    return made.eval()


def patches(seed=0, batch=3, **sizes):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, *size, generator=generator) for name, size in sizes.items()}


def whole_map(modality, patch):
    """The same answer without cutting the patch: the backbone on all of it."""
    features = modality.backbone(patch)
    cuts = []
    for branch in modality.branches:
        rows, cols = (branch.extent(size) for size in features.shape[2:])
        cuts.append(features[:, :, rows.first : rows.last + 1, cols.first : cols.last + 1])
    return torch.cat([branch(cut) for branch, cut in zip(modality.branches, cuts, strict=True)], dim=1)


def full_branch(modality, patch):
    """The authors' formulation: each branch on the whole map, of which the middle pixel is kept."""
    features = modality.backbone(patch)
    found = []
    for branch in modality.branches:
        out = branch.convs(features)
        row, col = (round((size - 1) / 2) for size in out.shape[2:])
        found.append(branch.linears(out[:, :, row, col]))
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("crop", ["centred", "original"])
@pytest.mark.parametrize(
    ("config", "size"),
    [
        (CNN, (3, 31, 38)),
        (CNN, (3, 26, 26)),
        (RESNET, (4, 60, 60)),
        (RESNET, (4, 97, 64)),
        (env_network((1, 5, 9), bands=2, filters=(4, 8), width=6, embedding=4), (2, 9, 9)),
    ],
)
def test_what_is_cut_away_decides_nothing(crop, config, size):
    modality = network_of(crop=crop, one=config).modalities["one"]
    patch = patches(one=size)["one"]
    with torch.inference_mode():
        cut, whole, full = modality(patch), whole_map(modality, patch), full_branch(modality, patch)
    assert cut.abs().max() > 0.1
    torch.testing.assert_close(cut, whole, atol=1e-5, rtol=1e-5)
    if crop == "original":
        torch.testing.assert_close(cut, full, atol=1e-5, rtol=1e-5)


def test_in_training_batch_norms_see_the_whole_patch():
    network = network_of(one=RESNET).train()
    patch = patches(one=(4, 60, 60))["one"]
    network(one=patch)
    statistics = network.modalities["one"].backbone.layer0[1].running_mean
    raw = network.modalities["one"].backbone.layer0[0](patch).mean(dim=(0, 2, 3))
    before = network_of(one=RESNET).modalities["one"].backbone.layer0[1].running_mean
    torch.testing.assert_close(statistics, 0.9 * before + 0.1 * raw)


def test_the_largest_scale_looks_at_the_middle_and_the_authors_at_the_top_left():
    """Of a map of 58 pixels, as of 116 px of a satellite image."""
    extents = {}
    for crop in ("centred", "original"):
        network = build(modalities={"sat": sat_network((25, 59, 115), width=4, embedding=4)}, num_classes=2, crop=crop)
        extents[crop] = [tuple(branch.extent(58)) for branch in network.modalities["sat"].branches]
    assert extents == {"centred": [(28, 28), (20, 37), (6, 51)], "original": [(28, 28), (20, 37), (0, 45)]}


def test_an_answer_depends_on_its_extent_and_on_nothing_outside():
    network = network_of(one=sat_network((59,), width=4, embedding=4))
    patch = patches(one=(4, 116, 116))["one"].requires_grad_()
    network(one=patch).logits.sum().backward()
    rows = patch.grad.abs().sum(dim=(0, 1, 3)).nonzero()[:, 0]
    assert 28 <= int(rows.min()) <= 34  # of 59 px around pixel 57; pooling passes gradients to some of them
    assert 80 <= int(rows.max()) <= 86


def test_one_site_is_answered_as_among_others():
    network = network_of(env=env_network((1, 5), filters=(4,), width=4, embedding=4), sat=RESNET)
    given = patches(env=(19, 5, 5), sat=(4, 60, 60))
    with torch.inference_mode():
        together = network(**given).logits
        alone = network(**{name: one[:1] for name, one in given.items()}).logits
    assert alone.shape == (1, 7)
    torch.testing.assert_close(alone, together[:1], atol=1e-6, rtol=1e-5)


def test_one_site_trains_where_its_patch_has_more_than_one_pixel_and_else_says_why_not():
    network = network_of(env=env_network((1,), filters=(4,), width=4, embedding=4)).train()
    network(env=torch.randn(1, 19, 3, 3)).logits.sum().backward()
    with pytest.raises(InputError, match=r"found a batch of one patch of one pixel; .* leave drop_last on"):
        network(env=torch.randn(1, 19, 1, 1))
    assert network.eval()(env=torch.randn(1, 19, 1, 1)).logits.shape == (1, 7)


def test_a_modality_that_is_missing_counts_as_nothing_found():
    network = network_of(env=env_network((1,), filters=(4,), width=4, embedding=4), sat=RESNET)
    env = patches(env=(19, 1, 1))["env"]
    embedding = network.modalities["env"](env)
    weight = network.head.weight[:, : embedding.shape[1]]
    torch.testing.assert_close(network(env=env).logits, embedding @ weight.T + network.head.bias)
    with pytest.raises(InputError, match="found patches of nothing; expected those of env, sat"):
        network()
    with pytest.raises(InputError, match="found patches of soil; expected those of env, sat"):
        network(soil=env)


def test_three_modalities_go_together():
    network = network_of(a=CNN, b=CNN, c=RESNET)
    assert network(**patches(a=(3, 26, 26), b=(3, 26, 26), c=(4, 60, 60))).logits.shape == (3, 7)


def test_a_patch_that_is_too_small_is_refused():
    network = network_of(one=RESNET)
    with pytest.raises(InputError, match="gives 12 px of features, and a scale of the network sees 18"):
        network(one=torch.zeros(1, 4, 24, 24))


def test_resnet_is_that_of_torchvision_where_it_is_installed():
    """Key by key, and number by number."""
    torchvision = pytest.importorskip("torchvision")
    ours = network_of(one=RESNET).modalities["one"].backbone
    theirs = torchvision.models.resnet18(weights=None).eval()
    for stage in ("layer1", "layer2"):
        getattr(theirs, stage).load_state_dict(getattr(ours, stage).state_dict())
        x = torch.randn(1, 64, 12, 12)
        torch.testing.assert_close(getattr(ours, stage)(x), getattr(theirs, stage)(x))


@pytest.mark.parametrize("variant", [*PUBLISHED, DEMO], ids=lambda variant: variant.tag)
def test_every_variant_takes_the_patches_that_it_declares(variant):
    network = build(**variant.config).eval()
    given = {spec.name: torch.zeros(1, len(spec.bands), spec.window, spec.window) for spec in variant.inputs}
    with torch.inference_mode():
        assert network(**given).logits.shape == (1, len(variant.classes))


def test_what_pixels_see_is_counted_by_hand():
    layers = [Sliding(3, padding=1), Sliding(2, stride=2), Sliding(3)]
    assert seen(layers, Span(0, 0)) == (-1, 6)
    assert seen(layers, Span(2, 3)) == (3, 12)
    assert size_after(layers, 16) == 6
    assert needed(layers, Span(2, 3), 11) == (2, 10)  # begins at a multiple of 2, ends at the edge
    assert len(Span(2, 3)) == 2
