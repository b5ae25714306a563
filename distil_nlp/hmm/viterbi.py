"""Viterbi: the best path through a graph for a batch of clips, and forced alignment."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from tqdm.auto import tqdm

from .graphs import NEVER, Graph, sentence_graph
from .lexicon import Lexicon

_UNKNOWN = -100
_BATCH_SIZE = 512
_SHOW_AFTER_S = 3.0


def best_paths(
    scores: torch.Tensor, lengths: torch.Tensor, graphs: Graph | list[Graph]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the most likely sequence of nodes of each clip.

    Args:
        scores (`torch.Tensor`): Shape (batch, frames, states), log-likelihood of each frame in each state, up to a constant
            per frame.
        lengths (`torch.LongTensor`): Shape (batch,), frames of each clip, at least 1.
        graphs (`Graph` or `list[Graph]`): One graph for all clips, or one per clip.

    Returns:
        `(torch.LongTensor, torch.Tensor)`: nodes, shape (batch, frames), padded with -1; and the log weight of the whole
        path, shape (batch,), -inf for a clip that is too short for any path.

    Reference: Rabiner 1989, "A Tutorial on Hidden Markov Models", section III.B.
    """
    lengths = lengths.to(scores.device)
    states, predecessors, weights, start, end = _stacked(graphs, scores)
    emitted = scores.gather(2, states.unsqueeze(1).expand(-1, scores.shape[1], -1))
    # In float64: over minutes of audio a float32 sum would lose the contribution of single frames.
    best, back = (start + emitted[:, 0]).double(), []
    stay = torch.arange(states.shape[1], device=scores.device).expand(len(scores), -1)
    for frame in range(1, scores.shape[1]):
        reached, arc = (best.gather(1, predecessors.flatten(1)).view_as(weights) + weights).max(dim=2)
        came_from = predecessors.gather(2, arc.unsqueeze(2)).squeeze(2)
        is_valid = (frame < lengths).unsqueeze(1)
        best = torch.where(is_valid, reached + emitted[:, frame], best)
        back.append(torch.where(is_valid, came_from, stay))
    weight, node = (best + end).max(dim=1)
    path = [node]
    for came_from in reversed(back):
        path.append(came_from.gather(1, path[-1].unsqueeze(1)).squeeze(1))
    nodes = torch.stack(path[::-1], dim=1)
    padding = torch.arange(scores.shape[1], device=scores.device) >= lengths.unsqueeze(1)
    return nodes.masked_fill(padding, -1), weight.to(scores.dtype)


def _stacked(graphs: Graph | list[Graph], scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Tensors of the graphs with a batch dimension, padded with unreachable nodes."""
    several = graphs if isinstance(graphs, list) else [graphs]
    size = max(len(graph.states) for graph in several)
    max_arcs = max(graph.predecessors.shape[1] for graph in several)

    def stack(name: str, value: float = NEVER) -> torch.Tensor:
        tensors = [getattr(graph, name) for graph in several]
        padded = [
            torch.nn.functional.pad(
                tensor,
                (*((0, max_arcs - tensor.shape[1]) if tensor.dim() == 2 else ()), 0, size - len(tensor)),
                value=value,
            )
            for tensor in tensors
        ]
        return torch.stack(padded).to(scores.device).expand(len(scores), *padded[0].shape)

    weights, start, end = (stack(name).to(scores.dtype) for name in ("weights", "start", "end"))
    return stack("states", 0), stack("predecessors", 0), weights, start, end


def forced_alignment(
    log_likelihoods: Callable[[int], torch.Tensor],
    lengths: Sequence[int],
    sentences: Sequence[Sequence[str]],
    lexicon: Lexicon,
    log_stay: torch.Tensor,
) -> list[np.ndarray]:
    """Find the best path of each clip through its known words.

    Args:
        log_likelihoods (callable): Number of a clip -> `torch.Tensor` of shape (frames, states), up to a constant per
            frame. Called once per clip.
        lengths (`list[int]`): Frames of each clip.
        sentences (`list[list[str]]`): Words of each clip.
        lexicon (`Lexicon`), log_stay (`torch.Tensor`): See `sentence_graph`.

    Returns:
        `list[np.ndarray]` of int64: state of each frame, shape (frames,); all -100 for a clip too short for its words.
    """
    alignment: dict[int, np.ndarray] = {}
    order = sorted(range(len(lengths)), key=lambda clip: lengths[clip])
    with tqdm(total=len(order), desc="Aligning", unit=" clips", delay=_SHOW_AFTER_S, leave=False) as progress:
        for start in range(0, len(order), _BATCH_SIZE):
            clips = order[start : start + _BATCH_SIZE]
            frames = torch.tensor([lengths[clip] for clip in clips])
            scores = torch.zeros(len(clips), int(frames.max()), lexicon.num_states)
            for row, clip in enumerate(clips):
                scores[row, : lengths[clip]] = log_likelihoods(clip)
                progress.update()
            graphs = [sentence_graph(lexicon, sentences[clip], log_stay) for clip in clips]
            nodes, weights = best_paths(scores, frames, graphs)
            for row, clip in enumerate(clips):
                path = graphs[row].states[nodes[row, : lengths[clip]]]
                alignment[clip] = (path if weights[row].isfinite() else torch.full_like(path, _UNKNOWN)).numpy()
    return [alignment[clip] for clip in range(len(lengths))]
