"""Augmentation of audio: each operation, and that it depends on seed, epoch and example only."""

import pytest
import torch

from distil_nlp.augmentation import AudioAugmentation

RATE = 8000
ALL = {"shift": 0.05, "noise": 0.7, "time_mask": 0.3, "frequency_mask": 0.3}


def clips(*lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(lengths)
    waves = 0.1 * torch.randn(len(lengths), int(lengths.max()), generator=generator)
    return waves * (torch.arange(waves.shape[1]) < lengths.unsqueeze(1)), lengths


def only(**settings):
    return AudioAugmentation(**{"shift": 0.0, "noise": 0.0, **settings})


@pytest.mark.parametrize("settings", [{name: value} for name, value in ALL.items()] + [ALL], ids=[*ALL, "all"])
def test_an_augmented_clip_depends_only_on_the_clip_its_id_the_epoch_and_the_seed(settings):
    augmentation, (waves, lengths) = only(**settings), clips(900, 2000, 1400, 3000)
    ids = torch.tensor([7, 3, 12, 5])
    batched = augmentation(waves, lengths, ids, 2, RATE)
    for place, length in enumerate(lengths.tolist()):
        alone = augmentation(
            waves[place : place + 1, :length], lengths[place : place + 1], ids[place : place + 1], 2, RATE
        )
        torch.testing.assert_close(batched[place, :length], alone[0], rtol=0, atol=1e-7)
        assert batched[place, length:].abs().sum() == 0
    assert torch.equal(augmentation(waves, lengths, ids, 2, RATE), batched)
    assert not torch.equal(augmentation(waves, lengths, ids, 3, RATE), batched)
    other = AudioAugmentation(**{"shift": 0.0, "noise": 0.0, **settings}, seed=1)
    assert not torch.equal(other(waves, lengths, ids, 2, RATE), batched)


def test_a_shift_moves_a_clip_and_leaves_silence():
    waves, lengths = torch.zeros(200, 2000), torch.full((200,), 2000)
    waves[:, 1000] = 1.0
    augmented = only(shift=0.05)(waves, lengths, torch.arange(200), 0, RATE)
    places = augmented.argmax(1) - 1000
    assert (augmented.sum(1) == 1).all()
    assert -400 <= places.min() < -300 and 300 < places.max() <= 400


def test_noise_has_the_documented_level_and_probability():
    waves, lengths = clips(*[4000] * 300)
    noise = only(noise=0.5)(waves, lengths, torch.arange(300), 0, RATE) - waves
    has = noise.abs().sum(1) > 0
    assert 0.4 < has.float().mean() < 0.6
    decibels = 10 * (waves[has].square().mean(1) / noise[has].square().mean(1)).log10()
    assert 4.5 < decibels.min() < 8 and 27 < decibels.max() < 30.5


def test_the_time_mask_is_no_longer_than_its_share():
    waves, lengths = torch.ones(200, 2000), torch.full((200,), 2000)
    silent = (only(time_mask=0.3)(waves, lengths, torch.arange(200), 0, RATE) == 0).sum(1)
    assert silent.max() <= 601 and silent.float().mean() > 200


def test_the_frequency_mask_removes_a_band_and_keeps_the_rest():
    waves, lengths = clips(*[4000] * 50)
    augmented = only(frequency_mask=0.3)(waves, lengths, torch.arange(50), 0, RATE)
    before, after = torch.fft.rfft(waves).abs(), torch.fft.rfft(augmented).abs()
    gone = after < 1e-3 * before
    assert (gone | ((after - before).abs() < 1e-3 * before + 1e-4)).all()
    assert 0.02 < gone.float().mean() < 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shift": -0.1}, "shift is a number of seconds"),
        ({"noise": 1.5}, "noise is a probability"),
        ({"time_mask": 1.0}, "time_mask is a share"),
        ({"frequency_mask": -0.1}, "frequency_mask is a share"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AudioAugmentation(**settings)
