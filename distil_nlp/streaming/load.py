"""Who hears with a saved model."""

from ..models import load_network
from .keyword_spotter import KeywordSpotter
from .recognizer import Recognizer

_LISTENERS = {listener.model_class: listener for listener in (Recognizer, KeywordSpotter)}


def load_listener(name_or_path):
    """A `Recognizer` or a `KeywordSpotter` by what was saved.

    Args:
        name_or_path (`str` or `Path`): A folder or a Hub id.

    Raises:
        TypeError: A model that is none of ours, or does not listen so.
        OSError: Nothing is there.
    """
    model = load_network(name_or_path)
    if type(model) not in _LISTENERS:
        kinds = " or ".join(kind.__name__ for kind in _LISTENERS)
        raise TypeError(f"{name_or_path} holds a {type(model).__name__}; what hears as sound comes is a {kinds}.")
    return _LISTENERS[type(model)](model)
