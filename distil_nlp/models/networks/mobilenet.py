"""MobileNetV2 for small images: the student that the papers on distillation take where architectures differ."""

import torch
from torch import nn

from .registry import channels_last, register_network

# Factor of the widening, channels, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))


class MobileNetV2(nn.Module):
    """Inverted residual blocks for images of about 32 x 32 pixels: they are halved three times, not five times.

    The stem halves, as in the paper: its wide maps of single channels are what a processor spends its time on. Of the
    paper's seven stages the last two are left out, the second stage no longer halves, and the last convolution widens to
    four times the channels before it.

    Args:
        width (`float`): Factor of the channels, at least 8 channels each.
        num_labels, num_channels (`int`): Classes; channels of the images.

    Raises:
        ValueError: A width that is not above 0.

    Reference: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
    """

    def __init__(self, width=1.0, num_labels=10, num_channels=3):
        super().__init__()
        if not width > 0:
            raise ValueError(f"width is a factor of the channels, above 0; got {width!r}.")
        before = _channels(32, width)
        self.stem = _convolution(num_channels, before, 3, stride=2)
        for number, (factor, channels, num_blocks, stride) in enumerate(_STAGES, 1):
            after, blocks = _channels(channels, width), []
            for place in range(num_blocks):
                blocks.append(InvertedResidual(before, after, stride if place == 0 else 1, factor))
                before = after
            setattr(self, f"stage{number}", nn.Sequential(*blocks))
        self.head = _convolution(before, 4 * before, 1)
        self.classifier = nn.Linear(4 * before, num_labels)

    def forward(self, pixel_values):
        hidden = self.stem(channels_last(pixel_values))
        for number in range(1, len(_STAGES) + 1):
            hidden = getattr(self, f"stage{number}")(hidden)
        return self.classifier(self.head(hidden).mean(dim=(2, 3)))


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow without an activation."""

    def __init__(self, before, after, stride, factor):
        super().__init__()
        inner = before * factor
        widen = [_convolution(before, inner, 1)] if factor > 1 else []
        self.layers = nn.Sequential(
            *widen,
            _convolution(inner, inner, 3, stride=stride, groups=inner),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.has_shortcut = stride == 1 and before == after

    def forward(self, hidden):
        return self.layers(hidden) + hidden if self.has_shortcut else self.layers(hidden)


class Convolution(nn.Conv2d):
    """A convolution that a processor computes in float32 where each channel is halved by itself, under autocast, too.

    The gradient of a depthwise convolution with a stride has no fast path in bfloat16: measured for 96 channels of 16 x 16,
    batch 128, it takes 40 times as long as in float32, and more than the rest of the network.
    """

    def forward(self, hidden):
        if self.groups == 1 or self.stride == (1, 1) or hidden.device.type != "cpu":
            return super().forward(hidden)
        with torch.autocast("cpu", enabled=False):
            weight = self.weight.float()
            return self._conv_forward(hidden.float(), weight, self.bias).to(hidden.dtype)


def _convolution(before, after, kernel, *, stride=1, groups=1):
    padding = kernel // 2
    return nn.Sequential(
        Convolution(before, after, kernel, stride=stride, padding=padding, groups=groups, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU6(),
    )


def _channels(channels, width):
    return max(8, round(channels * width / 8) * 8)


register_network(MobileNetV2, name="mobilenetv2")
