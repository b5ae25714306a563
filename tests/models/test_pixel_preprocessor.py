"""Preprocessing of pixels for a model: size, channels, normalization."""

import numpy as np
import pytest
import torch

from distil_nlp.models.pixel_preprocessor import PixelPreprocessor


def make_images(batch=9, channels=3, height=12, width=10, *, floats=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8, generator=generator)
    return images.float() / 255 if floats else images


@pytest.mark.parametrize("floats", [False, True])
def test_images_of_the_models_size_are_only_normalized(floats):
    images = make_images(floats=floats)
    normalized = PixelPreprocessor(12, 10, 3, (0.49, 0.48, 0.45), (0.2, 0.25, 0.3))(images)
    mean, std = (torch.tensor(values).double().view(3, 1, 1) for values in ((0.49, 0.48, 0.45), (0.2, 0.25, 0.3)))
    reference = (images.double() * (1 if floats else 1 / 255) - mean) / std
    assert normalized.dtype == torch.float32 and (normalized - reference).abs().max() < 1e-6


def test_pixels_are_multiplied_by_the_rescale_factor():
    images = make_images()
    preprocessor = PixelPreprocessor(12, 10, 3, [0.0] * 3, [1.0] * 3, rescale_factor=1 / 128)
    torch.testing.assert_close(preprocessor(images), images / 128)
    torch.testing.assert_close(preprocessor(images / 255), images / 128)


def test_gray_is_repeated_and_colors_become_the_gray_of_pil():
    image = pytest.importorskip("PIL.Image")
    images = make_images(batch=1, height=64, width=64)
    gray = PixelPreprocessor(64, 64, 1, [0.0], [1.0], rescale_factor=1.0)
    pil = np.array(image.fromarray(images[0].permute(1, 2, 0).numpy()).convert("L"))
    assert torch.equal(gray(images)[0, 0], torch.from_numpy(pil).float())
    assert (gray(images / 255)[0, 0] - torch.from_numpy(pil)).abs().max() < 0.51
    again = PixelPreprocessor(64, 64, 3, [0.0] * 3, [1.0] * 3, rescale_factor=1.0)(gray(images).byte())
    assert all(torch.equal(again[0, channel], torch.from_numpy(pil).float()) for channel in range(3))


@pytest.mark.parametrize("size", [(6, 5), (20, 25), (12, 20)])
def test_resized_pixels_are_within_one_level_of_pils_bilinear_resizing(size):
    image = pytest.importorskip("PIL.Image")
    images = make_images(batch=2)
    resized = PixelPreprocessor(*size, 3, [0.0] * 3, [1.0] * 3, rescale_factor=1.0)(images)
    for pixels, original in zip(resized, images, strict=True):
        pil = image.fromarray(original.permute(1, 2, 0).numpy()).resize(size[::-1], image.Resampling.BILINEAR)
        assert (pixels.permute(1, 2, 0) - torch.from_numpy(np.array(pil)).float()).abs().max() <= 1


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_of_an_image_do_not_depend_on_the_other_images(channels, floats):
    images = make_images(batch=7, channels=channels, floats=floats)
    preprocessor = PixelPreprocessor(19, 7, 3, [0.5] * 3, [0.2] * 3)
    assert torch.equal(preprocessor(images), torch.cat([preprocessor(images[:1]), preprocessor(images[1:])]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_all_float_types_are_accepted(dtype):
    images = (make_images() / 255).to(dtype)
    preprocessor = PixelPreprocessor(6, 5, 3, (0.5,) * 3, (0.5,) * 3)
    torch.testing.assert_close(preprocessor(images), preprocessor(images.float()), rtol=0, atol=0)


def test_impossible_sizes_and_statistics_and_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"got \(3, 0, 8\)"):
        PixelPreprocessor(0, 8, 3, [0.5] * 3, [0.5] * 3)
    with pytest.raises(ValueError, match="each of 3 channels, std above 0; got .* std=\\(0.5,\\)"):
        PixelPreprocessor(8, 8, 3, [0.5] * 3, [0.5])
    with pytest.raises(ValueError, match="std above 0; got .* std=\\(0.0,\\)"):
        PixelPreprocessor(8, 8, 1, [0.5], [0.0])
    with pytest.raises(ValueError, match="Images of 4 channels cannot be converted to the 3 of the model"):
        PixelPreprocessor(8, 8, 3, [0.5] * 3, [0.5] * 3)(torch.zeros(1, 4, 8, 8))
