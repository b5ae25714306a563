"""Streams give the same words and outputs as whole waveforms."""

import numpy as np
import pytest
import soundfile
import torch

from distil_nlp.cli.main import main
from distil_nlp.hmm import Decoder, Lexicon, best_paths, word_loop, words_on_path
from distil_nlp.hmm.online import OnlinePath
from distil_nlp.models import NetworkForAudioClassification, NetworkForAudioFrameClassification, NetworkForCTC
from distil_nlp.streaming import FrameStream, KeywordSpotter, Recognizer, stream_waveform
from tests.speech import RATE, WORDS, wave_of

LEXICON = Lexicon.whole_words(WORDS, num_states=3)


def recognizer(network="streamcnn8", **options):
    """A recognizer with random weights that finds many words; the same at every call."""
    torch.manual_seed(2)
    size = LEXICON.num_states
    decoder = Decoder(LEXICON, torch.full((size,), 0.5).log(), torch.zeros(size))
    model = NetworkForAudioFrameClassification.from_network(
        network, sampling_rate=RATE, id2label=LEXICON.state_names, hmm=decoder.to_dict(), **options
    )
    with torch.no_grad():
        model.network.classifier.weight.mul_(20)
    return Recognizer(model)


WAVE = wave_of(["ho", "hi", "he", "hi", "hi", "ho"])


@pytest.mark.parametrize("network", ["streamcnn8", "splicedmlp16"])
@pytest.mark.parametrize("size", [80, 133, 1000, 100_000])
def test_chunks_of_any_size_give_the_words_and_times_of_the_whole_waveform(network, size):
    one = recognizer(network)
    whole = one(WAVE)
    stream, words = one.stream(), []
    for start in range(0, len(WAVE), size):
        words += stream.accept_waveform(WAVE[start : start + size])
    words += stream.end()
    assert words == whole and len(whole) > 3
    assert all(0 <= word.start < word.end <= len(WAVE) / RATE + 0.1 for word in whole)


def test_words_are_returned_before_the_end():
    one, certain = recognizer(), []
    words, stats = stream_waveform(one, WAVE, on_word=lambda word, now: certain.append(now))
    assert words == one(WAVE)
    assert certain == sorted(certain) and certain[0] < len(WAVE) / RATE / 2
    assert stats.seconds == pytest.approx(len(WAVE) / RATE) and 0 < stats.latency_p50 <= stats.latency_p95
    assert stats.delay == pytest.approx(32 + 5 * 10)


@pytest.mark.parametrize("seed", range(5))
def test_the_words_of_an_online_path_are_those_of_the_best_path(seed):
    graph = word_loop(LEXICON, torch.full((LEXICON.num_states,), 0.6).log(), insertion_penalty=-1.0)
    scores = 2 * torch.randn(60, LEXICON.num_states, generator=torch.Generator().manual_seed(seed))
    nodes, _ = best_paths(scores[None], torch.tensor([60]), graph)
    expected = words_on_path(nodes[0].tolist(), graph)
    online, final = OnlinePath(graph), []
    for start in range(0, 60, 7):
        online.accept_scores(scores[start : start + 7])
        so_far = list(online.words())
        assert so_far[: len(final)] == final  # final words do not change
        final = so_far
    assert len(final) < len(expected) and expected[: len(final)] == final
    assert online.end() == expected


def test_a_stream_without_samples_has_no_words():
    stream = recognizer().stream()
    assert stream.accept_waveform(np.zeros(0, dtype=np.float32)) == [] and stream.end() == []


def test_a_model_without_a_decoder_is_rejected():
    model = NetworkForAudioClassification.from_network("streamcnn4", sampling_rate=RATE, num_labels=3)
    with pytest.raises(ValueError, match="no `hmm` in its config.* 3 classes"):
        Recognizer(model)


def test_the_command_prints_the_words_with_their_times(tmp_path, capsys):
    one = recognizer()
    one.model.save_pretrained(tmp_path / "model")
    soundfile.write(tmp_path / "clip.wav", WAVE, RATE, subtype="FLOAT")
    main(["listen", str(tmp_path / "model"), str(tmp_path / "clip.wav")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[5] for line in lines[:-2]] == lines[-2].split() == [word.word for word in one(WAVE)]
    assert "real-time factor" in lines[-1] and "outputs wait for 82 ms" in lines[-1]


def test_a_missing_file_ends_the_command_with_a_message(tmp_path):
    recognizer().model.save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match=r"error: The file \(.*nowhere.wav\) cannot be read as audio"):
        main(["listen", str(tmp_path), str(tmp_path / "nowhere.wav")])


