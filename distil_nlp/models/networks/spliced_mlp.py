"""The acoustic model of a DNN-HMM: each frame, spliced with its neighbors, through layers of neurons."""

import torch
from torch import nn

from . import register_network


class SplicedMlp(nn.Module):
    """A multilayer perceptron over windows of frames.

    "splicedmlp512" has layers 512 wide. Each frame is normalized by itself, so that a clip's answers do not depend on what
    it is batched with.

    Args:
        hidden_size (`int`): Neurons of a layer.
        num_layers (`int`): Hidden layers.
        context (`int`): Frames seen before and after each.
        dropout (`float`): After every hidden layer.
        num_labels, num_mels (`int`): Answers a frame; bands a frame.

    Reference: Hinton et al. 2012, "Deep Neural Networks for Acoustic Modeling in Speech Recognition", with the rectified
    units and the dropout of Dahl et al. 2013, "Improving Deep Neural Networks for LVCSR Using Rectified Linear Units and
    Dropout".
    """

    def __init__(self, hidden_size=512, num_layers=3, context=7, dropout=0.2, num_labels=10, num_mels=40):
        super().__init__()
        self.context = self.lookahead = context
        layers, width = [], num_mels * (2 * context + 1)
        for _ in range(num_layers):
            layers += [nn.Linear(width, hidden_size), nn.LayerNorm(hidden_size), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden_size
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, num_labels)

    def forward(self, features):
        """Answers of shape (batch, frames, num_labels) for features of shape (batch, frames, bands), 0 in padding."""
        ahead = nn.functional.pad(features, (0, 0, 0, self.lookahead))
        answers, _ = self.step(ahead)
        return answers[:, self.lookahead :]

    def step(self, features, past=None):
        """The answers of the next frames, each about the frame `lookahead` before it, see `StreamCnn.step`."""
        if past is None:
            past = features.new_zeros(len(features), 2 * self.context, features.shape[2])
        frames = torch.cat([past, features], dim=1)
        windows = frames.unfold(1, 2 * self.context + 1, 1).flatten(2)
        return self.classifier(self.layers(windows)), frames[:, frames.shape[1] - 2 * self.context :]


register_network(SplicedMlp, name="splicedmlp", size="hidden_size")
