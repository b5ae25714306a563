"""Augmentation of images: each operation against a slow loop over examples, and as a pure function of its arguments."""

import json

import numpy as np
import pytest
import torch

from distil_nlp.augmentation import ImageAugmentation
from distil_nlp.augmentation.counter_rng import beta_quantile, uniform

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


def uniforms(ids, purpose, *, seed=0, epoch=2):
    return uniform(seed, epoch, ids.numpy(), purpose)


# ---- Against a loop over the examples ----


def slow_crop(image, top, left, pixels, padding):
    augmented = torch.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            y, x = row + top - pixels, column + left - pixels
            if padding == "reflect":
                y = abs(y) if y < height else 2 * (height - 1) - y
                x = abs(x) if x < width else 2 * (width - 1) - x
            if 0 <= y < height and 0 <= x < width:
                augmented[:, row, column] = image[:, y, x]
    return augmented


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_a_crop_is_a_window_into_the_padded_image(padding, floats):
    images, labels, ids = make_images(floats=floats)
    augmented, _ = ImageAugmentation(flip=0.0, crop_padding=3, padding=padding)(images, labels, ids, 2)
    tops, lefts = ((uniforms(ids, side) * 7).astype(int) for side in ("top", "left"))
    for place, image in enumerate(images):
        assert torch.equal(augmented[place], slow_crop(image, tops[place], lefts[place], 3, padding))


def test_crop_padding_may_be_a_float_with_an_integer_value():
    images, _, ids = make_images()
    augmented, expected = (ImageAugmentation(crop_padding=pixels)(images, None, ids, 0)[0] for pixels in (2.0, 2))
    assert torch.equal(augmented, expected)


@pytest.mark.parametrize("floats", [False, True])
def test_a_flip_mirrors_whole_images_left_to_right(floats):
    images, labels, ids = make_images(floats=floats)
    augmented, _ = ImageAugmentation(flip=0.5, crop_padding=0)(images, labels, ids, 2)
    flips = uniforms(ids, "flip") < 0.5
    assert 0 < flips.sum() < len(flips)
    for image, new, is_flipped in zip(images, augmented, flips, strict=True):
        assert torch.equal(new, image[:, :, list(range(9, -1, -1))] if is_flipped else image)


@pytest.mark.parametrize("min_scale", [1.0, 0.4])
def test_resized_crop_then_crop_then_flip_is_the_order_of_operations(min_scale):
    images, labels, ids = make_images()
    resized, _ = ImageAugmentation(**OFF, min_scale=min_scale)(images, labels, ids, 2)
    cropped, _ = ImageAugmentation(flip=0.0, crop_padding=3)(resized, labels, ids, 2)
    augmented, _ = ImageAugmentation(flip=0.5, crop_padding=3, min_scale=min_scale)(images, labels, ids, 2)
    is_flipped = torch.from_numpy(uniforms(ids, "flip") < 0.5)[:, None, None, None]
    assert 0 < is_flipped.sum() < len(ids)
    assert torch.equal(augmented, torch.where(is_flipped, cropped.flip(-1), cropped))


def test_a_resized_crop_is_the_bilinear_enlargement_of_its_part():
    images, labels, ids = make_images(height=8, width=8, floats=True)
    augmented, _ = ImageAugmentation(**OFF, min_scale=0.3)(images, labels, ids, 2)
    draws = {name: uniforms(ids, name) for name in ("scale", "ratio", "crop top", "crop left")}
    for place, image in enumerate(images):
        area, ratio = 64 * (0.3 + 0.7 * draws["scale"][place]), 0.75 * (16 / 9) ** draws["ratio"][place]
        tall, wide = min(8, (area * ratio) ** 0.5), min(8, (area / ratio) ** 0.5)
        top, left = draws["crop top"][place] * (8 - tall), draws["crop left"][place] * (8 - wide)
        for row in range(8):
            for column in range(8):
                y, x = (top + (row + 0.5) * tall / 8 - 0.5, left + (column + 0.5) * wide / 8 - 0.5)
                torch.testing.assert_close(augmented[place, :, row, column], bilinear(image, y, x), rtol=0, atol=1e-5)


