"""Images altered for training: each operation against a slow loop over examples, and a pure function of its names."""

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import torch

from distil_nlp.augmentation import Augmentation, PixelPreprocessor
from distil_nlp.augmentation.random import beta_quantile, uniform
from tests.conftest import ROOT

OFF = dict(flip=0.0, crop_padding=0)
EVERYTHING = dict(flip=0.5, crop_padding=2, min_scale=0.5, erasing=0.5, mixup=0.4, cutmix=1.0, num_classes=5, seed=3)
ALONE = {
    "flip": dict(crop_padding=0),
    "crop": dict(flip=0.0, crop_padding=3),
    "mirrored crop": dict(flip=0.0, crop_padding=3, padding="reflect"),
    "resized crop": dict(OFF, min_scale=0.3),
    "erasing": dict(OFF, erasing=0.7),
    "all but mixing": dict(EVERYTHING, mixup=0.0, cutmix=0.0),
}  # fmt: skip


def make_images(batch=9, channels=3, height=12, width=10, *, floats=False, seed=0):
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8, generator=draw)
    labels = torch.randint(0, 5, (batch,), generator=draw)
    return images.float() / 255 if floats else images, labels, torch.arange(100, 100 + batch)


def drawn(ids, purpose, *, seed=0, epoch=2):
    return uniform(seed, epoch, ids.numpy(), purpose)


# ---- Against a loop over the examples ----


def slow_crop(image, top, left, pixels, padding):
    found = torch.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            y, x = row + top - pixels, column + left - pixels
            if padding == "reflect":
                y = abs(y) if y < height else 2 * (height - 1) - y
                x = abs(x) if x < width else 2 * (width - 1) - x
            if 0 <= y < height and 0 <= x < width:
                found[:, row, column] = image[:, y, x]
    return found


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_a_crop_is_a_window_into_the_padded_image(padding, floats):
    images, labels, ids = make_images(floats=floats)
    found, _ = Augmentation(flip=0.0, crop_padding=3, padding=padding)(images, labels, ids, 2)
    tops, lefts = ((drawn(ids, side) * 7).astype(int) for side in ("top", "left"))
    for place, image in enumerate(images):
        assert torch.equal(found[place], slow_crop(image, tops[place], lefts[place], 3, padding))


def test_a_whole_number_of_pixels_may_be_written_as_a_fraction():
    images, _, ids = make_images()
    found, expected = (Augmentation(crop_padding=pixels)(images, None, ids, 0)[0] for pixels in (2.0, 2))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("floats", [False, True])
def test_a_flip_turns_whole_images_left_to_right(floats):
    images, labels, ids = make_images(floats=floats)
    found, _ = Augmentation(flip=0.5, crop_padding=0)(images, labels, ids, 2)
    flips = drawn(ids, "flip") < 0.5
    assert 0 < flips.sum() < len(flips)
    for image, new, is_flipped in zip(images, found, flips, strict=True):
        assert torch.equal(new, image[:, :, list(range(9, -1, -1))] if is_flipped else image)


@pytest.mark.parametrize("min_scale", [1.0, 0.4])
def test_a_crop_is_one_of_the_resized_crop_and_is_turned_as_a_whole(min_scale):
    images, labels, ids = make_images()
    resized, _ = Augmentation(**OFF, min_scale=min_scale)(images, labels, ids, 2)
    cropped, _ = Augmentation(flip=0.0, crop_padding=3)(resized, labels, ids, 2)
    found, _ = Augmentation(flip=0.5, crop_padding=3, min_scale=min_scale)(images, labels, ids, 2)
    is_flipped = torch.from_numpy(drawn(ids, "flip") < 0.5)[:, None, None, None]
    assert 0 < is_flipped.sum() < len(ids)
    assert torch.equal(found, torch.where(is_flipped, cropped.flip(-1), cropped))


def test_a_resized_crop_is_the_bilinear_enlargement_of_its_part():
    images, labels, ids = make_images(height=8, width=8, floats=True)
    found, _ = Augmentation(**OFF, min_scale=0.3)(images, labels, ids, 2)
    draws = {name: drawn(ids, name) for name in ("scale", "ratio", "crop top", "crop left")}
    for place, image in enumerate(images):
        area, ratio = 64 * (0.3 + 0.7 * draws["scale"][place]), 0.75 * (16 / 9) ** draws["ratio"][place]
        tall, wide = min(8, (area * ratio) ** 0.5), min(8, (area / ratio) ** 0.5)
        top, left = draws["crop top"][place] * (8 - tall), draws["crop left"][place] * (8 - wide)
        for row in range(8):
            for column in range(8):
                y, x = (top + (row + 0.5) * tall / 8 - 0.5, left + (column + 0.5) * wide / 8 - 0.5)
                torch.testing.assert_close(found[place, :, row, column], bilinear(image, y, x), rtol=0, atol=1e-5)


