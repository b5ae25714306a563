"""The losses once more, slow and plain: one item after the other, by the formula, in float64."""

import torch


def per_item(loss, *tensors):
    """`loss` on each item of tensors of shape (..., classes), in float64; the result has shape (...)."""
    tensors = [tensor.double() for tensor in tensors]
    items = zip(*(tensor.reshape(-1, tensor.shape[-1]) for tensor in tensors), strict=True)
    return torch.stack([loss(*item) for item in items]).view(tensors[0].shape[:-1])


def probabilities(logits):
    return logits.exp() / logits.exp().sum()


def soft_target_kl(student_logits, teacher_logits, *, temperature):
    def divergence(student, teacher):
        ours, theirs = probabilities(student / temperature), probabilities(teacher / temperature)
        total = sum(q * (q.log() - p.log()) for p, q in zip(ours, theirs, strict=True))
        return total * temperature**2

    return per_item(divergence, student_logits, teacher_logits)


def soft_target_bce(student_logits, teacher_logits, *, temperature):
    def divergence(student, teacher):
        total = 0.0
        for z, y in zip(student, teacher, strict=True):
            p, q = 1 / (1 + (-z / temperature).exp()), 1 / (1 + (-y / temperature).exp())
            total = total + q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
        return total / len(student) * temperature**2

    return per_item(divergence, student_logits, teacher_logits)


def mean_square(student, teacher):
    """Both `logit_mse` and `hidden_mse`."""
    return per_item(lambda a, b: sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a), student, teacher)


def cross_entropy(logits, labels):
    def surprise(scores, label):
        return scores.sum() * 0 if label == -100 else -probabilities(scores)[int(label)].log()

    return per_item(surprise, logits, labels.unsqueeze(-1))


def binary_cross_entropy(logits, labels):
    def surprise(scores, answers):
        if (answers < 0).any():
            return scores.sum() * 0
        total = 0.0
        for score, answer in zip(scores, answers, strict=True):
            yes = 1 / (1 + (-score).exp())
            total = total - answer * yes.log() - (1 - answer) * (1 - yes).log()
        return total / len(scores)

    return per_item(surprise, logits, labels)


def squared_error(predictions, targets):
    def distance(prediction, target):
        return prediction.sum() * 0 if target.isnan() else ((prediction - target) ** 2).sum()

    return per_item(distance, predictions.view(-1, 1), targets.view(-1, 1))
