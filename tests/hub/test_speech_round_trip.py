"""A model that hears goes to the Hub and comes back to another process: same scores, same words."""

import json

import pytest
import torch

from distil_nlp.hmm import Decoder, Lexicon
from distil_nlp.models import NetworkForAudioClassification, NetworkForAudioFrameClassification, feature_extractor_for
from tests.speech import RATE, WORDS

KEYWORDS, SENTENCES = "tester/keywords", "tester/sentences"
SAID = """
import json, sys
import torch, transformers, distil_nlp.models
from distil_nlp.streaming import Recognizer
from tests.speech import wave_of
where = json.loads(sys.argv[1])
wave = wave_of(["ho", "hi", "he"], 4)
scores = transformers.pipeline("audio-classification", where["keywords"], device="cpu")(wave)
recognizer = Recognizer.from_pretrained(where["sentences"])
buffers = {name: buffer.sum().item() for name, buffer in recognizer.model.named_buffers()}
print(json.dumps({"scores": scores, "words": [vars(word) for word in recognizer(wave)], "buffers": buffers}))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    torch.manual_seed(2)
    lexicon = Lexicon.whole_words(WORDS, num_states=3)
    size = lexicon.num_states
    decoder = Decoder(lexicon, torch.full((size,), 0.5).log(), torch.zeros(size))
    models = {
        "keywords": NetworkForAudioClassification.from_network("streamcnn8", sampling_rate=RATE, id2label=list(WORDS)),
        "sentences": NetworkForAudioFrameClassification.from_network(
            "streamcnn8", sampling_rate=RATE, id2label=lexicon.state_names, hmm=decoder.to_dict()
        ),
    }
    with torch.no_grad():
        models["sentences"].network.classifier.weight.mul_(20)  # so that something is heard
    for name, model in models.items():
        model.save_pretrained(folder / name)
        feature_extractor_for(RATE).save_pretrained(folder / name)
    return {name: str(folder / name) for name in models}


def test_scores_words_and_the_front_end_are_those_of_the_saved_models(folders, hub):
    for name, repo in (("keywords", KEYWORDS), ("sentences", SENTENCES)):
        hub.python("-m", "distil_nlp.cli.main", "push", folders[name], repo)
    here = json.loads(hub.python("-c", SAID, json.dumps(folders)).splitlines()[-1])
    there = json.loads(
        hub.python("-c", SAID, json.dumps({"keywords": KEYWORDS, "sentences": SENTENCES})).splitlines()[-1]
    )
    assert here == there
    assert {one["label"] for one in there["scores"]} == set(WORDS) and there["words"]
    assert there["buffers"]["front_end.window"] == pytest.approx(128)  # Hann's window over 256 samples
