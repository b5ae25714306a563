"""Residual networks for small images, as in papers on distillation."""

import torch
from torch import nn
from torch.nn import functional

from ...internals.messages import shown
from .registry import channels_last, register_network


class ResNet(nn.Module):
    """A residual network of three stages for images of about 32 x 32 pixels.

    Names are the usual ones: "resnet20" has 20 layers and stages 16, 32 and 64 wide; "resnet8x4" is 4 times as wide. The
    shortcut has no weights: it takes every second pixel and pads the channels with zeros on both sides.

    Args:
        depth (`int`): Layers with weights, 6n + 2.
        width (`float`): Factor of the widths.
        num_labels, num_channels (`int`): Classes; channels of the images.

    Raises:
        ValueError: The depth is not 6n + 2, or the width is below one sixteenth.

    Reference: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2 (shortcut option A).
    """

    def __init__(self, depth: int = 20, width: float = 1.0, num_labels: int = 10, num_channels: int = 3):
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 (8, 14, 20, 32, 44, 56, 110); got {shown(depth)}.")
        widths = [round(width * channels) for channels in (16, 32, 64)]
        if min(widths) < 1:
            raise ValueError(f"width must be 1/16 or more, or no channel is left of 16; got {shown(width)}.")
        self.conv1 = nn.Conv2d(num_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        num_blocks, in_channels = (depth - 2) // 6, widths[0]
        for stage, channels in enumerate(widths, 1):
            strides = [1 if stage == 1 else 2] + [1] * (num_blocks - 1)
            blocks = [
                Block(in_channels if index == 0 else channels, channels, stride)
                for index, stride in enumerate(strides)
            ]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            in_channels = channels
        self.linear = nn.Linear(in_channels, num_labels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, num_labels)."""
        hidden = torch.relu(self.bn1(self.conv1(channels_last(pixel_values))))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        return self.linear(hidden.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, added = stride, channels - in_channels
        self.padding = (0, 0, 0, 0, added // 2, added - added // 2)  # of width, height and channels

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature maps of shape (batch, channels, height, width)."""
        shortcut = hidden
        if self.stride > 1 or any(self.padding):
            shortcut = functional.pad(hidden[:, :, :: self.stride, :: self.stride], self.padding)
        hidden = torch.relu(self.bn1(self.conv1(hidden)))
        return torch.relu(self.bn2(self.conv2(hidden)) + shortcut)


register_network(ResNet, name="resnet", size="depth")
