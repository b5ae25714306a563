"""Hides tokens and passwords in text that is written to a file or printed."""

import os
import re
from typing import Any

HIDDEN = "***"
SECRET_NAME = re.compile(r"(token|password|passwd|secret|api[_-]?key)$", flags=re.IGNORECASE)
_MIN_LENGTH = 8  # of a secret in an environment variable: shorter ones are found in ordinary words
_VALUE = r"""(?:'[^']*'|"[^"]*"|[^\s'"`,;)\]}]+)"""
_SECRET = r"[\w-]*(?:token|password|passwd|secret|signature|api[_-]?key)"
_PATTERNS = (
    # --hub_token abc; HF_TOKEN=abc and ?token=abc; hub_token: abc
    (re.compile(rf"(--?{_SECRET}\s+)(?!-){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"({_SECRET}=){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"(\w+_(?:token|password|secret|key)\s*:\s+){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(\w://)[^\s/@'\"]+@"), rf"\1{HIDDEN}@"),  # https://user:password@host
    (re.compile(r"(Bearer\s+)[\w.~+/-]{8,}=*"), rf"\1{HIDDEN}"),
    # Tokens of the Hub, of GitHub and of OpenAI, by their first letters.
    (re.compile(r"\b(?:hf_(?=[A-Za-z]*\d)[A-Za-z0-9]{12,}|hf_[A-Za-z0-9]{30,})\b"), HIDDEN),
    (re.compile(r"\b(?:gh[a-z]_[A-Za-z0-9]{30,}|sk-[\w-]{20,})"), HIDDEN),
)


def hide_secrets(value: Any) -> Any:
    """The value with "***" in the place of each secret in its texts.

    Secrets are the values of options and variables with such a name (`--hub_token abc`, `HF_TOKEN=abc`), users and
    passwords in addresses, tokens of known form, and what environment variables such as HF_TOKEN contain.

    Args:
        value: A text, or a list, tuple or dictionary of texts; anything else is returned unchanged.
    """
    if isinstance(value, dict):
        return {key: HIDDEN if item and _is_secret(key, item) else hide_secrets(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(hide_secrets, value))
    if not isinstance(value, str):
        return value
    for secret in _environment_secrets():
        value = value.replace(secret, HIDDEN)
    for pattern, replacement in _PATTERNS:
        value = pattern.sub(replacement, value)
    return value


def _is_secret(key: Any, item: Any) -> bool:
    return isinstance(item, str) and bool(SECRET_NAME.search(str(key)))


def _environment_secrets() -> list[str]:
    found = {value for name, value in os.environ.items() if SECRET_NAME.search(name) and len(value) >= _MIN_LENGTH}
    return sorted(found, key=len, reverse=True)