def bilinear(image, y, x):
    y, x = (min(max(value, 0), 7) for value in (y, x))
    y0, x0 = min(int(y), 6), min(int(x), 6)
    upper = image[:, y0, x0] * (1 - x + x0) + image[:, y0, x0 + 1] * (x - x0)
    lower = image[:, y0 + 1, x0] * (1 - x + x0) + image[:, y0 + 1, x0 + 1] * (x - x0)
    return upper * (1 - y + y0) + lower * (y - y0)


def test_a_resized_crop_of_bytes_is_that_of_floats_rounded():
    images, labels, ids = make_images()
    whole, _ = Augmentation(**OFF, min_scale=0.3)(images, labels, ids, 0)
    exact, _ = Augmentation(**OFF, min_scale=0.3)(images.float() / 255, labels, ids, 0)
    assert whole.dtype == torch.uint8 and (whole - 255 * exact).abs().max() < 0.501


@pytest.mark.parametrize("floats", [False, True])
def test_erasing_puts_noise_into_one_rectangle_of_the_paper_s_size_and_nowhere_else(floats):
    images, labels, ids = make_images(batch=300, height=20, width=20, floats=floats)
    found, _ = Augmentation(**OFF, erasing=0.6)(images, labels, ids, 2)
    chosen = drawn(ids, "erase") < 0.6
    for image, new, is_chosen in zip(images, found, chosen, strict=True):
        changed = (image != new).any(0)
        assert changed.any() == is_chosen
        if is_chosen:
            rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
            box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert box.all() and 0.01 < box.numel() / 400 < 0.45
            assert new.unique().numel() > box.numel() / 4 and (not floats or (new.min() >= 0 and new.max() <= 1))


def test_mixup_adds_each_image_and_its_neighbor_by_their_shares():
    images, labels, ids = make_images()
    found, rows = Augmentation(**OFF, mixup=0.7, num_classes=5)(images, labels, ids, 2)
    shares = scipy.stats.beta.ppf(drawn(ids, "mixed share"), 0.7, 0.7)
    for place, share in enumerate(shares):
        partner = (place + 1) % len(images)
        mixed = (share * images[place].double() + (1 - share) * images[partner].double()) / 255
        torch.testing.assert_close(found[place].double(), mixed, rtol=0, atol=1e-5)
        expected = torch.zeros(5)
        expected[labels[place]] += share
        expected[labels[partner]] += 1 - share
        torch.testing.assert_close(rows[place], expected, rtol=0, atol=1e-5)


def test_cutmix_takes_one_rectangle_of_the_neighbor_and_counts_its_pixels():
    images, labels, ids = make_images(batch=200)
    labels = torch.arange(200)
    found, rows = Augmentation(**OFF, cutmix=1.0, num_classes=200)(images, labels, ids, 2)
    partners = images.roll(-1, 0)
    assert found.dtype == torch.uint8
    for place, (image, partner, new) in enumerate(zip(images, partners, found, strict=True)):
        is_partner = (new != image).any(0)
        assert torch.equal(new, torch.where(is_partner, partner, image))
        assert rows[place, (place + 1) % 200] == pytest.approx(is_partner.float().mean().item(), abs=0.02)
        assert rows[place, place] + rows[place, (place + 1) % 200] == pytest.approx(1)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 4.0, 40.0])
def test_shares_follow_the_beta_distribution(alpha):
    parts = np.linspace(0.001, 0.999, 401)
    assert np.abs(beta_quantile(parts, alpha) - scipy.stats.beta.ppf(parts, alpha, alpha)).max() < 1e-5


# ---- A pure function of seed, epoch, example, purpose ----


@pytest.mark.parametrize("name", ALONE)
def test_a_view_does_not_depend_on_the_batch_it_is_made_in(name):
    images, labels, ids = make_images(batch=11)
    augmentation = Augmentation(**ALONE[name])
    whole, _ = augmentation(images, labels, ids, 4)
    assert not torch.equal(whole, images)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    shuffled, _ = augmentation(images[order], labels[order], ids[order], 4)
    assert torch.equal(shuffled, whole[order])
    parts = [augmentation(images[part], labels[part], ids[part], 4)[0] for part in (slice(0, 1), slice(1, 11))]
    assert torch.equal(torch.cat(parts), whole)


