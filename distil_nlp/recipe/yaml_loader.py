"""YAML as people write it."""

import re

import yaml


class _Loader(yaml.SafeLoader):
    """Reads 1e-4 as a number. YAML 1.1 wants 1.0e-4 and would make a text of it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def load_yaml(text):
    """What a YAML text holds: plain values only.

    Raises:
        yaml.YAMLError: It does not parse.
    """
    return yaml.load(text, Loader=_Loader)  # a SafeLoader
