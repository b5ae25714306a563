"""How fast models hear sound that comes in hops of 10 ms: real-time factor and latency, in turn on the same sound.

    python benchmarks/streaming.py                                       # the networks of the keyword recipe, untrained
    python benchmarks/streaming.py runs/digits/teacher runs/digits/student

Saved models are those of hybrid-speech-recognition or audio-classification, as `distil-nlp listen` takes them. The sound is
noise, for neither what it holds nor what a network has learned matters to the time. Printed are medians over rounds, in
each of which every model hears the same seconds.
"""

import argparse

import numpy as np
import torch
from timing import parse

from distil_nlp.evaluation.comparison import count_parameters
from distil_nlp.metrics.display import short_count
from distil_nlp.models import NetworkForAudioClassification, parse_network_name
from distil_nlp.reports.layout import text_rows
from distil_nlp.streaming import KeywordSpotter, load_recognizer, stream_waveform

UNTRAINED = ["streamcnn192", "streamcnn24"]


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=UNTRAINED, help="Folders of saved models, or names of networks.")
    parser.add_argument("--seconds", type=float, default=5.0, help="Of sound in each round.")
    parser.add_argument("--rounds", type=int, default=5, help="Beside one that is not counted.")
    parser.add_argument("--threads", type=int, default=1)
    return parse(parser, argv, quick={"seconds": 0.2, "rounds": 1})


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    recognizers = {name: recognizer(name) for name in args.models}
    draw, paces = np.random.default_rng(0), {name: [] for name in recognizers}
    for number in range(1 + args.rounds):
        for name, one in recognizers.items():
            wave = draw.normal(scale=0.05, size=round(args.seconds * one.sampling_rate)).astype(np.float32)
            pace = stream_waveform(one, wave)[1]
            paces[name] += [pace] * (number > 0)
    header, rows = ["model", "parameters", "real-time factor", "ms a hop, p50", "p95", "ms of sound waited for"], []
    for name, one in recognizers.items():
        facts = [[pace.real_time_factor, pace.latency_p50, pace.latency_p95, pace.delay] for pace in paces[name]]
        factor, p50, p95, delay = np.median(facts, axis=0)
        count = short_count(count_parameters(one.model))
        rows.append([name, count, f"{factor:.3f}", f"{p50:.2f}", f"{p95:.2f}", f"{delay:g}"])
    print(text_rows(header, rows, num_words=1))


def recognizer(name):
    if parse_network_name(name) is None:
        return load_recognizer(name)
    return KeywordSpotter(NetworkForAudioClassification.from_network(name, sampling_rate=8000, num_labels=10))


if __name__ == "__main__":
    main()