def test_what_an_example_keeps_of_itself_depends_on_itself_alone():
    images, labels, ids = make_images(batch=8)
    augmentation = Augmentation(**OFF, mixup=0.4, cutmix=1.0, num_classes=8)
    _, whole = augmentation(images, torch.arange(8), ids, 1)
    _, turned = augmentation(images.flip(0), torch.arange(8).flip(0), ids.flip(0), 1)
    assert torch.equal(whole.diag(), turned.flip(0).diag())


@pytest.mark.parametrize("changed", [dict(epoch=5), dict(seed=9), dict(ids=range(200, 209))])
def test_another_epoch_seed_or_example_is_another_view(changed):
    images, labels, ids = make_images()
    settings = {**EVERYTHING, "seed": changed.get("seed", 3)}
    before, _ = Augmentation(**EVERYTHING)(images, labels, ids, 4)
    ids = torch.tensor(changed["ids"]) if "ids" in changed else ids
    after, _ = Augmentation(**settings)(images, labels, ids, changed.get("epoch", 4))
    assert (before != after).flatten(1).any(1).float().mean() > 0.7


def test_no_random_state_is_read_or_moved():
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, _ = Augmentation(**EVERYTHING)(*make_images(), 0)
    assert torch.equal(torch.get_rng_state(), states[0]) and (np.random.get_state()[1] == states[1]).all()
    torch.manual_seed(12)
    assert torch.equal(first, Augmentation(**EVERYTHING)(*make_images(), 0)[0])


def test_another_process_makes_the_same_views():
    code = (
        "import json; from tests.augmentation.test_images import *;"
        "images, rows = Augmentation(**EVERYTHING)(*make_images(), 6);"
        "print(json.dumps([images.double().sum().item(), images.flatten()[::97].tolist(), rows.tolist()]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    images, rows = Augmentation(**EVERYTHING)(*make_images(), 6)
    theirs = json.loads(done.stdout)
    assert theirs == [images.double().sum().item(), images.flatten()[::97].tolist(), rows.tolist()]


def test_the_draws_are_those_of_every_later_version():
    # A resumed run may meet a newer version: changed numbers here mean changed views there.
    ids = np.array([0, 1, 59_999, -1])
    assert uniform(0, 0, ids, "flip").tolist() == FLIPS
    assert uniform(7, 12, ids, "cut column").tolist() == COLUMNS


FLIPS = [0.5123475078242464, 0.1296456182997474, 0.95505827959962, 0.2752818429070656]
COLUMNS = [0.6194135068819312, 0.05966136729187266, 0.44798848543012837, 0.7902371072758161]


# ---- Probabilities ----


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_a_flip_happens_as_often_as_it_should(probability):
    images, labels, ids = make_images(batch=4000, channels=1, height=1, width=2)
    images[:, :, :, 0], images[:, :, :, 1] = 0, 1
    found, _ = Augmentation(flip=probability, crop_padding=0)(images, labels, ids, 0)
    assert found[:, 0, 0, 0].float().mean() == pytest.approx(probability, abs=0.03)


def test_draws_are_uniform_and_those_for_different_purposes_epochs_and_examples_have_nothing_to_do_with_each_other():
    ids = np.arange(20_000)
    drawn = [
        uniform(0, 0, ids, "top"),
        uniform(0, 0, ids, "left"),
        uniform(0, 1, ids, "top"),
        uniform(1, 0, ids, "top"),
    ]
    drawn.append(np.roll(drawn[0], 1))
    for one in drawn:
        assert scipy.stats.kstest(one, "uniform").statistic < 0.02
    assert np.abs(np.corrcoef(drawn) - np.eye(len(drawn))).max() < 0.03


def test_crops_come_from_everywhere():
    images, labels, ids = make_images(batch=2000, channels=1, height=3, width=3)
    images[:] = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3) + 1
    found, _ = Augmentation(flip=0.0, crop_padding=1)(images, labels, ids, 0)
    kinds, counts = found.flatten(1).unique(dim=0, return_counts=True)
    assert len(kinds) == 9 and counts.min() > 2000 / 9 * 0.75


def test_with_mixup_and_cutmix_half_of_the_examples_have_either():
    images, labels, ids = make_images(batch=400)
    found, _ = Augmentation(**OFF, mixup=1.0, cutmix=1.0, num_classes=5)(images, labels, ids, 0)
    is_whole = (found * 255 - (found * 255).round()).abs().flatten(1).amax(1) < 1e-3
    assert is_whole.float().mean() == pytest.approx(0.5, abs=0.08)


