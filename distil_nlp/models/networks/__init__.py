"""Plain networks by name: ResNet, MobileNetV2, MobileFaceNet, a small CNN, and acoustic models over log-mel frames."""

from .registry import (
    channels_last,
    find_network,
    import_line,
    make_network,
    parse_network_name,
    register_network,
)

__all__ = [
    "channels_last",
    "find_network",
    "import_line",
    "make_network",
    "parse_network_name",
    "register_network",
]
