"""Which frame belongs to which state, where it is known what was said."""

import torch
from tqdm.auto import tqdm

from .graphs import sentence_graph
from .viterbi import best_paths

_UNKNOWN = -100
_CLIPS_AT_ONCE = 512
_SHOW_AFTER_S = 3.0


def forced_alignment(log_likelihoods, lengths, sentences, lexicon, log_stay):
    """The best path of each clip through the words that were said in it.

    Args:
        log_likelihoods (callable): Number of a clip to a `torch.Tensor` of shape (frames, states), up to a constant of
            each frame. Called once a clip.
        lengths (`list[int]`): Frames of each.
        sentences (`list[list[str]]`): The words of each.
        lexicon (`Lexicon`), log_stay (`torch.Tensor`): See `sentence_graph`.

    Returns:
        `list[np.ndarray]` of int64, shape (frames,); all -100 where the clip is too short for its words.
    """
    found = [None] * len(lengths)
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    with tqdm(total=len(order), desc="Aligning", unit=" clips", delay=_SHOW_AFTER_S, leave=False) as progress:
        for start in range(0, len(order), _CLIPS_AT_ONCE):
            places = order[start : start + _CLIPS_AT_ONCE]
            frames = torch.tensor([lengths[place] for place in places])
            scores = torch.zeros(len(places), int(frames.max()), lexicon.num_states)
            for row, place in enumerate(places):
                scores[row, : lengths[place]] = log_likelihoods(place)
                progress.update()
            graphs = [sentence_graph(lexicon, sentences[place], log_stay) for place in places]
            nodes, weights = best_paths(scores, frames, graphs)
            for row, place in enumerate(places):
                path = graphs[row].states[nodes[row, : lengths[place]]]
                found[place] = (path if weights[row].isfinite() else torch.full_like(path, _UNKNOWN)).numpy()
    return found