# ---- Extremes ----


def test_nothing_to_do_touches_no_bit():
    images, labels, ids = make_images()
    found, same = Augmentation(**OFF)(images, labels, ids, 3)
    assert found is images and same is labels


def test_the_images_given_are_left_as_they_were():
    images, labels, ids = make_images(floats=True)
    before = images.clone(), labels.clone()
    Augmentation(**EVERYTHING)(images, labels, ids, 3)
    assert torch.equal(images, before[0]) and torch.equal(labels, before[1])


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("batch", [0, 1])
def test_a_batch_of_none_or_one_gray_image_will_do(batch, floats):
    images, labels, ids = make_images(batch, channels=1, floats=floats)
    found, rows = Augmentation(**EVERYTHING)(images, labels, ids, 0)
    assert found.shape == images.shape and rows.shape == (batch, 5)
    if batch:  # mixed with itself
        assert rows[0, labels[0]] == pytest.approx(1)


def test_labels_stay_as_they_are_where_nothing_is_mixed():
    images, labels, ids = make_images()
    assert Augmentation(erasing=0.5)(images, labels, ids, 0)[1] is labels
    assert Augmentation(erasing=0.5)(images, None, ids, 0)[1] is None


@pytest.mark.parametrize("mixing", [dict(mixup=0.3), dict(cutmix=1.0)])
def test_rows_of_labels_sum_to_one_and_a_missing_label_makes_a_missing_row_of_what_it_has_a_share_in(mixing):
    images, labels, ids = make_images(batch=50)
    _, rows = Augmentation(**OFF, **mixing, num_classes=5)(images, labels, ids, 0)
    assert rows.dtype == torch.float32 and (rows.sum(1) - 1).abs().max() < 1e-6
    labels[10] = -100
    _, lacking = Augmentation(**OFF, **mixing, num_classes=5)(images, labels, ids, 0)
    assert (lacking[9:11] == -100).all()
    others = torch.tensor([place for place in range(50) if place not in (9, 10)])
    assert torch.equal(lacking[others], rows[others])


def test_unlabeled_images_can_be_mixed():
    images, _, ids = make_images()
    found, labels = Augmentation(mixup=0.3, num_classes=5)(images, None, ids, 0)
    assert labels is None and found.shape == images.shape


# ---- What is refused ----

SETTINGS = {
    "flip is a probability, 0 to 1; got 1.5": dict(flip=1.5),
    "erasing is a probability, 0 to 1; got -0.1": dict(erasing=-0.1),
    "min_scale is a share .* got 0.0": dict(min_scale=0.0),
    "crop_padding is a number of pixels, 0 or more; got -1": dict(crop_padding=-1),
    "crop_padding is a number of pixels, 0 or more; got 1.5": dict(crop_padding=1.5),
    "crop_padding is a number of pixels, 0 or more; got nan": dict(crop_padding=float("nan")),
    "crop_padding is a number; got None": dict(crop_padding=None),
    "flip is a number; got 'half'": dict(flip="half"),
    "seed is a number; got '0'": dict(seed="0"),
    "padding must be one of zero, reflect; got 'edge'": dict(padding="edge"),
    "mixup is the alpha of a Beta distribution, 0 or more; got -1": dict(mixup=-1),
    "cutmix is the alpha of a Beta distribution, 0 or more; got nan": dict(cutmix=float("nan")),
    "With mixup=0.2 and cutmix=0.0 .* num_classes=None": dict(mixup=0.2),
}


@pytest.mark.parametrize("message", SETTINGS)
def test_a_setting_out_of_its_range_is_refused(message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**SETTINGS[message])


def test_what_are_no_images_ids_or_labels_is_refused():
    images, labels, ids = make_images()
    with pytest.raises(ValueError, match=r"got torch.uint8 of shape \(3, 12, 10\)"):
        Augmentation()(images[0], labels, ids, 0)
    with pytest.raises(ValueError, match=r"got torch.int64 of shape \(9, 3, 12, 10\)"):
        Augmentation()(images.long(), labels, ids, 0)
    with pytest.raises(ValueError, match=r"got int64 of shape \(8,\) for 9 images"):
        Augmentation()(images, labels, ids[:8], 0)
    with pytest.raises(ValueError, match="got float32"):
        Augmentation()(images, labels, ids.float(), 0)
    with pytest.raises(ValueError, match="a label for each of 9 images; got 8"):
        Augmentation()(images, labels[:8], ids, 0)
    with pytest.raises(ValueError, match="below num_classes=4, .* up to 4"):
        Augmentation(mixup=0.2, num_classes=4)(images, labels, ids, 0)
    with pytest.raises(ValueError, match=r"10 pixels of a side, mirrored .* got crop_padding=10"):
        Augmentation(crop_padding=10, padding="reflect")(images, labels, ids, 0)