def bilinear(image, y, x):
    y, x = (min(max(value, 0), 7) for value in (y, x))
    y0, x0 = min(int(y), 6), min(int(x), 6)
    upper = image[:, y0, x0] * (1 - x + x0) + image[:, y0, x0 + 1] * (x - x0)
    lower = image[:, y0 + 1, x0] * (1 - x + x0) + image[:, y0 + 1, x0 + 1] * (x - x0)
    return upper * (1 - y + y0) + lower * (y - y0)


def test_a_resized_crop_of_bytes_is_that_of_floats_rounded():
    images, labels, ids = make_images()
    whole, _ = ImageAugmentation(**OFF, min_scale=0.3)(images, labels, ids, 0)
    exact, _ = ImageAugmentation(**OFF, min_scale=0.3)(images.float() / 255, labels, ids, 0)
    assert whole.dtype == torch.uint8 and (whole - 255 * exact).abs().max() < 0.501


@pytest.mark.parametrize("floats", [False, True])
def test_erasing_fills_one_rectangle_of_the_papers_size_with_noise(floats):
    images, labels, ids = make_images(batch=300, height=20, width=20, floats=floats)
    augmented, _ = ImageAugmentation(**OFF, erasing=0.6)(images, labels, ids, 2)
    chosen = uniforms(ids, "erase") < 0.6
    for image, new, is_chosen in zip(images, augmented, chosen, strict=True):
        changed = (image != new).any(0)
        assert changed.any() == is_chosen
        if is_chosen:
            rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
            box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert box.all() and 0.01 < box.numel() / 400 < 0.45
            assert new.unique().numel() > box.numel() / 4 and (not floats or (new.min() >= 0 and new.max() <= 1))


def test_mixup_adds_each_image_and_the_next_by_their_shares():
    import scipy.stats

    images, labels, ids = make_images()
    augmented, rows = ImageAugmentation(**OFF, mixup=0.7, num_classes=5)(images, labels, ids, 2)
    shares = scipy.stats.beta.ppf(uniforms(ids, "mixed share"), 0.7, 0.7)
    for place, share in enumerate(shares):
        partner = (place + 1) % len(images)
        mixed = (share * images[place].double() + (1 - share) * images[partner].double()) / 255
        torch.testing.assert_close(augmented[place].double(), mixed, rtol=0, atol=1e-5)
        expected = torch.zeros(5)
        expected[labels[place]] += share
        expected[labels[partner]] += 1 - share
        torch.testing.assert_close(rows[place], expected, rtol=0, atol=1e-5)


def test_cutmix_copies_one_rectangle_of_the_next_image_and_its_share_is_the_area():
    images, labels, ids = make_images(batch=200)
    labels = torch.arange(200)
    augmented, rows = ImageAugmentation(**OFF, cutmix=1.0, num_classes=200)(images, labels, ids, 2)
    partners = images.roll(-1, 0)
    assert augmented.dtype == torch.uint8
    for place, (image, partner, new) in enumerate(zip(images, partners, augmented, strict=True)):
        is_partner = (new != image).any(0)
        assert torch.equal(new, torch.where(is_partner, partner, image))
        assert rows[place, (place + 1) % 200] == pytest.approx(is_partner.float().mean().item(), abs=0.02)
        assert rows[place, place] + rows[place, (place + 1) % 200] == pytest.approx(1)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 4.0, 40.0])
def test_shares_follow_the_beta_distribution(alpha):
    import scipy.stats

    parts = np.linspace(0.001, 0.999, 401)
    assert np.abs(beta_quantile(parts, alpha) - scipy.stats.beta.ppf(parts, alpha, alpha)).max() < 1e-5


# ---- A pure function of seed, epoch, example, purpose ----


@pytest.mark.parametrize("name", ALONE)
def test_an_augmented_image_does_not_depend_on_its_batch(name):
    images, labels, ids = make_images(batch=11)
    augmentation = ImageAugmentation(**ALONE[name])
    whole, _ = augmentation(images, labels, ids, 4)
    assert not torch.equal(whole, images)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    shuffled, _ = augmentation(images[order], labels[order], ids[order], 4)
    assert torch.equal(shuffled, whole[order])
    parts = [augmentation(images[part], labels[part], ids[part], 4)[0] for part in (slice(0, 1), slice(1, 11))]
    assert torch.equal(torch.cat(parts), whole)


