"""MobileFaceNet: inverted residual blocks that end in an embedding of a face."""

import torch
from torch import nn

from ...internals.messages import shown
from .mobilenet import scaled_channels
from .registry import channels_last, register_network

# Expansion factor, channels, blocks, stride of the first block.
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
_DOWNSAMPLING = 16  # of height and width before the global depthwise convolution


class MobileFaceNet(nn.Module):
    """A MobileNetV2 for faces with a global depthwise convolution instead of average pooling.

    It has a weight for each position of the last map, because the middle of an aligned face is more informative than its
    rim. "mobilefacenet" is the paper's network; "mobilefacenetx0.35" has 0.35 of its channels.

    Args:
        width (`float`): Factor of the channels, at least 8 channels each. The embedding keeps its width.
        num_labels, num_channels (`int`): Width of the embedding (or classes); channels of the images.
        image_size (`int` or `(int, int)`): Pixels, or height and width. The last map has a sixteenth of them: 7 x 6 for
            112 x 96 pixels.

    Raises:
        ValueError: The width is not above 0; in `forward`, images of another size.

    Reference: Chen et al. 2018, "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile
    Devices", table 1.
    """

    def __init__(
        self,
        width: float = 1.0,
        num_labels: int = 128,
        num_channels: int = 3,
        image_size: int | tuple[int, int] = (112, 96),
    ):
        super().__init__()
        if not width > 0:
            raise ValueError(f"width is a factor of the channels and must be above 0; got {shown(width)}.")
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.grid = tuple(-(-side // _DOWNSAMPLING) for side in sides)  # rounded up, as padded strides do
        channels, last = scaled_channels(64, width), scaled_channels(512, width)
        self.conv1 = Convolution(num_channels, channels, 3, stride=2, padding=1)
        self.dw_conv1 = Convolution(channels, channels, 3, padding=1, groups=channels)
        blocks = []
        for factor, stage_channels, num_blocks, stride in _STAGES:
            out_channels = scaled_channels(stage_channels, width)
            for index in range(num_blocks):
                blocks.append(Bottleneck(channels, out_channels, stride if index == 0 else 1, factor))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = Convolution(channels, last, 1)
        self.linear7 = Convolution(last, last, self.grid, groups=last, activation=False)
        self.linear1 = Convolution(last, num_labels, 1, activation=False)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Embeddings (or logits) of shape (batch, num_labels), not normalized."""
        hidden = self.conv2(self.blocks(self.dw_conv1(self.conv1(channels_last(pixel_values)))))
        if hidden.shape[2:] != self.grid:
            height, width = (side * _DOWNSAMPLING for side in self.grid)
            raise ValueError(
                f"This network has a weight for each of {self.grid[0]} x {self.grid[1]} positions of its last map, so it "
                f"needs images of {height} x {width} pixels, at most 15 less each; got {pixel_values.shape[2]} x "
                f"{pixel_values.shape[3]}. Resize them, or build the network for your size (image_size)."
            )
        return self.linear1(self.linear7(hidden)).flatten(1)


class Convolution(nn.Module):
    """Convolution, BatchNorm and, by default, PReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, ...],
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        activation: bool = True,
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=padding, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)
        self.prelu = nn.PReLU(out_channels) if activation else nn.Identity()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature maps of shape (batch, out_channels, height, width)."""
        return self.prelu(self.bn(self.conv(hidden)))


class Bottleneck(nn.Module):
    """Inverted residual block: expand, depthwise convolution, project without activation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, factor: int):
        super().__init__()
        inner = in_channels * factor
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Feature maps of shape (batch, out_channels, height, width)."""
        return self.conv(hidden) + hidden if self.has_shortcut else self.conv(hidden)


register_network(MobileFaceNet, name="mobilefacenet")
