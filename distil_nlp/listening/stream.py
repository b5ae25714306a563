"""Words while somebody speaks."""

import numpy as np
import torch

from ..hmm.online import OnlinePath


class Stream:
    """Hears samples as they come, in pieces of any size, and says words as soon as they are certain.

    What it says in the end is what the recogniser says of the whole recording: frames, answers and the best path are
    computed once each, from what is kept of the past. Make it with `Recogniser.stream`.

    Args:
        recogniser (`Recogniser`): Its network has `step` and `lookahead`, as `StreamCnn` and `SplicedMlp` do.

    Raises:
        ValueError: A network that has not.
    """

    def __init__(self, recogniser):
        network = recogniser.model.network
        if not (hasattr(network, "step") and hasattr(network, "lookahead")):
            raise ValueError(
                f"{type(network).__name__} cannot hear piece by piece: it has no `step` and `lookahead`. Let the "
                f"recogniser hear the whole recording, or take a network that has them (streamcnn64)."
            )
        self._recogniser, self._network, self._front_end = recogniser, network, recogniser.model.front_end
        self._samples = torch.zeros(0)  # that are of frames to come
        self._past = None
        self._to_skip = network.lookahead  # answers about frames before the first
        self._path = OnlinePath(recogniser.decoder.graph)
        self._num_said = 0

    def hear(self, samples):
        """The next samples, and the words that they made certain.

        Args:
            samples (`np.ndarray`): Shape (any,), from -1 to 1.

        Returns:
            `list[Heard]`: Words that were not said before.
        """
        with torch.inference_mode():
            self._samples = torch.cat([self._samples, torch.from_numpy(np.asarray(samples, dtype=np.float32))])
            num_frames = self._front_end.num_frames(len(self._samples))
            if num_frames:
                features, _ = self._front_end(self._samples.unsqueeze(0))
                self._samples = self._samples[num_frames * self._front_end.hop_length :]
                self._listen(features)
        return self._said(self._path.words())

    def end(self):
        """Nothing follows: the remaining words."""
        with torch.inference_mode():
            bands = self._front_end.num_mels
            if self._network.lookahead:
                self._listen(torch.zeros(1, self._network.lookahead, bands))
        return self._said(self._path.end())

    def _listen(self, features):
        answers, self._past = self._network.step(features, self._past)
        skipped = min(self._to_skip, answers.shape[1])
        self._to_skip -= skipped
        if answers.shape[1] > skipped:
            self._path.take(self._recogniser.decoder.scores(answers[0, skipped:]))

    def _said(self, words):
        new, self._num_said = words[self._num_said :], max(self._num_said, len(words))
        return [self._recogniser.timed(word) for word in new]