def test_the_own_share_of_a_mixed_example_depends_on_the_example_only():
    images, labels, ids = make_images(batch=8)
    augmentation = ImageAugmentation(**OFF, mixup=0.4, cutmix=1.0, num_classes=8)
    _, whole = augmentation(images, torch.arange(8), ids, 1)
    _, turned = augmentation(images.flip(0), torch.arange(8).flip(0), ids.flip(0), 1)
    assert torch.equal(whole.diag(), turned.flip(0).diag())


@pytest.mark.parametrize("changed", [dict(epoch=5), dict(seed=9), dict(ids=range(200, 209))])
def test_another_epoch_seed_or_example_gives_another_image(changed):
    images, labels, ids = make_images()
    settings = {**EVERYTHING, "seed": changed.get("seed", 3)}
    before, _ = ImageAugmentation(**EVERYTHING)(images, labels, ids, 4)
    ids = torch.tensor(changed["ids"]) if "ids" in changed else ids
    after, _ = ImageAugmentation(**settings)(images, labels, ids, changed.get("epoch", 4))
    assert (before != after).flatten(1).any(1).float().mean() > 0.7


def test_no_random_state_is_read_or_changed():
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, _ = ImageAugmentation(**EVERYTHING)(*make_images(), 0)
    assert torch.equal(torch.get_rng_state(), states[0]) and (np.random.get_state()[1] == states[1]).all()
    torch.manual_seed(12)
    assert torch.equal(first, ImageAugmentation(**EVERYTHING)(*make_images(), 0)[0])


def test_another_process_gives_the_same_images(forks):
    code = (
        "import json; from tests.augmentation.test_images import *;"
        "images, rows = ImageAugmentation(**EVERYTHING)(*make_images(), 6);"
        "print(json.dumps([images.double().sum().item(), images.flatten()[::97].tolist(), rows.tolist()]))"
    )
    images, rows = ImageAugmentation(**EVERYTHING)(*make_images(), 6)
    other_process = json.loads(forks.run("-c", code))
    assert other_process == [images.double().sum().item(), images.flatten()[::97].tolist(), rows.tolist()]


def test_the_random_numbers_never_change_between_versions():
    # A run may be resumed with a newer version: changed numbers here would change its images.
    ids = np.array([0, 1, 59_999, -1])
    assert uniform(0, 0, ids, "flip").tolist() == FLIPS
    assert uniform(7, 12, ids, "cut column").tolist() == COLUMNS


FLIPS = [0.5123475078242464, 0.1296456182997474, 0.95505827959962, 0.2752818429070656]
COLUMNS = [0.6194135068819312, 0.05966136729187266, 0.44798848543012837, 0.7902371072758161]


# ---- Probabilities ----


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_images_are_flipped_with_the_given_probability(probability):
    images, labels, ids = make_images(batch=4000, channels=1, height=1, width=2)
    images[:, :, :, 0], images[:, :, :, 1] = 0, 1
    augmented, _ = ImageAugmentation(flip=probability, crop_padding=0)(images, labels, ids, 0)
    assert augmented[:, 0, 0, 0].float().mean() == pytest.approx(probability, abs=0.03)


def test_random_numbers_are_uniform_and_uncorrelated_between_purposes_epochs_and_examples():
    import scipy.stats

    ids = np.arange(20_000)
    numbers = [
        uniform(0, 0, ids, "top"),
        uniform(0, 0, ids, "left"),
        uniform(0, 1, ids, "top"),
        uniform(1, 0, ids, "top"),
    ]
    numbers.append(np.roll(numbers[0], 1))
    for sample in numbers:
        assert scipy.stats.kstest(sample, "uniform").statistic < 0.02
    assert np.abs(np.corrcoef(numbers) - np.eye(len(numbers))).max() < 0.03


def test_all_crops_are_about_equally_frequent():
    images, labels, ids = make_images(batch=2000, channels=1, height=3, width=3)
    images[:] = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3) + 1
    augmented, _ = ImageAugmentation(flip=0.0, crop_padding=1)(images, labels, ids, 0)
    kinds, counts = augmented.flatten(1).unique(dim=0, return_counts=True)
    assert len(kinds) == 9 and counts.min() > 2000 / 9 * 0.75


