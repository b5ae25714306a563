"""Losses against what the teacher predicts."""

from torch.nn.functional import log_softmax, logsigmoid

from .precision import check_same_shape, upcast


def soft_target_kl(student_logits, teacher_logits, *, temperature):
    """Divergence of the student's softened prediction from the teacher's, per item.

    High temperature lets the student see how the teacher ranks the wrong classes.
    Multiplied by temperature**2 so that its gradient keeps its size when temperature changes.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0. 1 changes nothing.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), in nats, not reduced.

    Raises:
        ValueError: The shapes differ, or there is one class only: its softmax is always 1, the loss always 0.

    Reference: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", section 2.1.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    if student_logits.shape[-1] == 1:
        raise ValueError(
            f"A KL divergence over 1 class is always 0 (logits of shape {tuple(student_logits.shape)}), so the student "
            f"would learn nothing. For regression match the logits (`LogitMatching`); for a yes/no task use "
            f"2 classes, or problem_type='multi_label_classification'."
        )
    student = log_softmax(upcast(student_logits) / temperature, dim=-1)
    teacher = log_softmax(upcast(teacher_logits.detach()) / temperature, dim=-1)
    return (teacher.exp() * (teacher - student)).sum(dim=-1) * temperature**2


def standardized_kl(student_logits, teacher_logits, *, temperature):
    """Soft targets of standardized logits: how the classes are ranked and spaced counts, not how large logits are.

    Each item's logits are brought to mean 0 and standard deviation 1 before they are softened, so a small student
    need not grow logits as large as its teacher's.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), in nats, not reduced. Multiplied by temperature**2.

    Raises:
        ValueError: The shapes differ, or there are fewer than 3 classes: two standardized logits are always 1 and -1.

    Reference: Sun et al. 2024, "Logit Standardization in Knowledge Distillation", algorithm 1.
    """
    if student_logits.shape[-1] < 3:
        raise ValueError(
            f"The standardized logits of {student_logits.shape[-1]} classes are always 1 and -1 (logits of shape "
            f"{tuple(student_logits.shape)}), so all that is left to learn is a sign. Use soft_target_kl for fewer than "
            f"3 classes."
        )
    return soft_target_kl(_standardized(student_logits), _standardized(teacher_logits), temperature=temperature)


def _standardized(logits):
    logits = upcast(logits)
    centered = logits - logits.mean(dim=-1, keepdim=True)
    return centered / centered.square().mean(dim=-1, keepdim=True).clamp(min=1e-12).sqrt()


def soft_target_bce(student_logits, teacher_logits, *, temperature):
    """Divergence of the student's softened yes/no predictions from the teacher's, averaged over the labels.

    Each label is a question of its own with two classes (yes, no); its divergence is summed over these two,
    and the labels are averaged as the hard loss averages them, so that `kd_ratio` weighs like with like.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, labels).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.
        temperature (`float`): Dimensionless, greater than 0.

    Returns:
        `torch.Tensor` of shape (batch,), in nats, not reduced. Multiplied by temperature**2.

    Raises:
        ValueError: The shapes differ.

    Reference: Hinton et al. 2015, section 2.1, for a sigmoid in place of the softmax.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    student = upcast(student_logits) / temperature
    teacher = upcast(teacher_logits.detach()) / temperature
    yes = teacher.sigmoid() * (logsigmoid(teacher) - logsigmoid(student))
    no = (-teacher).sigmoid() * (logsigmoid(-teacher) - logsigmoid(-student))
    return (yes + no).mean(dim=-1) * temperature**2


def logit_mse(student_logits, teacher_logits):
    """Squared distance of the logits, averaged over the classes, per item. The soft loss of a regression too.

    Args:
        student_logits (`torch.Tensor`): Shape (batch, classes) or (batch, sequence, classes).
        teacher_logits (`torch.Tensor`): Same shape. No gradient flows into it.

    Returns:
        `torch.Tensor` of shape (batch,) or (batch, sequence), in squared logits, not reduced.

    Raises:
        ValueError: The shapes differ.

    Reference: Ba and Caruana 2014, "Do Deep Nets Really Need to be Deep?", equation 1.
    """
    check_same_shape(student_logits, teacher_logits, "logits")
    return (upcast(student_logits) - upcast(teacher_logits.detach())).square().mean(dim=-1)
