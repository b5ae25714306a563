"""The log-mel front end, audio networks for clips and frames, and the same logits on a stream."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForAudioFrameClassification,
    pipeline,
)

from distil_nlp.models import (
    LogMel,
    NetworkForAudioClassification,
    NetworkForAudioFrameClassification,
    feature_extractor_for,
    register_network,
)

RATE = 8000


@register_network
class OnceAClip(nn.Module):
    """Returns logits per clip instead of per frame; takes the mask of valid frames."""

    def __init__(self, num_labels=2, num_mels=40):
        super().__init__()
        self.linear = nn.Linear(num_mels, num_labels)

    def forward(self, features, mask):
        return self.linear(features.sum(1) / mask.sum(1, keepdim=True))


def waves(*lengths, seed=0):
    """Noise of so many samples, padded at the end, and where it is."""
    noise = 0.1 * torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return noise * mask, mask.long()


def classifier(network="streamcnn8", **settings):
    torch.manual_seed(0)
    return NetworkForAudioClassification.from_network(network, sampling_rate=RATE, num_labels=3, **settings).eval()


def test_a_frame_equals_its_formula():
    front_end = LogMel(RATE, num_mels=20)
    (wave,), _ = waves(1000)
    features, heard = front_end(wave[None])
    start = 3 * front_end.hop_length
    windowed = (
        wave[start : start + front_end.frame_length].double() * torch.hann_window(front_end.frame_length).double()
    )
    power = torch.from_numpy(np.abs(np.fft.rfft(windowed.numpy())) ** 2)
    expected = ((power @ front_end.filters.double() + 1e-6).log() + 5) / 4
    torch.testing.assert_close(features[0, 3].double(), expected, rtol=0, atol=1e-5)
    assert features.shape == (1, front_end.num_frames(1000), 20) and heard.all()


def test_the_frames_of_a_clip_do_not_depend_on_its_padding():
    front_end = LogMel(RATE)
    padded, mask = waves(1000, 2000)
    features, heard = front_end(padded, mask)
    alone, _ = front_end(padded[:1, :1000])
    assert heard.sum(1).tolist() == [front_end.num_frames(1000), front_end.num_frames(2000)]
    torch.testing.assert_close(features[0, : alone.shape[1]], alone[0])
    assert features[0, alone.shape[1] :].abs().max() == 0


def test_autocast_does_not_change_the_spectrum():
    front_end, (clips, _) = LogMel(RATE), waves(1000)
    expected, _ = front_end(clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(front_end(clips)[0], expected)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"num_mels": 128}, "bands contain no frequency.*129 of them"), ({"hop": 1e-5}, "at least one sample")],
)
def test_a_front_end_with_empty_bands_or_no_hop_is_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        LogMel(RATE, **settings)


def test_a_clip_shorter_than_a_frame_is_refused():
    with pytest.raises(ValueError, match=r"256 samples of a frame \(0.032 s at 8000 Hz\); got \(1, 255\)"):
        classifier()(waves(255)[0])


@pytest.mark.parametrize("network", ["streamcnn8", OnceAClip])
def test_the_logits_of_a_clip_do_not_depend_on_the_other_clips_of_its_batch(network):
    model = classifier(network)
    clips, mask = waves(1000, 2000, 1500)
    together = model(clips, attention_mask=mask).logits
    alone = [model(clip[:length][None]).logits[0] for clip, length in zip(clips, (1000, 2000, 1500), strict=True)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=0, atol=1e-6)


def test_streamed_logits_equal_those_of_the_whole_clip():
    model = classifier("streamcnn8", lookahead=3)
    features, _ = model.front_end(waves(4000, 4000)[0])
    whole = model.network(features)
    features = torch.cat([features, features.new_zeros(2, 3, features.shape[2])], dim=1)
    for size in (1, 4, 100):
        past, heard = None, []
        for part in features.split(size, dim=1):
            answers, past = model.network.step(part, past)
            heard.append(answers)
        torch.testing.assert_close(torch.cat(heard, dim=1)[:, 3:], whole, rtol=0, atol=1e-5)


def test_a_logit_depends_on_its_lookahead_and_no_later_frame():
    model = classifier("streamcnn8", lookahead=3)
    features = torch.randn(1, 30, 40, requires_grad=True)
    model.network(features)[0, 10].sum().backward()
    seen = features.grad[0].abs().sum(-1).nonzero().flatten()
    assert seen.max() == 13


@pytest.mark.parametrize(
    ("made_by", "auto_class"),
    [
        (NetworkForAudioClassification, AutoModelForAudioClassification),
        (NetworkForAudioFrameClassification, AutoModelForAudioFrameClassification),
    ],
)
def test_a_saved_model_has_the_same_logits_after_loading(made_by, auto_class, tmp_path):
    torch.manual_seed(0)
    model = made_by.from_network("streamcnn8", sampling_rate=RATE, num_labels=3).eval()
    model.save_pretrained(tmp_path)
    loaded = auto_class.from_pretrained(tmp_path)
    clips, mask = waves(1000, 2000)
    assert type(loaded) is made_by and torch.equal(loaded.front_end.filters, model.front_end.filters)
    assert torch.equal(loaded(clips, attention_mask=mask).logits, model(clips, attention_mask=mask).logits)


def test_a_pipeline_gives_the_scores_of_the_model(tmp_path):
    model = classifier()
    model.save_pretrained(tmp_path)
    feature_extractor_for(RATE).save_pretrained(tmp_path)
    assert AutoFeatureExtractor.from_pretrained(tmp_path).sampling_rate == RATE
    clip = waves(3000)[0]
    said = pipeline("audio-classification", str(tmp_path), device="cpu")(clip[0].numpy())
    expected = model(clip).logits.softmax(-1)[0].tolist()
    assert sorted(one["score"] for one in said) == pytest.approx(sorted(expected), abs=1e-6)


def test_logits_of_another_shape_are_refused_when_the_model_is_built():
    with pytest.raises(
        ValueError, match=r"OnceAClip should return logits of shape \(2, 7, 3\) for 2 clips of 7 frames.*got \(2, 3\)"
    ):
        NetworkForAudioFrameClassification.from_network(OnceAClip, sampling_rate=RATE, num_labels=3)


def test_the_name_of_a_built_in_network_cannot_be_registered():
    with pytest.raises(ValueError, match="'streamcnn' belongs to"):
        register_network(OnceAClip, name="streamcnn")
