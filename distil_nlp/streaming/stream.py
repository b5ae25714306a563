"""Words while somebody speaks."""

from ..hmm.online import OnlinePath
from .frames import FrameStream


class Stream:
    """Hears samples as they come, in pieces of any size, and says words as soon as they are certain.

    What it says in the end is what the recognizer says of the whole recording: frames, answers and the best path are
    computed once each, from what is kept of the past. Make it with `Recognizer.stream`.

    Args:
        recognizer (`Recognizer`): See `FrameStream` for what its network must have.

    Raises:
        ValueError: A network that has not.
    """

    def __init__(self, recognizer):
        self._recognizer, self._frames = recognizer, FrameStream(recognizer.model)
        self._path = OnlinePath(recognizer.decoder.graph)
        self._num_said = 0

    def accept_waveform(self, samples):
        """The next samples, and the words that they made certain.

        Args:
            samples (`np.ndarray`): Shape (any,), from -1 to 1.

        Returns:
            `list[WordTiming]`: Words that were not said before.
        """
        self._take(self._frames.accept_waveform(samples))
        return self._said(self._path.words())

    def end(self):
        """Nothing follows: the remaining words."""
        self._take(self._frames.end())
        return self._said(self._path.end())

    def _take(self, answers):
        if answers is not None:
            self._path.take(self._recognizer.decoder.scores(answers))

    def _said(self, words):
        new, self._num_said = words[self._num_said :], max(self._num_said, len(words))
        return [self._recognizer.timed(word) for word in new]