# ---- What a model sees ----


@pytest.mark.parametrize("floats", [False, True])
def test_without_another_size_a_model_sees_the_normalized_pixels(floats):
    images, *_ = make_images(floats=floats)
    seen = PixelPreprocessor(12, 10, 3, (0.49, 0.48, 0.45), (0.2, 0.25, 0.3))(images)
    mean, std = (torch.tensor(values).double().view(3, 1, 1) for values in ((0.49, 0.48, 0.45), (0.2, 0.25, 0.3)))
    reference = (images.double() * (1 if floats else 1 / 255) - mean) / std
    assert seen.dtype == torch.float32 and (seen - reference).abs().max() < 1e-6


def test_pixels_are_rescaled_by_the_factor_of_the_model():
    images, *_ = make_images()
    sees = PixelPreprocessor(12, 10, 3, [0.0] * 3, [1.0] * 3, rescale_factor=1 / 128)
    torch.testing.assert_close(sees(images), images / 128)
    torch.testing.assert_close(sees(images / 255), images / 128)


def test_gray_is_repeated_and_colors_become_the_gray_of_pil():
    image = pytest.importorskip("PIL.Image")
    images, *_ = make_images(batch=1, height=64, width=64)
    gray = PixelPreprocessor(64, 64, 1, [0.0], [1.0], rescale_factor=1.0)
    pil = np.array(image.fromarray(images[0].permute(1, 2, 0).numpy()).convert("L"))
    assert torch.equal(gray(images)[0, 0], torch.from_numpy(pil).float())
    assert (gray(images / 255)[0, 0] - torch.from_numpy(pil)).abs().max() < 0.51
    again = PixelPreprocessor(64, 64, 3, [0.0] * 3, [1.0] * 3, rescale_factor=1.0)(gray(images).byte())
    assert all(torch.equal(again[0, channel], torch.from_numpy(pil).float()) for channel in range(3))


@pytest.mark.parametrize("size", [(6, 5), (20, 25), (12, 20)])
def test_another_size_is_within_one_level_of_pil_s_bilinear_one(size):
    image = pytest.importorskip("PIL.Image")
    images, *_ = make_images(batch=2)
    seen = PixelPreprocessor(*size, 3, [0.0] * 3, [1.0] * 3, rescale_factor=1.0)(images)
    for ours, one in zip(seen, images, strict=True):
        pil = image.fromarray(one.permute(1, 2, 0).numpy()).resize(size[::-1], image.Resampling.BILINEAR)
        assert (ours.permute(1, 2, 0) - torch.from_numpy(np.array(pil)).float()).abs().max() <= 1


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_model_sees_of_an_image_does_not_depend_on_the_others(channels, floats):
    images, *_ = make_images(batch=7, channels=channels, floats=floats)
    sees = PixelPreprocessor(19, 7, 3, [0.5] * 3, [0.2] * 3)
    assert torch.equal(sees(images), torch.cat([sees(images[:1]), sees(images[1:])]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_kind_are_seen(dtype):
    images = (make_images()[0] / 255).to(dtype)
    sees = PixelPreprocessor(6, 5, 3, (0.5,) * 3, (0.5,) * 3)
    torch.testing.assert_close(sees(images), sees(images.float()), rtol=0, atol=0)


def test_what_no_model_can_see_is_refused():
    with pytest.raises(ValueError, match=r"got \(3, 0, 8\)"):
        PixelPreprocessor(0, 8, 3, [0.5] * 3, [0.5] * 3)
    with pytest.raises(ValueError, match="each of 3 channels, std above 0; got .* std=\\(0.5,\\)"):
        PixelPreprocessor(8, 8, 3, [0.5] * 3, [0.5])
    with pytest.raises(ValueError, match="std above 0; got .* std=\\(0.0,\\)"):
        PixelPreprocessor(8, 8, 1, [0.5], [0.0])
    with pytest.raises(ValueError, match="Images of 4 channels cannot be shown to a model that reads 3"):
        PixelPreprocessor(8, 8, 3, [0.5] * 3, [0.5] * 3)(torch.zeros(1, 4, 8, 8))
