"""What the encoder promises beyond the recorded numbers."""

import pytest
import torch
from zoo_smarties.mixing import exchange, tile_bands
from zoo_smarties.network import autoencoder, encoder, joint
from zoo_smarties.network.autoencoder import Cut
from zoo_smarties.network.projection import cut_patches
from zoo_smarties.objective import masked_error
from zoo_smarties.spectrum import numbers

from zoo.errors import ConfigError, InputError

TINY = {"width": 32, "depth": 2, "heads": 4, "patch_size": 8, "image_size": 32}
S2 = tuple(
    f"S2:{name}" for name in ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
)
S1 = ("S1:VV", "S1:VH")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return encoder.build(**TINY).eval()


def picture(bands, *, rows=32, columns=32, batch=2, seed=1):
    return torch.randn(batch, len(bands), rows, columns, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_bands_and_names_permuted_together_change_nothing_and_alone_much(network):
    image, order = picture(S2), [5, 0, 11, 3, 1, 2, 10, 4, 9, 6, 8, 7]
    straight = network(image, S2).pooled
    together = network(image[:, order], tuple(S2[place] for place in order)).pooled
    torch.testing.assert_close(together, straight, rtol=0, atol=1e-5)
    assert (network(image[:, order], S2).pooled - straight).abs().max() > 0.1


@torch.inference_mode()
def test_tiled_bands_and_any_spelling_give_the_same(network):
    image = picture(S1)
    tiled, names = tile_bands(image, S1, 12)
    torch.testing.assert_close(network(tiled, names).pooled, network(image, S1).pooled, rtol=0, atol=1e-5)
    spelt = network(picture(("x",)), ("665nm",)).pooled
    assert torch.equal(spelt, network(picture(("x",)), ("red_2",)).pooled)
    assert torch.equal(spelt, network(picture(("x",)), ("S2:B04",)).pooled)


@torch.inference_mode()
def test_cut_patches_give_the_tokens_of_the_image(network):
    image = picture(S2)
    patches = cut_patches(image, 8).flatten(1, 2).flatten(3)
    index = torch.tensor(numbers(S2)).expand(*patches.shape[:2], -1)
    tokens = network.spectrum_projection.patches(patches, index)
    torch.testing.assert_close(tokens, network.spectrum_projection(image, S2), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_sizes_other_than_the_trained_one(network):
    embedded = network(picture(S1, rows=48, columns=24), S1)
    assert embedded.tokens.shape == (2, 32, 6, 3)
    assert torch.isfinite(embedded.pooled).all()


@torch.inference_mode()
def test_pixels_without_data_count_as_the_mean(network):
    image, valid = picture(S1), torch.ones(2, 32, 32, dtype=torch.bool)
    valid[:, 5:20, 7:] = False
    zeros = torch.where(valid[:, None], image, 0)
    assert torch.equal(
        network(image.masked_fill(~valid[:, None], torch.nan), S1, valid).pooled, network(zeros, S1).pooled
    )


@pytest.mark.parametrize(
    ("rows", "bands", "message"),
    [
        (30, S1, "30 x 32 px.*multiples of 8.*pad it to 32 x 32"),
        (32, ("S1:VV",), "2 channels and 1 bands"),
        (32, ("S1:VV", "S2:B10"), "cirrus"),
        (32, ("S1:VV", "S2:B4"), "did you mean S2:B04"),
    ],
)
def test_images_that_do_not_fit_are_refused(network, rows, bands, message):
    with pytest.raises(InputError, match=message):
        network(picture(S1, rows=rows), bands)


def test_unknown_options_are_refused():
    with pytest.raises(ConfigError, match="linear, probe, segment"):
        encoder.build(**TINY, head="mlp", num_classes=3)
    with pytest.raises(ConfigError, match="num_classes"):
        encoder.build(**TINY, head="linear")
    with pytest.raises(ConfigError, match="cls or mean"):
        encoder.build(**TINY, pooling="max")


@torch.inference_mode()
def test_segmentation_answers_at_the_images_own_pixels(network):
    segmenter = encoder.build(**TINY, head="segment", num_classes=3).eval()
    assert segmenter(picture(S2), S2).logits.shape == (2, 3, 32, 32)


@torch.inference_mode()
def test_feature_maps_end_with_the_dense_output(network):
    first, last = network.feature_maps(picture(S1), S1, after=(0, 1))
    assert torch.equal(last, network(picture(S1), S1).tokens)
    assert (first - last).abs().max() > 0.1


@torch.inference_mode()
def test_joint_features_are_the_two_encodings_unless_tokens_are_exchanged():
    torch.manual_seed(0)
    apart = joint.build(**TINY, head="probe", num_classes=5).eval()
    s1, s2 = picture(S1), picture(S2, seed=2)
    pooled = apart(s1, S1, s2, S2).pooled
    assert torch.equal(pooled[:, :32], apart.features(s1, S1)[0])
    assert torch.equal(pooled[:, 32:], apart.features(s2, S2)[0])
    swapping = joint.build(**TINY, head="probe", num_classes=5, exchange_seed=7).eval()
    swapping.load_state_dict(apart.state_dict())
    once, twice = (swapping(s1, S1, s2, S2).pooled for _ in range(2))
    assert torch.equal(once, twice)
    assert (once - pooled).abs().max() > 0.1
    with pytest.raises(InputError, match="32 x 32 px and 16 x 32 px"):
        apart(s1, S1, picture(S2, rows=16), S2)


def test_exchange_keeps_half_and_swaps_the_rest():
    draws = torch.tensor([[0.9, 0.1, 0.5, 0.2]])
    first, second = exchange(draws, torch.zeros(1, 4, 2), torch.ones(1, 4, 2))
    assert first[0, :, 0].tolist() == [1, 0, 1, 0]
    assert second[0, :, 0].tolist() == [0, 1, 0, 1]


def test_symmetric_exchange_mixes_the_second_stream_too():
    generator = torch.Generator().manual_seed(0)
    sizes = {**TINY, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
    first, second = (cut_patches(picture(S1, seed=seed), 8) for seed in (1, 2))
    index = torch.tensor(numbers(S1)).expand(*first.shape[:3], -1)
    draws = torch.rand(2, 2, 16, generator=generator)
    flat = [one.flatten(1, 2).flatten(3) for one in (first, second)]
    for symmetric in (False, True):
        network = autoencoder.build(**sizes, symmetric=symmetric)
        given = Cut(first, index), Cut(second, index), *draws
        pixels = network.mixed(*given[:3])[0].chunk(2)
        assert torch.equal(pixels[1], flat[1]) is not symmetric
        assert torch.equal(pixels[0] + pixels[1], sum(flat)) is symmetric
        made = network(*given)
        assert made.predicted.shape == (4, 12, 2, 64)
        assert made.removed.all()
        loss = masked_error(made).sum() / (2 * made.removed.sum())
        assert 0.5 < loss.item() < 3  # targets have unit variance, predictions are near 0
        whole = network(*given, everything=True)
        torch.testing.assert_close(whole.predicted[:, 4:], made.predicted, rtol=0, atol=1e-6)
        assert whole.removed[0].tolist() == [0] * 4 + [1] * 12
    with pytest.raises(InputError, match="cannot be reconstructed"):
        network(Cut(first, index), Cut(second, torch.full_like(index, 18)), *draws)
