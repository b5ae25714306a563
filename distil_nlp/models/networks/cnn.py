"""A small convolutional network, the smallest student for images."""

import torch
from torch import nn

from .registry import register_network


class Cnn(nn.Module):
    """Two convolutions with max pooling, and two linear layers.

    "cnn1000" has a hidden layer 1,000 wide, "cnn500" one of 500.

    Args:
        hidden_size (`int`): Width of the hidden layer.
        channels (`tuple` of `int`): Of the two convolutions.
        num_labels, num_channels (`int`): Classes; channels of the images.
    """

    def __init__(
        self,
        hidden_size: int = 1000,
        channels: tuple[int, int] = (32, 64),
        num_labels: int = 10,
        num_channels: int = 3,
    ):
        super().__init__()
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(num_channels, first, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(7),  # for images of any size
        )
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(second * 49, hidden_size), nn.ReLU(), nn.Linear(hidden_size, num_labels)
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, num_labels)."""
        return self.classifier(self.features(pixel_values))


register_network(Cnn, name="cnn", size="hidden_size")
