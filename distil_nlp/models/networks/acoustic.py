"""Networks over log-mel frames that can run on a stream: a causal convolutional network and a spliced MLP."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .registry import register_network

_FEW_FRAMES = 2


class StreamingNetwork(nn.Module):
    """Base class: runs a whole clip through `step`, with `lookahead` frames of zeros after it."""

    lookahead: int

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, frames, num_labels) for features of shape (batch, frames, bands).

        Args:
            features (`torch.Tensor`): 0 in padding. Every clip is followed by frames of zeros, either padding or those
                added here, and frames later than `lookahead` do not change a logit: no mask is needed.
        """
        ahead = features.new_zeros(len(features), self.lookahead, features.shape[2])
        logits, _ = self.step(torch.cat([features, ahead], dim=1))
        return logits[:, self.lookahead :]

    def step(self, features: torch.Tensor, past: Any = None) -> tuple[torch.Tensor, Any]:
        """Logits of the next frames, each for the frame `lookahead` before it.

        Args:
            features (`torch.Tensor`): Shape (batch, frames, bands), any number of frames.
            past (*optional*): The state that the last step returned; None at the beginning of a clip.

        Returns:
            `(logits, state)`: logits of shape (batch, frames, num_labels); the state for the next step.
        """
        raise NotImplementedError


class StreamCnn(StreamingNetwork):
    """Causal convolutions over time, which keep a state: they process one frame or a whole clip at a time.

    "streamcnn64" is 64 channels wide. Each frame is normalized separately: padding and the other clips of a batch do not
    change a clip's logits, and training is exact however a batch is split.

    Args:
        channels (`int`): Width.
        num_blocks (`int`): Residual blocks of a depthwise and a pointwise convolution. Every second block has dilation 2,
            for a wider receptive field at the same cost.
        kernel_size (`int`): Frames of a convolution's kernel.
        lookahead (`int`): Future frames that a logit depends on: its delay in frames.
        num_labels, num_mels (`int`): Logits per frame; bands per frame.

    Reference: the blocks are those of Chollet 2017, "Xception", over time. Choi et al. 2019, "Temporal Convolution for
    Real-time Keyword Spotting on Mobile Devices", show that one-dimensional convolutions suffice for keywords.
    """

    def __init__(
        self,
        channels: int = 64,
        num_blocks: int = 4,
        kernel_size: int = 5,
        lookahead: int = 5,
        num_labels: int = 10,
        num_mels: int = 40,
    ):
        super().__init__()
        self.lookahead = lookahead
        self.stem = CausalConv(num_mels, channels, kernel_size)
        self.blocks = nn.ModuleList(
            CausalBlock(channels, kernel_size, dilation=1 + index % 2) for index in range(num_blocks)
        )
        self.norm = FrameNorm(channels)
        self.classifier = nn.Conv1d(channels, num_labels, 1)

    def step(
        self, features: torch.Tensor, past: Sequence[torch.Tensor | None] | None = None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """See `StreamingNetwork.step`; the state is a list with the last input frames of each convolution."""
        past = past or [None] * (1 + len(self.blocks))
        hidden, frames = self.stem(features.transpose(1, 2), past[0])
        state = [frames]
        for block, previous_frames in zip(self.blocks, past[1:], strict=True):
            hidden, frames = block(hidden, previous_frames)
            state.append(frames)
        return self.classifier(self.norm(hidden).relu()).transpose(1, 2), state


class SplicedMlp(StreamingNetwork):
    """A multilayer perceptron over windows of frames: the acoustic model of a DNN-HMM.

    "splicedmlp512" has layers 512 wide. Each frame is normalized separately, so that a clip's logits do not depend on the
    other clips of a batch.

    Args:
        hidden_size (`int`): Units of a layer.
        num_layers (`int`): Hidden layers.
        context (`int`): Frames before and after each frame that are spliced with it.
        dropout (`float`): After every hidden layer.
        num_labels, num_mels (`int`): Logits per frame; bands per frame.

    Reference: Hinton et al. 2012, "Deep Neural Networks for Acoustic Modeling in Speech Recognition", with the rectified
    units and the dropout of Dahl et al. 2013, "Improving Deep Neural Networks for LVCSR Using Rectified Linear Units and
    Dropout".
    """

    def __init__(
        self,
        hidden_size: int = 512,
        num_layers: int = 3,
        context: int = 7,
        dropout: float = 0.2,
        num_labels: int = 10,
        num_mels: int = 40,
    ):
        super().__init__()
        self.context = self.lookahead = context
        layers, width = [], num_mels * (2 * context + 1)
        for _ in range(num_layers):
            layers += [nn.Linear(width, hidden_size), nn.LayerNorm(hidden_size), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden_size
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, num_labels)

    def step(self, features: torch.Tensor, past: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """See `StreamingNetwork.step`; the state is the last `2 * context` frames."""
        if past is None:
            past = features.new_zeros(len(features), 2 * self.context, features.shape[2])
        frames = torch.cat([past, features], dim=1)
        windows = frames.unfold(1, 2 * self.context + 1, 1).flatten(2)
        return self.classifier(self.layers(windows)), frames[:, frames.shape[1] - 2 * self.context :]


class CausalBlock(nn.Module):
    """Normalize, ReLU, depthwise convolution over time, pointwise convolution; added to the input."""

    def __init__(self, channels: int, kernel_size: int, dilation: int):
        super().__init__()
        self.norm = FrameNorm(channels)
        self.filter = CausalConv(channels, channels, kernel_size, dilation=dilation, groups=channels)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, hidden: torch.Tensor, past: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The block's output, and the frames that its convolution needs in the next step."""
        filtered, past = self.filter(self.norm(hidden).relu(), past)
        return hidden + self.mix(filtered), past


class CausalConv(nn.Conv1d):
    """A convolution over the present and past frames. It takes the frames before, and returns those the next step needs."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, dilation: int = 1, groups: int = 1):
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, groups=groups)
        self.reach = (kernel_size - 1) * dilation

    def forward(self, hidden: torch.Tensor, past: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The convolution of shape (batch, channels, frames), and the last `reach` input frames."""
        if past is None:
            past = hidden.new_zeros(len(hidden), hidden.shape[1], self.reach)
        is_short = hidden.shape[-1] <= _FEW_FRAMES and not torch.compiler.is_exporting()
        hidden = torch.cat([past, hidden], dim=-1)
        output = self._depthwise(hidden) if is_short and self.groups > 1 else super().forward(hidden)
        return output, hidden[..., hidden.shape[-1] - self.reach :]

    def _depthwise(self, hidden: torch.Tensor) -> torch.Tensor:
        """The depthwise convolution as a sum of products: faster than setting up a convolution for one or two frames."""
        windows = hidden.unfold(-1, self.reach + 1, 1)[..., :: self.dilation[0]]
        return (windows * self.weight).sum(-1) + self.bias.unsqueeze(-1)


class FrameNorm(nn.Module):
    """RMS normalization over the channels of each frame, with a scale per channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Normalized `hidden`, shape (batch, channels, frames)."""
        return hidden * (hidden.square().mean(1, keepdim=True) + 1e-5).rsqrt() * self.weight


register_network(StreamCnn, name="streamcnn", size="channels")
register_network(SplicedMlp, name="splicedmlp", size="hidden_size")
