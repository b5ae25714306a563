"""Residual networks for small images, as the papers on distillation use them."""

import torch
from torch import nn
from torch.nn import functional

from .registry import channels_last, register_network


class ResNet(nn.Module):
    """A residual network of three stages for images of about 32 x 32 pixels.

    Names follow the field: "resnet20" has 20 layers and stages 16, 32 and 64 wide; "resnet8x4" is 4 times as wide. The
    shortcut has no weights: every second pixel is taken, and channels of zeros are added on both sides.

    Args:
        depth (`int`): Layers with weights, 6n + 2.
        width (`float`): Factor of the widths.
        num_labels, num_channels (`int`): Classes; channels of the images.

    Raises:
        ValueError: A depth that is not 6n + 2; a width below one sixteenth.

    Reference: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2 (shortcut option A).
    """

    def __init__(self, depth=20, width=1.0, num_labels=10, num_channels=3):
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"The depth of such a network is 6n + 2: 8, 14, 20, 32, 44, 56, 110; got {depth}.")
        widths = [round(width * channels) for channels in (16, 32, 64)]
        if min(widths) < 1:
            raise ValueError(f"A width of {width} leaves no channel of 16. Use 1/16 or more.")
        self.conv1 = nn.Conv2d(num_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        num_blocks, before = (depth - 2) // 6, widths[0]
        for stage, channels in enumerate(widths, 1):
            strides = [1 if stage == 1 else 2] + [1] * (num_blocks - 1)
            blocks = [
                Block(before if place == 0 else channels, channels, stride) for place, stride in enumerate(strides)
            ]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            before = channels
        self.linear = nn.Linear(before, num_labels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixel_values):
        hidden = torch.relu(self.bn1(self.conv1(channels_last(pixel_values))))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        return self.linear(hidden.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, added = stride, channels - before
        self.padding = (0, 0, 0, 0, added // 2, added - added // 2)  # of width, height and channels

    def forward(self, hidden):
        shortcut = hidden
        if self.stride > 1 or any(self.padding):
            shortcut = functional.pad(hidden[:, :, :: self.stride, :: self.stride], self.padding)
        hidden = torch.relu(self.bn1(self.conv1(hidden)))
        return torch.relu(self.bn2(self.conv2(hidden)) + shortcut)


register_network(ResNet, name="resnet", size="depth")
