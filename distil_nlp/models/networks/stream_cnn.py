"""A convolutional network over time that answers while somebody speaks."""

import torch
from torch import nn

from . import register_network

_FEW_FRAMES = 2


class StreamCnn(nn.Module):
    """Convolutions over time that look back only, and so go on where they stopped: one frame or a whole clip at a time.

    "streamcnn64" is 64 channels wide. Each frame is normalized by itself, not with others: what a clip is padded to, or
    batched with, changes nothing, and training is exact however a batch is cut.

    Args:
        channels (`int`): Width.
        num_blocks (`int`): Residual blocks of a convolution of single channels and one across them. Every second block
            leaves out each second frame it looks back on, so that more is seen at the same cost.
        kernel_size (`int`): Frames a convolution looks at.
        lookahead (`int`): Frames of the future that an answer has seen: it comes so much later.
        num_labels, num_mels (`int`): Answers a frame; bands a frame.

    The blocks are those of Chollet 2017, "Xception", over time; that convolutions of one dimension suffice for keywords:
    Choi et al. 2019, "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices".
    """

    def __init__(self, channels=64, num_blocks=4, kernel_size=5, lookahead=5, num_labels=10, num_mels=40):
        super().__init__()
        self.lookahead = lookahead
        self.stem = CausalConv(num_mels, channels, kernel_size)
        self.blocks = nn.ModuleList(
            Block(channels, kernel_size, dilation=1 + place % 2) for place in range(num_blocks)
        )
        self.norm = FrameNorm(channels)
        self.classifier = nn.Conv1d(channels, num_labels, 1)

    def forward(self, features):
        """Answers of shape (batch, frames, num_labels) for features of shape (batch, frames, bands).

        Args:
            features (`torch.Tensor`): 0 in padding. Every clip is followed by frames of zeros, be they padding or those
                added here, and what follows a frame by more than `lookahead` does not reach it: no mask is needed.
        """
        ahead = features.new_zeros(len(features), self.lookahead, features.shape[2])
        answers, _ = self.step(torch.cat([features, ahead], dim=1))
        return answers[:, self.lookahead :]

    def step(self, features, past=None):
        """The answers of the next frames, each about the frame `lookahead` before it.

        Args:
            features (`torch.Tensor`): Shape (batch, frames, bands), any number of frames.
            past (`list`, *optional*): What the last step returned; None at the beginning of a clip.

        Returns:
            `(torch.Tensor, list)`: answers of shape (batch, frames, num_labels); what to hand to the next step.
        """
        past = past or [None] * (1 + len(self.blocks))
        hidden, first = self.stem(features.transpose(1, 2), past[0])
        kept = [first]
        for block, before in zip(self.blocks, past[1:], strict=True):
            hidden, frames = block(hidden, before)
            kept.append(frames)
        return self.classifier(self.norm(hidden).relu()).transpose(1, 2), kept


class Block(nn.Module):
    """Normalize, rectify, filter each channel over time, mix the channels; added to what came in."""

    def __init__(self, channels, kernel_size, dilation):
        super().__init__()
        self.norm = FrameNorm(channels)
        self.filter = CausalConv(channels, channels, kernel_size, dilation=dilation, groups=channels)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, hidden, past):
        filtered, past = self.filter(self.norm(hidden).relu(), past)
        return hidden + self.mix(filtered), past


class CausalConv(nn.Conv1d):
    """A convolution over what was and is. It is handed the frames before, and hands on those that the next will need."""

    def __init__(self, before, after, kernel_size, *, dilation=1, groups=1):
        super().__init__(before, after, kernel_size, dilation=dilation, groups=groups)
        self.reach = (kernel_size - 1) * dilation

    def forward(self, hidden, past):
        if past is None:
            past = hidden.new_zeros(len(hidden), hidden.shape[1], self.reach)
        is_short = hidden.shape[-1] <= _FEW_FRAMES and not torch.compiler.is_exporting()
        hidden = torch.cat([past, hidden], dim=-1)
        answers = self._channel_by_channel(hidden) if is_short and self.groups > 1 else super().forward(hidden)
        return answers, hidden[..., hidden.shape[-1] - self.reach :]

    def _channel_by_channel(self, hidden):
        """The same: for a frame or two the convolution of single channels takes longer to set up than to do."""
        seen = hidden.unfold(-1, self.reach + 1, 1)[..., :: self.dilation[0]]
        return (seen * self.weight).sum(-1) + self.bias.unsqueeze(-1)


class FrameNorm(nn.Module):
    """Bring the channels of each frame to mean square 1, then scale each channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1))

    def forward(self, hidden):
        return hidden * (hidden.square().mean(1, keepdim=True) + 1e-5).rsqrt() * self.weight


register_network(StreamCnn, name="streamcnn", size="channels")
