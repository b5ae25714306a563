"""What a network says of frames, while sound comes."""

import torch

from .samples import samples_of


class FrameStream:
    """Hears samples as they come, in pieces of any size, and answers about each frame once.

    What it says of a frame is what the network says of it in the whole recording.

    Args:
        model (`AudioNetwork`): Its network has `step` and `lookahead`, as `StreamCnn` and `SplicedMlp` do.

    Raises:
        ValueError: A network that has not.
    """

    def __init__(self, model):
        network = model.network
        if not (hasattr(network, "step") and hasattr(network, "lookahead")):
            raise ValueError(
                f"{type(network).__name__} cannot hear piece by piece: it has no `step` and `lookahead`. Let it hear the "
                f"whole recording, or take a network that has them (streamcnn64)."
            )
        self._network, self._front_end = network, model.front_end
        self._dtype, self._has_ended = next(network.parameters()).dtype, False
        self._samples = torch.zeros(0)  # that are of frames to come
        self._past = None
        self._to_skip = network.lookahead  # answers about frames before the first

    def accept_waveform(self, samples):
        """The next samples, and the answers about frames that are certain now.

        Args:
            samples (`np.ndarray`): Shape (any,), from -1 to 1.

        Returns:
            `torch.Tensor` of float32, shape (frames, outputs), of any number of frames, or None where there are none.

        Raises:
            ValueError: No sound, see `samples_of`; a stream that has ended.
        """
        self._go_on()
        self._samples = torch.cat([self._samples, samples_of(samples)])
        num_frames = self._front_end.num_frames(len(self._samples))
        if not num_frames:
            return None
        with torch.inference_mode():
            features, _ = self._front_end(self._samples.unsqueeze(0))
            self._samples = self._samples[num_frames * self._front_end.hop_length :]
            return self._answers(features)

    def end(self):
        """Nothing follows: answers about the remaining frames, or None."""
        self._go_on()
        self._has_ended = True
        with torch.inference_mode():
            ahead = self._network.lookahead
            return self._answers(torch.zeros(1, ahead, self._front_end.num_mels)) if ahead else None

    def _go_on(self):
        if self._has_ended:
            raise ValueError(
                f"This stream was told that nothing follows, after {len(self._samples)} samples of a frame that was not "
                f"whole. Make another for what comes next."
            )

    def _answers(self, features):
        answers, self._past = self._network.step(features.to(self._dtype), self._past)
        skipped = min(self._to_skip, answers.shape[1])
        self._to_skip -= skipped
        return answers[0, skipped:].float() if answers.shape[1] > skipped else None
