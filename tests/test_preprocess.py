"""Steps: fused equals step by step, missing pixels never leak, the resize equals scikit-image's."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.transform import resize as skimage_resize

from zoo.errors import InputError, SpecError
from zoo.inputs.preprocess import Preprocess, spline_resize
from zoo.inputs.radiometry import LinearMap
from zoo.inputs.resize import resize_matrix
from zoo.spec import Band, Clip, Decibel, Fill, InputSpec, Kernel, Kind, Normalise, Percentile, Resize, Scale

PARITY = Path(os.environ.get("ZOO_PARITY", "../shared/parity")) / "smarties" / "preprocessing"
OURS = "ours: test"


def an_input(*steps, bands=3, **fields) -> InputSpec:
    ids = tuple(Band(id=f"b{index}", unit="DN") for index in range(bands))
    return InputSpec(name="image", kind=Kind.RASTER, bands=ids, steps=steps, **fields)


def step_by_step(x: np.ndarray, steps) -> np.ndarray:
    """The definitions in `zoo.spec`, in float64, without any fusing. x (B, C, H, W)."""

    def per_band(values):
        return np.array(values)[:, None, None]

    x = x.astype(np.float64)
    for step in steps:
        match step:
            case Scale():
                x = x * step.factor + step.offset
            case Clip():
                x = np.clip(x, step.low, step.high)
            case Decibel():
                x = np.where(x > 0, 10 * np.log10(np.where(x > 0, x, 1)), step.floor_db)
            case Percentile():
                x = np.clip((x - per_band(step.low)) / (per_band(step.high) - per_band(step.low)), 0, 1)
            case Normalise():
                x = (x - per_band(step.mean)) / per_band(step.std)
            case Resize():
                resized = [
                    skimage_resize(np.moveaxis(i, 0, -1), step.size, order=step.order, anti_aliasing=step.antialias)
                    for i in x
                ]
                x = np.moveaxis(np.stack(resized), -1, 1)
    return x


PERCENTILE = Percentile(low=(1.0, 27.0, -30.0), high=(2811.5, 2604.8, 4418.2), source=OURS)
NORMALISE = Normalise(mean=(0.11, 0.15, 0.36), std=(0.14, 0.15, 0.24), source=OURS)
CHAINS = {
    "percentile-normalise": (PERCENTILE, NORMALISE),
    "scale-clip-normalise": (
        Scale(factor=1e-4, offset=-0.1, source=OURS),
        Clip(low=0, high=0.3, source=OURS),
        NORMALISE,
    ),
    "negative factor swaps the bounds": (
        Clip(low=100, high=3000, source=OURS),
        Scale(factor=-0.01, offset=3, source=OURS),
        Clip(low=-20, high=1, source=OURS),
        NORMALISE,
    ),
    "decibel between affine runs": (
        Scale(factor=1e-3, offset=-0.5, source=OURS),
        Decibel(floor_db=-40, source=OURS),
        Percentile(low=(-30, -33, -20), high=(-3, -9, 5), source=OURS),
        NORMALISE,
    ),
    "resize in the middle": (PERCENTILE, Resize(size=(21, 13), source=OURS), NORMALISE),
    "no steps": (),
}


@pytest.mark.parametrize("name", CHAINS)
def test_fused_steps_equal_step_by_step(name):
    pixels = np.random.default_rng(1).integers(0, 6000, (2, 3, 17, 19)).astype(np.uint16)
    ours = Preprocess(an_input(*CHAINS[name]))(torch.from_numpy(pixels), resize=True)
    assert ours.dtype == torch.float32
    reference = step_by_step(pixels, CHAINS[name])
    np.testing.assert_allclose(ours.numpy(), reference, rtol=3e-6, atol=3e-6)  # float32: 6e-8 of the largest term


def test_a_chain_of_affine_steps_is_one_stage():
    chain = (*CHAINS["scale-clip-normalise"], PERCENTILE, NORMALISE)
    kinds = [type(stage).__name__ for stage in Preprocess(an_input(*chain), to_declared=(2.0, 5.0))._windows]
    assert kinds == ["_Affine", "_Fill"]


def test_large_offsets_lose_no_precision():
    """Kelvin with a narrow spread: x * a + b in float32 would be off by 2e-4; (x - centre) * a is not."""
    steps = (Normalise(mean=(300.0,), std=(0.1,), source=OURS),)
    pixels = torch.tensor([300.0, 300.125, 299.5]).reshape(1, 1, 1, 3)
    ours = Preprocess(an_input(*steps, bands=1))(pixels)
    torch.testing.assert_close(ours.flatten(), torch.tensor([0.0, 1.25, -5.0]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int32, torch.float16, torch.float64])
def test_any_real_dtype_and_the_callers_pixels_stay_as_they_are(dtype):
    pixels = torch.arange(2 * 3 * 4).reshape(2, 3, 2, 2).to(dtype)
    before = pixels.clone()
    out = Preprocess(an_input(NORMALISE))(pixels)
    assert torch.equal(pixels, before)
    torch.testing.assert_close(out[0, 1, 0, 0].item(), (4 - 0.15) / 0.15, rtol=1e-6, atol=0)


def test_float32_pixels_are_not_changed_in_place():
    pixels = torch.ones(1, 3, 2, 2)
    Preprocess(an_input(NORMALISE))(pixels)
    assert torch.equal(pixels, torch.ones(1, 3, 2, 2))


# ------------------------------------------------------------------------------------------------------ missing data


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), -3.4028234663852886e38, -9999.0])
def test_missing_pixels_become_zero_after_normalising_and_change_no_other(junk):
    pixels = torch.rand(1, 3, 6, 6) * 3000
    valid = torch.ones(1, 6, 6, dtype=torch.bool)
    valid[0, 2, 3] = False
    clean = Preprocess(an_input(PERCENTILE, NORMALISE))(pixels)
    pixels[:, :, 2, 3] = junk
    out = Preprocess(an_input(PERCENTILE, NORMALISE))(pixels, valid)
    assert (out[:, :, 2, 3] == 0).all()
    assert torch.equal(out[:, :, valid[0]], clean[:, :, valid[0]])


@pytest.mark.parametrize("junk", [float("nan"), float("-inf"), -3.4028234663852886e38])
def test_numbers_that_cannot_be_data_are_missing_even_if_declared_valid(junk):
    pixels = torch.rand(1, 3, 6, 6) * 3000
    pixels[0, 1, 2, 3] = junk
    out = Preprocess(an_input(PERCENTILE, NORMALISE))(pixels)
    assert torch.isfinite(out).all()
    assert out[0, 1, 2, 3] == 0
    assert (out[0, [0, 2], 2, 3] != 0).all()  # the other bands have data there


def test_masks_may_differ_by_band():
    valid = torch.ones(1, 3, 4, 4, dtype=torch.bool)
    valid[0, 2] = False
    out = Preprocess(an_input(NORMALISE))(torch.full((1, 3, 4, 4), 7), valid)
    assert (out[0, 2] == 0).all()
    assert (out[0, :2] != 0).all()


def test_fill_stands_where_it_is_declared():
    pixels, valid = torch.full((1, 3, 2, 2), 0.4), torch.tensor([[[True, False], [True, True]]])
    early = Preprocess(an_input(Fill(value=0.0, source=OURS), NORMALISE))(pixels, valid)
    late = Preprocess(an_input(NORMALISE, Fill(value=-1.5, source=OURS)))(pixels, valid)
    torch.testing.assert_close(early[0, :, 0, 1], torch.tensor([-0.11 / 0.14, -1.0, -1.5]))
    assert (late[0, :, 0, 1] == -1.5).all()


@pytest.mark.parametrize(
    "steps",
    [
        (Resize(size=(9, 9), source=OURS), PERCENTILE, NORMALISE),
        (Resize(size=(9, 9), source=OURS), NORMALISE, Fill(value=-2.0, source=OURS)),
        (Percentile(low=(0, 0, 0), high=(1, 1, 1), source=OURS), Resize(size=(9, 9), source=OURS), NORMALISE),
    ],
)
def test_missing_pixels_are_filled_before_a_resize_smears_them(steps):
    """Where all is missing, the result is the fill value all over, although the resize comes before the last steps."""
    spec = an_input(*steps)
    out = Preprocess(spec)(torch.full((1, 3, 6, 6), torch.nan), resize=True)
    expected = -2.0 if isinstance(steps[-1], Fill) else 0.0
    torch.testing.assert_close(out, torch.full((1, 3, 9, 9), expected), rtol=0, atol=1e-6)
    half = torch.full((1, 3, 6, 6), 0.5)
    half[..., :3] = torch.nan
    assert torch.isfinite(Preprocess(spec)(half, resize=True)).all()


def test_a_fill_value_is_carried_back_through_decibels():
    steps = (Resize(size=(5, 5), source=OURS), Decibel(floor_db=-40, source=OURS), Fill(value=-20.0, source=OURS))
    out = Preprocess(an_input(*steps))(torch.full((1, 3, 3, 3), torch.nan), resize=True)
    torch.testing.assert_close(out, torch.full((1, 3, 5, 5), -20.0), rtol=1e-6, atol=0)


def test_all_missing_and_empty_batches_work():
    preprocess = Preprocess(an_input(PERCENTILE, NORMALISE))
    assert (preprocess(torch.full((2, 3, 4, 4), 9), torch.zeros(2, 4, 4, dtype=torch.bool)) == 0).all()
    assert preprocess(torch.empty(0, 3, 4, 4)).shape == (0, 3, 4, 4)


# ------------------------------------------------------------------------------------------------- declared numbers


def test_the_map_to_declared_numbers_runs_first_with_its_floor():
    pixels = torch.tensor([500, 1000, 3500]).reshape(1, 1, 1, 3).expand(1, 3, 1, 3)
    to_declared = LinearMap(factor=1.0, offset=-1000.0, floor=0.0)
    out = Preprocess(an_input(Scale(factor=1e-4, source=OURS)), to_declared=to_declared)(pixels)
    torch.testing.assert_close(out[0, 0, 0], torch.tensor([0.0, 0.0, 0.25]))


def test_the_map_may_differ_by_band():
    to_declared = LinearMap((1.0, 2.0, 0.5), (0.0, -30.0, -10.0), (float("-inf"), 0.0, float("-inf")))
    out = Preprocess(an_input(), to_declared=to_declared)(torch.full((1, 3, 1, 1), 10))
    assert out.flatten().tolist() == [10.0, 0.0, -5.0]


def test_a_scale_of_zero_is_refused():
    with pytest.raises(InputError, match=r"found the scale 0\.0, expected a number other than 0; give it with --scale"):
        Preprocess(an_input(), to_declared=(0.0, 0.0))


# ------------------------------------------------------------------------------------------------------------ errors


def test_another_number_of_bands_names_those_expected():
    with pytest.raises(InputError, match=r"\(1, 2, 5, 5\).*expected \(batch, 3, height, width\).*b0, b1, b2.*--bands"):
        Preprocess(an_input())(torch.ones(1, 2, 5, 5))


@pytest.mark.parametrize(
    "step",
    [
        Normalise(mean=(0, 0, 0), std=(1, 0, 1), source=OURS),
        Percentile(low=(5, 0, 0), high=(5, 1, 1), source=OURS),
        Scale(factor=0, source=OURS),
    ],
)
def test_steps_that_divide_by_zero_are_the_specs_fault(step):
    with pytest.raises(SpecError, match=type(step).__name__):
        Preprocess(an_input(step))


def test_two_resizes_are_the_specs_fault():
    step = Resize(size=(4, 4), source=OURS)
    with pytest.raises(SpecError, match="two Resize steps"):
        Preprocess(an_input(step, step))


# ------------------------------------------------------------------------------------------------------------ resize


@pytest.mark.parametrize(
    ("size_in", "size_out", "order"),
    [
        ((120, 120), (224, 224), 3),
        ((300, 280), (96, 96), 1),
        ((20, 33), (7, 40), 3),
        ((64, 64), (64, 31), 2),
        ((1, 5), (4, 2), 3),
        ((2, 2), (5, 5), 3),
        ((9, 9), (25, 7), 5),
        ((600, 3), (7, 7), 3),  # more rows than one block of the matrix
    ],
)
@pytest.mark.parametrize("antialias", [True, False])
def test_resize_equals_scikit_image(size_in, size_out, order, antialias):
    images = np.random.default_rng(2).standard_normal((2, 4, *size_in))
    ours = spline_resize(torch.from_numpy(images), size_out, order=order, antialias=antialias)
    for image, resized in zip(images, ours.numpy(), strict=True):
        reference = skimage_resize(np.moveaxis(image, 0, -1), size_out, order=order, anti_aliasing=antialias)
        np.testing.assert_allclose(resized, np.moveaxis(reference, -1, 0), rtol=0, atol=1e-12)
    fast = spline_resize(torch.from_numpy(images).float(), size_out, order=order, antialias=antialias)
    assert fast.dtype == torch.float32
    np.testing.assert_allclose(fast.numpy(), ours.numpy(), rtol=0, atol=1e-5)


def test_the_range_is_that_of_each_image_over_all_its_bands():
    step = np.zeros((2, 2, 8, 8))
    step[0, 0, :, 4:] = 1.0
    step[1] = step[0] * 10
    step[1, 1] = 20.0
    clipped = spline_resize(torch.from_numpy(step), (32, 32))
    free = spline_resize(torch.from_numpy(step), (32, 32), clip=False)
    assert free[0, 0].max() > 1.05  # the cubic overshoots
    assert clipped[0].max() == 1.0
    assert clipped[0].min() == 0.0
    assert clipped[1, 0].max() > 10.5  # the other band reaches 20: the limit is joint


def test_a_batch_is_resized_as_its_images_are():
    images = torch.rand(3, 2, 11, 13, generator=torch.Generator().manual_seed(0))
    together = spline_resize(images, (20, 7))
    for image, resized in zip(images, together, strict=True):
        torch.testing.assert_close(spline_resize(image, (20, 7)), resized, rtol=0, atol=1e-6)


def test_matrices_are_made_once():
    resize_matrix.cache_clear()
    for _ in range(3):
        spline_resize(torch.rand(1, 37, 37), (53, 53))
    assert resize_matrix.cache_info().misses <= 1
    np.testing.assert_allclose(resize_matrix(37, 53, 3, antialias=True).sum(1), 1.0, atol=1e-12)


@pytest.mark.parametrize("kernel", [Kernel.BILINEAR, Kernel.BICUBIC])
@pytest.mark.parametrize("antialias", [True, False])
def test_torchs_kernels(kernel, antialias):
    images = torch.rand(2, 3, 30, 41, generator=torch.Generator().manual_seed(0)) * 9 - 3
    step = Resize(size=(17, 50), kernel=kernel, antialias=antialias, clip=False, source=OURS)
    out = Preprocess(an_input(step))(images, resize=True)
    reference = torch.nn.functional.interpolate(images, (17, 50), mode=kernel.value, antialias=antialias)
    torch.testing.assert_close(out, reference, rtol=0, atol=0)
    clipped = Preprocess(an_input(replace(step, clip=True)))(images, resize=True)
    assert clipped[0].max() <= images[0].max()
    assert clipped[1].min() >= images[1].min()


@pytest.mark.parametrize(("height", "width"), [(60, 90), (91, 60), (60, 60), (33, 200)])
def test_the_shorter_side_is_scaled_and_the_centre_cut(height, width):
    """A ramp along the longer side: the cut holds its middle, at the scale of the shorter side."""
    tall = height > width
    ramp = torch.arange(max(height, width), dtype=torch.float32) - (max(height, width) - 1) / 2
    image = (ramp[:, None] if tall else ramp[None, :]).expand(1, 3, height, width)
    step = Resize(size=(24, 24), shorter=30, order=1, source=OURS)
    out = Preprocess(an_input(step))(image, resize=True)
    assert out.shape == (1, 3, 24, 24)
    profile = out[0, 0, :, 0] if tall else out[0, 0, 0, :]
    assert abs(profile.mean()) <= 0.5 * min(height, width) / 30  # odd spare pixels leave half a pixel
    np.testing.assert_allclose(profile.diff()[5:-5].numpy(), min(height, width) / 30, rtol=0.02)


@pytest.mark.parametrize("kernel", [Kernel.SPLINE, Kernel.BICUBIC])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (24, 24), (96, 50)])
def test_the_mask_is_resized_and_cut_as_the_pixels_are(kernel, height, width):
    """The image says itself where it has data: 1 there, 0 elsewhere."""
    valid = torch.ones(2, height, width, dtype=torch.bool)
    valid[0, : height // 3], valid[1, :, width // 2 :] = False, False
    prepare = Preprocess(an_input(Resize(size=(24, 24), shorter=30, kernel=kernel, source=OURS), bands=1))
    image = prepare(valid[:, None].float(), resize=True)[:, 0]
    mask = prepare.prepared_mask(valid, resize=True)
    assert mask.shape == image.shape
    assert 0.2 < mask.float().mean() < 0.8
    assert mask[image > 0.8].all()
    assert not mask[image < 0.2].any()
    assert prepare.prepared_mask(valid, resize=False) is valid


def test_a_cut_larger_than_the_shorter_side_is_the_specs_fault():
    with pytest.raises(SpecError, match="shorter side of 20 px"):
        Preprocess(an_input(Resize(size=(24, 24), shorter=20, source=OURS)))


# ------------------------------------------------------------------------------------------------------------ parity


@pytest.fixture(scope="module")
def golden():
    if not PARITY.is_dir():
        pytest.skip(f"parity recordings are not at {PARITY}; set ZOO_PARITY")
    from safetensors.numpy import load_file

    return load_file(PARITY / "golden.safetensors"), json.loads((PARITY / "manifest.json").read_text())


RGB_SENSOR = (  # SMARTIES config at gsumbul/SMARTIES@fc0df04: sensor RGB
    Percentile(
        low=(2.25423519463343, 0.8408760022210329, 0.2604600195558861),
        high=(254.8254785655767, 254.8135793768661, 254.85720973547197),
        source="gsumbul/SMARTIES@fc0df04",
    ),
    Normalise(
        mean=(0.39974889159202576, 0.40887942910194397, 0.3851129412651062),
        std=(0.2723924219608307, 0.26291385293006897, 0.2712573707103729),
        source="gsumbul/SMARTIES@fc0df04",
    ),
)
S1_SENSOR = (  # the same, SENTINEL1-GRD
    Percentile(
        low=(-29.519697483502714, -33.421480627395354),
        high=(-3.4569002179548702, -9.905399040164635),
        source="gsumbul/SMARTIES@fc0df04",
    ),
    Normalise(
        mean=(0.6493455171585083, 0.6035320162773132),
        std=(0.19030459225177765, 0.2288305163383484),
        source="gsumbul/SMARTIES@fc0df04",
    ),
)
WHU = (  # the same, evaluation set WHU-RS19
    Percentile(
        low=(3.0555752415767135, 13.163185831810187, 6.690973452598544),
        high=(248.51044250456945, 248.81946905197088, 249.4375221467738),
        source="gsumbul/SMARTIES@fc0df04",
    ),
    Normalise(
        mean=(0.4299933910369873, 0.428328275680542, 0.3949107825756073),
        std=(0.2503267228603363, 0.23467813432216644, 0.23853836953639984),
        source="gsumbul/SMARTIES@fc0df04",
    ),
)


RESISC45 = (  # the same, evaluation set RESISC45
    Percentile(
        low=(9.302753751240079, 15.39449249751984, 11.39449249751984),
        high=(240.5137687562004, 238.42203000992066, 236.33029126364087),
        source="gsumbul/SMARTIES@fc0df04",
    ),
    Normalise(
        mean=(0.3654215335845947, 0.366093248128891, 0.3381563425064087),
        std=(0.2231537103652954, 0.21009083092212677, 0.20738767087459564),
        source="gsumbul/SMARTIES@fc0df04",
    ),
)
UC_MERCED = (  # the same, evaluation set UC-Merced
    Percentile(
        low=(5.498963563859194, 13.11450763095778, 15.76891186580283),
        high=(244.8077720335493, 243.6155440670986, 240.8077720335493),
        source="gsumbul/SMARTIES@fc0df04",
    ),
    RGB_SENSOR[1],
)


@pytest.mark.parametrize(("sensor", "steps"), [("RGB", RGB_SENSOR), ("SENTINEL1-GRD", S1_SENSOR)])
def test_normalisation_equals_the_authors(golden, sensor, steps):
    tensors, _ = golden
    raw = torch.from_numpy(tensors[f"in.sensor_{sensor}.raw"])[None]
    out = Preprocess(an_input(*steps, bands=raw.shape[1]))(raw)[0]
    np.testing.assert_allclose(out.numpy(), tensors[f"out.sensor_{sensor}.image"], rtol=0, atol=2e-6)


def test_resize_of_whole_images_equals_the_authors(golden):
    tensors, _ = golden
    resize = Resize(size=(224, 224), source="gsumbul/SMARTIES@fc0df04")
    dual_pol = torch.from_numpy(tensors["in.ben_s1.raw"])[None]
    out = Preprocess(an_input(*S1_SENSOR, resize, bands=2))(dual_pol, resize=True)[0, :, ::4, ::4]
    np.testing.assert_allclose(out.numpy(), tensors["out.ben_s1.image"], rtol=0, atol=5e-6)
    aerial = torch.from_numpy(tensors["in.whu.raw"])[None]
    linear = replace(resize, size=tuple(tensors["out.whu.image"].shape[-2:]), order=1)
    out = Preprocess(an_input(*WHU, linear))(aerial, resize=True)[0]
    np.testing.assert_allclose(out.numpy(), tensors["out.whu.image"], rtol=0, atol=5e-6)


@pytest.mark.parametrize("dataset", ["resisc45", "ucmerced"])
def test_resize_to_the_shorter_side_equals_the_authors(golden, dataset):
    tensors, _ = golden
    steps = {"resisc45": RESISC45, "ucmerced": UC_MERCED}[dataset]
    cut = Resize(size=(64, 64), shorter=73, source="256 / 224 * 64; gsumbul/SMARTIES@fc0df04")
    aerial = torch.from_numpy(tensors[f"in.{dataset}.raw"])[None]
    out = Preprocess(an_input(*steps, cut))(aerial, resize=True)[0]
    np.testing.assert_allclose(out.numpy(), tensors[f"out.{dataset}.image"], rtol=0, atol=5e-6)


def test_bicubic_resize_of_tensors_equals_ecowikirs():
    case = PARITY.parents[1] / "ecowikirs" / "preprocess_eval"
    if not case.is_dir():
        pytest.skip(f"parity recordings are not at {case}; set ZOO_PARITY")
    from safetensors.numpy import load_file

    tensors, config = load_file(case / "golden.safetensors"), json.loads((case / "manifest.json").read_text())["config"]
    steps = (
        Scale(factor=1 / 255, source=OURS),
        Resize(size=(224, 224), shorter=224, kernel=Kernel.BICUBIC, clip=False, source=OURS),
        Normalise(mean=tuple(config["mean"]), std=tuple(config["std"]), source=OURS),
    )
    stride = config["stored_stride"]
    for index in range(len(config["sizes_wh"])):
        image = torch.from_numpy(tensors[f"in.image_{index}"]).permute(2, 0, 1)[None]
        out = Preprocess(an_input(*steps))(image, resize=True)[0, :, ::stride, ::stride]
        np.testing.assert_allclose(out.numpy(), tensors[f"out.pixel_{index}"], rtol=0, atol=5e-6)


def test_crops_equal_the_authors(golden):
    tensors, manifest = golden
    image = torch.from_numpy(tensors["in.aug.image1"])
    for index, item in enumerate(manifest["config"]["crop"]["items"]):
        top, left, height, width = item["single"]
        crop = image[:, top : top + height, left : left + width].double()
        recorded = tensors[f"out.crop.{index}"]
        np.testing.assert_allclose(spline_resize(crop, recorded.shape[-2:]).numpy(), recorded, rtol=0, atol=1e-6)
