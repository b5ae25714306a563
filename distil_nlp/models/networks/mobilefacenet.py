"""MobileFaceNet: inverted residual blocks that end in an embedding of a face."""

from torch import nn

from .registry import channels_last, register_network

# Factor of the widening, channels, blocks, stride of the first block.
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
_HALVED = 16  # what height and width are divided by before the map that is left is weighed


class MobileFaceNet(nn.Module):
    """A MobileNetV2 for faces: the last map is weighed place by place, channel by channel, instead of averaged.

    What is in the middle of an aligned face says more than what is at its rim. "mobilefacenet" is the paper's network;
    "mobilefacenetx0.35" has 0.35 of its channels.

    Args:
        width (`float`): Factor of the channels, at least 8 channels each. The embedding keeps its width.
        num_labels, num_channels (`int`): Width of the embedding (or classes); channels of the images.
        image_size (`int` or `(int, int)`): Pixels, or height and width. The last map has a sixteenth of them, 7 x 6 places
            for 112 x 96 pixels, and a weight for each.

    Raises:
        ValueError: A width that is not above 0; in `forward`, images of another size.

    Reference: Chen et al. 2018, "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile
    Devices", table 1.
    """

    def __init__(self, width=1.0, num_labels=128, num_channels=3, image_size=(112, 96)):
        super().__init__()
        if not width > 0:
            raise ValueError(f"width is a factor of the channels, above 0; got {width!r}.")
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.grid = tuple(-(-side // _HALVED) for side in sides)  # rounded up, as halving with padding does
        before, last = _channels(64, width), _channels(512, width)
        self.conv1 = Convolution(num_channels, before, 3, stride=2, padding=1)
        self.dw_conv1 = Convolution(before, before, 3, padding=1, groups=before)
        blocks = []
        for factor, channels, num_blocks, stride in _STAGES:
            after = _channels(channels, width)
            for place in range(num_blocks):
                blocks.append(Bottleneck(before, after, stride if place == 0 else 1, factor))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = Convolution(before, last, 1)
        self.linear7 = Convolution(last, last, self.grid, groups=last, activation=False)
        self.linear1 = Convolution(last, num_labels, 1, activation=False)

    def forward(self, pixel_values):
        hidden = self.conv2(self.blocks(self.dw_conv1(self.conv1(channels_last(pixel_values)))))
        if hidden.shape[2:] != self.grid:
            height, width = (side * _HALVED for side in self.grid)
            raise ValueError(
                f"This network weighs the {self.grid[0]} x {self.grid[1]} places of a face by themselves, so it needs "
                f"images of {height} x {width} pixels, at most 15 less each; got {pixel_values.shape[2]} x "
                f"{pixel_values.shape[3]}. Resize them, or make the network for yours (image_size)."
            )
        return self.linear1(self.linear7(hidden)).flatten(1)


class Convolution(nn.Module):
    """A convolution, normalized, and unless it is told not to, a PReLU."""

    def __init__(self, before, after, kernel, *, stride=1, padding=0, groups=1, activation=True):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride=stride, padding=padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(after)
        self.prelu = nn.PReLU(after) if activation else nn.Identity()

    def forward(self, hidden):
        return self.prelu(self.bn(self.conv(hidden)))


class Bottleneck(nn.Module):
    """Widen, filter each channel by itself, narrow without an activation."""

    def __init__(self, before, after, stride, factor):
        super().__init__()
        inner = before * factor
        self.conv = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.has_shortcut = stride == 1 and before == after

    def forward(self, hidden):
        return self.conv(hidden) + hidden if self.has_shortcut else self.conv(hidden)


def _channels(channels, width):
    return max(8, round(channels * width / 8) * 8)


register_network(MobileFaceNet, name="mobilefacenet")
