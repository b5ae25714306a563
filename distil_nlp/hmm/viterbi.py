"""The best path through a graph, for many clips at once."""

import torch

from .graphs import NEVER


def best_paths(scores, lengths, graphs):
    """The most likely sequence of nodes of each clip.

    Args:
        scores (`torch.Tensor`): Shape (batch, frames, states), log likelihood of each frame in each state, up to a constant
            of the frame.
        lengths (`torch.LongTensor`): Shape (batch,), frames of each clip, at least 1.
        graphs (`Graph` or `list[Graph]`): One for all clips, or one a clip.

    Returns:
        `(torch.LongTensor, torch.Tensor)`: nodes, shape (batch, frames), -1 behind the end of a clip; and the log weight of
        the whole path, shape (batch,), minus infinity where the clip is too short for any path.

    Reference: Rabiner 1989, "A Tutorial on Hidden Markov Models", section III.B.
    """
    lengths = lengths.to(scores.device)
    states, before, weights, start, end = _stacked(graphs, scores)
    emitted = scores.gather(2, states.unsqueeze(1).expand(-1, scores.shape[1], -1))
    # In float64: over minutes of sound a sum of float32 would forget what one frame says.
    best, back = (start + emitted[:, 0]).double(), []
    stay = torch.arange(states.shape[1], device=scores.device).expand(len(scores), -1)
    for frame in range(1, scores.shape[1]):
        reached, way = (best.gather(1, before.flatten(1)).view_as(weights) + weights).max(dim=2)
        came_from = before.gather(2, way.unsqueeze(2)).squeeze(2)
        goes_on = (frame < lengths).unsqueeze(1)
        best = torch.where(goes_on, reached + emitted[:, frame], best)
        back.append(torch.where(goes_on, came_from, stay))
    weight, node = (best + end).max(dim=1)
    path = [node]
    for came_from in reversed(back):
        path.append(came_from.gather(1, path[-1].unsqueeze(1)).squeeze(1))
    nodes = torch.stack(path[::-1], dim=1)
    # Behind its end a clip stays where it ended.
    outside = torch.arange(scores.shape[1], device=scores.device) >= lengths.unsqueeze(1)
    return nodes.masked_fill(outside, -1), weight.to(scores.dtype)


def _stacked(graphs, scores):
    """Graphs as tensors with a batch dimension, padded with nodes that nothing leads to."""
    several = graphs if isinstance(graphs, list) else [graphs]
    size = max(len(graph.states) for graph in several)
    most = max(graph.before.shape[1] for graph in several)

    def together(name, value=NEVER):
        ones = [getattr(graph, name) for graph in several]
        wider = [(0, most - one.shape[1]) if one.dim() == 2 else () for one in ones]
        padded = [
            torch.nn.functional.pad(one, (*wide, 0, size - len(one)), value=value)
            for one, wide in zip(ones, wider, strict=True)
        ]
        return torch.stack(padded).to(scores.device).expand(len(scores), *padded[0].shape)

    weights, start, end = (together(name).to(scores.dtype) for name in ("weights", "start", "end"))
    return together("states", 0), together("before", 0), weights, start, end
