"""What is heard piece by piece is what is heard of the whole recording."""

import numpy as np
import pytest
import soundfile
import torch

from distil_nlp.cli.main import main
from distil_nlp.hmm import Decoder, Lexicon, best_paths, word_loop, words_on
from distil_nlp.hmm.online import OnlinePath
from distil_nlp.models import NetworkForAudioClassification, NetworkForAudioFrameClassification, NetworkForCTC
from distil_nlp.streaming import FrameStream, KeywordSpotter, Recognizer
from distil_nlp.streaming.live import hear_live
from tests.speech import RATE, WORDS, wave_of

LEXICON = Lexicon.whole_words(WORDS, num_states=3)


def recognizer(network="streamcnn8", **options):
    """One that says much and means nothing; the same at every call."""
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
def test_pieces_of_any_size_give_the_words_and_the_times_of_the_whole(network, size):
    one = recognizer(network)
    whole = one(WAVE)
    stream, heard = one.stream(), []
    for start in range(0, len(WAVE), size):
        heard += stream.accept_waveform(WAVE[start : start + size])
    heard += stream.end()
    assert heard == whole and len(whole) > 3
    assert all(0 <= word.start < word.end <= len(WAVE) / RATE + 0.1 for word in whole)


def test_words_are_said_before_the_end():
    one, certain = recognizer(), []
    words, pace = hear_live(one, WAVE, say=lambda word, now: certain.append(now))
    assert words == one(WAVE)
    assert certain == sorted(certain) and certain[0] < len(WAVE) / RATE / 2
    assert pace.seconds == pytest.approx(len(WAVE) / RATE) and 0 < pace.latency_p50 <= pace.latency_p95
    assert pace.delay == pytest.approx(32 + 5 * 10)


@pytest.mark.parametrize("seed", range(5))
def test_a_path_found_on_the_way_is_the_best_path(seed):
    graph = word_loop(LEXICON, torch.full((LEXICON.num_states,), 0.6).log(), insertion_penalty=-1.0)
    scores = 2 * torch.randn(60, LEXICON.num_states, generator=torch.Generator().manual_seed(seed))
    nodes, _ = best_paths(scores[None], torch.tensor([60]), graph)
    expected = words_on(nodes[0].tolist(), graph)
    online, said = OnlinePath(graph), []
    for start in range(0, 60, 7):
        online.take(scores[start : start + 7])
        so_far = list(online.words())
        assert so_far[: len(said)] == said  # what was certain stays
        said = so_far
    assert len(said) < len(expected) and expected[: len(said)] == said
    assert online.end() == expected


def test_nothing_heard_is_no_word():
    stream = recognizer().stream()
    assert stream.accept_waveform(np.zeros(0, dtype=np.float32)) == [] and stream.end() == []


def test_a_model_that_knows_no_words_is_refused():
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
    assert "real-time factor" in lines[-1] and "answers wait for 82 ms" in lines[-1]


def test_a_file_that_is_not_there_ends_the_command_with_a_message(tmp_path):
    recognizer().model.save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match=r"error: The file \(.*nowhere.wav\) holds no sound that can be read"):
        main(["listen", str(tmp_path), str(tmp_path / "nowhere.wav")])


def spotter(network="streamcnn8"):
    torch.manual_seed(3)
    names = dict(enumerate(["left", "right", "stop"]))
    return KeywordSpotter(NetworkForAudioClassification.from_network(network, sampling_rate=RATE, id2label=names))


@pytest.mark.parametrize("network", ["streamcnn8", "splicedmlp16"])
@pytest.mark.parametrize("size", [80, 133, 100_000])
def test_the_answers_to_frames_and_to_the_clip_are_those_of_the_whole(network, size):
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


def test_the_command_names_the_class_of_a_clip(tmp_path, capsys):
    one = spotter()
    one.model.save_pretrained(tmp_path / "model")
    soundfile.write(tmp_path / "clip.wav", WAVE, RATE, subtype="FLOAT")
    main(["listen", str(tmp_path / "model"), str(tmp_path / "clip.wav")])
    assert capsys.readouterr().out.splitlines()[-2] == one(WAVE)[0].word


@pytest.mark.parametrize("make", [recognizer, spotter])
@pytest.mark.parametrize(
    ("sound", "complaint"),
    [
        ((32767 * WAVE).astype(np.int16), "got int16 of shape .*divide 16-bit numbers by 32768"),
        (np.stack([WAVE, WAVE]), r"got float32 of shape \(2, .*Average channels"),
        (np.where(np.arange(len(WAVE)) == 96, np.nan, WAVE), "1 of .* samples are not finite"),
    ],
    ids=["whole numbers", "two channels", "nan"],
)
def test_what_is_no_sound_is_refused_at_once_and_while_it_comes(make, sound, complaint):
    one = make()
    for hear in (one, one.stream().accept_waveform):
        with pytest.raises(ValueError, match=complaint):
            hear(sound)


@pytest.mark.parametrize("make", [recognizer, spotter])
def test_a_stream_ends_once(make):
    stream = make().stream()
    stream.accept_waveform(WAVE)
    stream.end()
    for go_on in (stream.end, lambda: stream.accept_waveform(WAVE)):
        with pytest.raises(ValueError, match="was told that nothing follows"):
            go_on()


def test_a_spotter_that_heard_no_frame_says_no_class():
    stream = spotter().stream()
    assert stream.accept_waveform(WAVE[:10]) == stream.end() == []
    with pytest.raises(ValueError, match="nothing to hear in 0 samples"):
        hear_live(spotter(), WAVE[:0])


def test_a_model_in_half_precision_hears_while_somebody_speaks_what_it_hears_in_the_whole():
    one = spotter()
    one.model.to(torch.bfloat16)
    with torch.inference_mode():
        whole, _ = one.model.network_outputs(torch.from_numpy(WAVE)[None])
    stream = FrameStream(one.model)
    answers = torch.cat([stream.accept_waveform(WAVE), stream.end()])
    assert answers.dtype == torch.float32 and (answers - whole[0]).abs().max() < 0.05 * whole.abs().max()
    assert len(hear_live(one, WAVE)[0]) == 1


def test_what_does_not_hear_so_ends_the_command_with_a_message(tmp_path):
    NetworkForCTC.from_network("streamcnn4", sampling_rate=RATE, num_labels=3).save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match="holds a NetworkForCTC; what hears as sound comes is a"):
        main(["listen", str(tmp_path), "clip.wav"])
