"""A student that keeps its teacher's encoder: not trained, and where both run side by side, asked once."""

import torch


def freeze_encoder(student, teacher):
    """Keep the encoder of a student as it is, the teacher's: only the rest is trained.

    Args:
        student (`PreTrainedModel`): An encoder-decoder with the teacher's encoder (`student_from_teacher` copies it).
        teacher (`PreTrainedModel`): Only read.

    Raises:
        ValueError: No encoder-decoder; an encoder that is not the teacher's, which would stay untrained.

    Reference: Gandhi et al. 2023, "Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labeling",
    section 4.
    """
    for role, model in (("student", student), ("teacher", teacher)):
        if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
            raise ValueError(
                f"freeze_encoder keeps the encoder of an encoder-decoder; the {role}, {type(model).__name__}, is none. "
                f"Leave it out."
            )
    ours, theirs = student.get_encoder(), teacher.get_encoder()
    if not _same(ours, theirs):
        raise ValueError(
            f"The encoder of the student ({_size(ours)} parameters) is not the teacher's ({_size(theirs)}), so that it "
            f"must be trained. Take a student of the teacher's layers (leave `student` out), or freeze_encoder: false."
        )
    ours.requires_grad_(False)
    # Trainer puts the whole model into train mode at every step; what stays as it is has no dropout either.
    ours.register_forward_pre_hook(_as_in_evaluation)


def share_encoder(student, teacher):
    """Let a student with a frozen encoder use the teacher's own, which is then asked once about each batch.

    The outputs stay the same, bit for bit. Nothing is shared where the encoder is trained, or of another precision.

    Args:
        student, teacher (`PreTrainedModel`): After `freeze_encoder`.

    Returns:
        `bool`: Whether they share it now.
    """
    ours, theirs = student.get_encoder(), teacher.get_encoder()
    if any(parameter.requires_grad for parameter in ours.parameters()) or not _same(ours, theirs):
        return False
    theirs.requires_grad_(False)
    if not isinstance(theirs.forward, _MemoizedForward):
        theirs.forward = _MemoizedForward(theirs.forward)
    ours.forward = theirs.forward
    return True


class _MemoizedForward:
    """A forward that remembers its last answer, for whoever asks about the same tensor again."""

    def __init__(self, forward):
        self.forward, self.asked, self.answer = forward, None, None

    def __call__(self, input_features, *args, **kwargs):
        if self.asked is None or self.asked[0] is not input_features or self.asked[1] != (args, kwargs):
            # The teacher asks in inference mode, whose tensors the student's graph could not take.
            with torch.inference_mode(False), torch.no_grad():
                self.answer = self.forward(input_features, *args, **kwargs)
            self.asked = input_features, (args, kwargs)
        return self.answer


def _as_in_evaluation(module, args):
    module.eval()


def _same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(
        tensor.dtype == theirs[name].dtype and torch.equal(tensor, theirs[name].to(tensor.device))
        for name, tensor in ours.items()
    )


def _size(module):
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"
