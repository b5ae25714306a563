"""MobileNetV2 for small images: the usual student in papers on distillation between architectures."""

import torch
from torch import nn

from ...internals.messages import shown
from .registry import channels_last, register_network

# Expansion factor, channels, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))


class MobileNetV2(nn.Module):
    """Inverted residual blocks for images of about 32 x 32 pixels: three downsamplings instead of five.

    The stem has stride 2, as in the paper, because depthwise convolutions of large maps take most of the time on a CPU.
    Of the paper's seven stages the last two are left out, the second stage has stride 1, and the last convolution has
    four times the channels of its input.

    Args:
        width (`float`): Factor of the channels, at least 8 channels each.
        num_labels, num_channels (`int`): Classes; channels of the images.

    Raises:
        ValueError: The width is not above 0.

    Reference: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
    """

    def __init__(self, width: float = 1.0, num_labels: int = 10, num_channels: int = 3):
        super().__init__()
        if not width > 0:
            raise ValueError(f"width is a factor of the channels and must be above 0; got {shown(width)}.")
        channels = scaled_channels(32, width)
        self.stem = _convolution(num_channels, channels, 3, stride=2)
        for number, (factor, stage_channels, num_blocks, stride) in enumerate(_STAGES, 1):
            out_channels, blocks = scaled_channels(stage_channels, width), []
            for index in range(num_blocks):
                blocks.append(InvertedResidual(channels, out_channels, stride if index == 0 else 1, factor))
                channels = out_channels
            setattr(self, f"stage{number}", nn.Sequential(*blocks))
        self.head = _convolution(channels, 4 * channels, 1)
        self.classifier = nn.Linear(4 * channels, num_labels)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, num_labels)."""
        hidden = self.stem(channels_last(pixel_values))
        for number in range(1, len(_STAGES) + 1):
            hidden = getattr(self, f"stage{number}")(hidden)
        return self.classifier(self.head(hidden).mean(dim=(2, 3)))


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project without activation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, factor: int):
        super().__init__()
        inner = in_channels * factor
        expand = [_convolution(in_channels, inner, 1)] if factor > 1 else []
        self.layers = nn.Sequential(
            *expand,
            _convolution(inner, inner, 3, stride=stride, groups=inner),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature maps of shape (batch, out_channels, height, width)."""
        return self.layers(hidden) + hidden if self.has_shortcut else self.layers(hidden)


class Convolution(nn.Conv2d):
    """A convolution that on a CPU is computed in float32 if it is depthwise with a stride, even under autocast.

    The gradient of a depthwise convolution with a stride has no fast path in bfloat16: measured for 96 channels of 16 x 16,
    batch 128, it takes 40 times as long as in float32, and more than the rest of the network.
    """

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature maps of shape (batch, out_channels, height, width), in the dtype of `hidden`."""
        if self.groups == 1 or self.stride == (1, 1) or hidden.device.type != "cpu":
            return super().forward(hidden)
        with torch.autocast("cpu", enabled=False):
            weight = self.weight.float()
            return self._conv_forward(hidden.float(), weight, self.bias).to(hidden.dtype)


def _convolution(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = kernel // 2
    return nn.Sequential(
        Convolution(in_channels, out_channels, kernel, stride=stride, padding=padding, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    )


def scaled_channels(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8, at least 8."""
    return max(8, round(channels * width / 8) * 8)


register_network(MobileNetV2, name="mobilenetv2")