def spotter(network="streamcnn8"):
    torch.manual_seed(3)
    names = dict(enumerate(["left", "right", "stop"]))
    return KeywordSpotter(NetworkForAudioClassification.from_network(network, sampling_rate=RATE, id2label=names))


@pytest.mark.parametrize("network", ["streamcnn8", "splicedmlp16"])
@pytest.mark.parametrize("size", [80, 133, 100_000])
def test_streamed_outputs_equal_those_of_the_whole_waveform(network, size):
    one = spotter(network)
    with torch.inference_mode():
        whole, _ = one.model.network_outputs(torch.from_numpy(WAVE)[None])
        logits = one.model(torch.from_numpy(WAVE)[None]).logits[0]
    frames, stream, answers = FrameStream(one.model), one.stream(), []
    for start in range(0, len(WAVE), size):
        answers.append(frames.accept_waveform(WAVE[start : start + size]))
        assert stream.accept_waveform(WAVE[start : start + size]) == []
    answers = torch.cat([part for part in [*answers, frames.end()] if part is not None])
    assert answers.shape == whole[0].shape and (answers - whole[0]).abs().max() < 1e-5
    assert stream.end() == one(WAVE)
    assert (stream.logits - logits).abs().max() < 1e-5 and logits.std() > 1e-3


def test_the_command_prints_the_class_of_a_clip(tmp_path, capsys):
    one = spotter()
    one.model.save_pretrained(tmp_path / "model")
    soundfile.write(tmp_path / "clip.wav", WAVE, RATE, subtype="FLOAT")
    main(["listen", str(tmp_path / "model"), str(tmp_path / "clip.wav")])
    assert capsys.readouterr().out.splitlines()[-2] == one(WAVE)[0].word


@pytest.mark.parametrize("make", [recognizer, spotter])
@pytest.mark.parametrize(
    ("sound", "complaint"),
    [
        ((32767 * WAVE).astype(np.int16), "got int16 of shape .*divide 16-bit integers by 32768"),
        (np.stack([WAVE, WAVE]), r"got float32 of shape \(2, .*Average channels"),
        (np.where(np.arange(len(WAVE)) == 96, np.nan, WAVE), "1 of .* samples are not finite"),
    ],
    ids=["integers", "two channels", "nan"],
)
def test_an_invalid_waveform_is_rejected_whole_and_in_a_stream(make, sound, complaint):
    one = make()
    for recognize in (one, one.stream().accept_waveform):
        with pytest.raises(ValueError, match=complaint):
            recognize(sound)


@pytest.mark.parametrize("make", [recognizer, spotter])
def test_a_stream_that_has_ended_rejects_samples(make):
    stream = make().stream()
    stream.accept_waveform(WAVE)
    stream.end()
    for call in (stream.end, lambda: stream.accept_waveform(WAVE)):
        with pytest.raises(ValueError, match="This stream has ended"):
            call()


def test_a_clip_without_a_frame_has_no_class():
    stream = spotter().stream()
    assert stream.accept_waveform(WAVE[:10]) == stream.end() == []
    with pytest.raises(ValueError, match="at least one sample .* got 0 samples"):
        stream_waveform(spotter(), WAVE[:0])


def test_a_stream_in_half_precision_gives_the_outputs_of_the_whole_waveform():
    one = spotter()
    one.model.to(torch.bfloat16)
    with torch.inference_mode():
        whole, _ = one.model.network_outputs(torch.from_numpy(WAVE)[None])
    stream = FrameStream(one.model)
    answers = torch.cat([stream.accept_waveform(WAVE), stream.end()])
    assert answers.dtype == torch.float32 and (answers - whole[0]).abs().max() < 0.05 * whole.abs().max()
    assert len(stream_waveform(one, WAVE)[0]) == 1


def test_a_model_without_streams_ends_the_command_with_a_message(tmp_path):
    NetworkForCTC.from_network("streamcnn4", sampling_rate=RATE, num_labels=3).save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match="contains a NetworkForCTC, which cannot process a stream"):
        main(["listen", str(tmp_path), "clip.wav"])
