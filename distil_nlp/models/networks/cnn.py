"""The smallest networks worth the name."""

from torch import nn

from .registry import register_network


class Cnn(nn.Module):
    """Two convolutions, each halving the image, and two linear maps with a hidden layer between them.

    "cnn1000" has a hidden layer 1,000 wide, "cnn500" one of 500.

    Args:
        hidden_size (`int`): Width of the hidden layer.
        channels (`tuple` of `int`): Of the two convolutions.
        num_labels, num_channels (`int`): Classes; channels of the images.
    """

    def __init__(self, hidden_size=1000, channels=(32, 64), num_labels=10, num_channels=3):
        super().__init__()
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(num_channels, first, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(7),  # whatever the size of the image
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(second * 49, hidden_size), nn.ReLU(), nn.Linear(hidden_size, num_labels)
        )

    def forward(self, pixel_values):
        return self.classifier(self.features(pixel_values))


register_network(Cnn, name="cnn", size="hidden_size")
