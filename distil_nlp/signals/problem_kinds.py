"""Which kind of problem a batch is."""

from .columns import BOXES, FRAMES

# The problem type of a batch with boxes; transformers has no word for it.
DETECTION = "object_detection"
# The problem type of a batch with frames; transformers has no word for it.
CTC = "ctc"


def are_soft(labels):
    """Whether labels are rows of class probabilities, floats of shape (batch, classes), missing rows aside."""
    if not labels.is_floating_point() or labels.dim() != 2:
        return False
    known = labels[(labels >= 0).all(-1)]
    return bool(((known.sum(-1) - 1).abs() < 1e-3).all())


def problem_type_of(config, batch=None):
    """The problem type of a model: its config's word, else what a batch and width imply, as transformers does.

    Args:
        config (`PreTrainedConfig` or `None`): The model's.
        batch (`Mapping[str, torch.Tensor]`, *optional*): With labels, if there are any.
    """
    batch = batch or {}
    if BOXES in batch:
        return DETECTION
    if FRAMES in batch:
        return CTC
    if getattr(config, "sentence_embedding", None):  # transformers would refuse the word itself in a config
        return "embedding"
    if getattr(config, "embedding_width", None):  # of an image, and whose it is
        return "identity"
    named = getattr(config, "problem_type", None)
    if named:
        return named
    if getattr(config, "num_labels", None) == 1:
        return "regression"
    labels = batch.get("labels")
    if labels is not None and labels.is_floating_point() and labels.dim() == 2:
        return "multi_label_classification"
    return "single_label_classification"