def test_with_mixup_and_cutmix_each_applies_to_half_of_the_examples():
    images, labels, ids = make_images(batch=400)
    augmented, _ = ImageAugmentation(**OFF, mixup=1.0, cutmix=1.0, num_classes=5)(images, labels, ids, 0)
    is_whole = (augmented * 255 - (augmented * 255).round()).abs().flatten(1).amax(1) < 1e-3
    assert is_whole.float().mean() == pytest.approx(0.5, abs=0.08)


# ---- Extremes ----


def test_an_augmentation_with_everything_off_returns_the_same_objects():
    images, labels, ids = make_images()
    augmented, same = ImageAugmentation(**OFF)(images, labels, ids, 3)
    assert augmented is images and same is labels


def test_the_input_images_and_labels_are_not_changed():
    images, labels, ids = make_images(floats=True)
    before = images.clone(), labels.clone()
    ImageAugmentation(**EVERYTHING)(images, labels, ids, 3)
    assert torch.equal(images, before[0]) and torch.equal(labels, before[1])


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("batch", [0, 1])
def test_batches_of_no_image_and_of_one_gray_image_work(batch, floats):
    images, labels, ids = make_images(batch, channels=1, floats=floats)
    augmented, rows = ImageAugmentation(**EVERYTHING)(images, labels, ids, 0)
    assert augmented.shape == images.shape and rows.shape == (batch, 5)
    if batch:  # mixed with itself
        assert rows[0, labels[0]] == pytest.approx(1)


def test_labels_do_not_change_without_mixing():
    images, labels, ids = make_images()
    assert ImageAugmentation(erasing=0.5)(images, labels, ids, 0)[1] is labels
    assert ImageAugmentation(erasing=0.5)(images, None, ids, 0)[1] is None


@pytest.mark.parametrize("mixing", [dict(mixup=0.3), dict(cutmix=1.0)])
def test_class_shares_sum_to_one_and_are_missing_where_a_mixed_label_is_missing(mixing):
    images, labels, ids = make_images(batch=50)
    _, rows = ImageAugmentation(**OFF, **mixing, num_classes=5)(images, labels, ids, 0)
    assert rows.dtype == torch.float32 and (rows.sum(1) - 1).abs().max() < 1e-6
    labels[10] = -100
    _, lacking = ImageAugmentation(**OFF, **mixing, num_classes=5)(images, labels, ids, 0)
    assert (lacking[9:11] == -100).all()
    others = torch.tensor([place for place in range(50) if place not in (9, 10)])
    assert torch.equal(lacking[others], rows[others])


def test_unlabeled_images_can_be_mixed():
    images, _, ids = make_images()
    augmented, labels = ImageAugmentation(mixup=0.3, num_classes=5)(images, None, ids, 0)
    assert labels is None and augmented.shape == images.shape


# ---- Errors ----

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
        ImageAugmentation(**SETTINGS[message])


def test_other_shapes_and_types_of_images_ids_and_labels_are_refused():
    images, labels, ids = make_images()
    with pytest.raises(ValueError, match=r"got torch.uint8 of shape \(3, 12, 10\)"):
        ImageAugmentation()(images[0], labels, ids, 0)
    with pytest.raises(ValueError, match=r"got torch.int64 of shape \(9, 3, 12, 10\)"):
        ImageAugmentation()(images.long(), labels, ids, 0)
    with pytest.raises(ValueError, match=r"got int64 of shape \(8,\) for 9 images"):
        ImageAugmentation()(images, labels, ids[:8], 0)
    with pytest.raises(ValueError, match="got float32"):
        ImageAugmentation()(images, labels, ids.float(), 0)
    with pytest.raises(ValueError, match="one label for each of 9 images; got 8"):
        ImageAugmentation()(images, labels[:8], ids, 0)
    with pytest.raises(ValueError, match="below num_classes=4, .* up to 4"):
        ImageAugmentation(mixup=0.2, num_classes=4)(images, labels, ids, 0)
    with pytest.raises(ValueError, match=r"the 10 pixels of a side .* got crop_padding=10"):
        ImageAugmentation(crop_padding=10, padding="reflect")(images, labels, ids, 0)
