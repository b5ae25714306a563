"""Slow reference versions of the losses: item by item, by the formula, in float64."""

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
        student_values, teacher_values = probabilities(student / temperature), probabilities(teacher / temperature)
        total = sum(q * (q.log() - p.log()) for p, q in zip(student_values, teacher_values, strict=True))
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
    def negative_log_likelihood(scores, label):
        return scores.sum() * 0 if label == -100 else -probabilities(scores)[int(label)].log()

    return per_item(negative_log_likelihood, logits, labels.unsqueeze(-1))


def soft_cross_entropy(logits, labels):
    def negative_log_likelihood(scores, shares):
        if (shares < 0).any():
            return scores.sum() * 0
        return -sum(share * p.log() for share, p in zip(shares, probabilities(scores), strict=True))

    return per_item(negative_log_likelihood, logits, labels)


def binary_cross_entropy(logits, labels):
    def negative_log_likelihood(scores, answers):
        if (answers < 0).any():
            return scores.sum() * 0
        total = 0.0
        for score, answer in zip(scores, answers, strict=True):
            yes = 1 / (1 + (-score).exp())
            total = total - answer * yes.log() - (1 - answer) * (1 - yes).log()
        return total / len(scores)

    return per_item(negative_log_likelihood, logits, labels)


def squared_error(predictions, targets):
    def distance(prediction, target):
        return prediction.sum() * 0 if target.isnan() else ((prediction - target) ** 2).sum()

    return per_item(distance, predictions.view(-1, 1), targets.view(-1, 1))


def sparse_target_kl(student_logits, ids, weights, *, temperature, rest=None, entropy=None):
    """Reference for ids and weights of two dimensions, rest and entropy of one."""
    values = []
    for item, logits in enumerate(student_logits.double()):
        student, total = probabilities(logits / temperature), 0.0
        kept = {
            int(token): weight.double() for token, weight in zip(ids[item], weights[item], strict=True) if weight > 0
        }
        for token, weight in kept.items():
            total = total - weight * student[token].log()
        if rest is not None:
            others = sum(student[token] for token in range(len(student)) if token not in kept)
            total = total + sum(weight * weight.log() for weight in kept.values())
            if rest[item] > 0:
                total = total + rest[item].double() * (rest[item].double() / others).log()
        elif entropy is not None:
            total = total - entropy[item].double()
        values.append(total * temperature**2)
    return torch.stack(values)


def standardized(values):
    mean = values.sum() / len(values)
    return (values - mean) / (((values - mean) ** 2).sum() / len(values)).sqrt()


def standardized_kl(student_logits, teacher_logits, *, temperature):
    student_values, teacher_values = (
        torch.stack([standardized(row) for row in logits.double().flatten(0, -2)]).view(logits.shape)
        for logits in (student_logits, teacher_logits)
    )
    return soft_target_kl(student_values, teacher_values, temperature=temperature)


def hidden_cosine(student, teacher):
    return per_item(lambda a, b: 1 - (a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt(), student, teacher)


def normalized_mse(student, teacher):
    return per_item(lambda a, b: ((a / (a @ a).sqrt() - b / (b @ b).sqrt()) ** 2).sum(), student, teacher)


def correlation(student_values, teacher_values):
    student_values, teacher_values = student_values - student_values.mean(), teacher_values - teacher_values.mean()
    return (student_values @ teacher_values) / (
        (student_values @ student_values) * (teacher_values @ teacher_values)
    ).sqrt()


def class_correlation(student_logits, teacher_logits, *, temperature):
    def distance(student, teacher):
        student_values, teacher_values = probabilities(student / temperature), probabilities(teacher / temperature)
        return (1 - correlation(student_values, teacher_values)) * temperature**2

    return per_item(distance, student_logits, teacher_logits)


def batch_correlation(student_logits, teacher_logits, *, temperature):
    student_values, teacher_values = (
        torch.stack([probabilities(row.double() / temperature) for row in logits])
        for logits in (student_logits, teacher_logits)
    )
    total = sum(
        1 - correlation(student_values[:, label], teacher_values[:, label]) for label in range(student_values.shape[1])
    )
    return (total / student_values.shape[1] * temperature**2).reshape(1)


def without(values, place):
    return torch.cat([values[:place], values[place + 1 :]])


def decoupled_kl(student_logits, teacher_logits, labels, *, temperature, target_weight, other_weight):
    def divergence(student, teacher, label):
        if label < 0:
            return student.sum() * 0
        p, q = probabilities(student / temperature), probabilities(teacher / temperature)
        at = int(label)
        target = q[at] * (q[at] / p[at]).log() + (1 - q[at]) * ((1 - q[at]) / (1 - p[at])).log()
        student_others, teacher_others = without(p, at) / (1 - p[at]), without(q, at) / (1 - q[at])
        return (
            target_weight * target + other_weight * (teacher_others * (teacher_others / student_others).log()).sum()
        ) * temperature**2

    return per_item(divergence, student_logits, teacher_logits, labels.unsqueeze(-1))


def normalized_soft_targets(student_logits, teacher_logits, labels, *, temperature, other_weight):
    def negative_log_likelihood(student, teacher, label):
        if label < 0:
            return student.sum() * 0
        at = int(label)
        student_others, teacher_others = (
            probabilities(without(logits, at) / temperature) for logits in (student, teacher)
        )
        others = -(teacher_others * student_others.log()).sum() * temperature**2
        return -probabilities(teacher)[at] * probabilities(student)[at].log() + other_weight * others

    return per_item(negative_log_likelihood, student_logits, teacher_logits, labels.unsqueeze(-1))


def dot_products(queries, keys, num_heads):
    batch, length, width = queries.shape
    size = width // num_heads
    result = torch.zeros(batch, num_heads, length, length, dtype=torch.float64)
    for b in range(batch):
        for h in range(num_heads):
            student_values, teacher_values = (
                tensor[b, :, h * size : (h + 1) * size].double() for tensor in (queries, keys)
            )
            result[b, h] = (
                torch.stack([torch.stack([(q * k).sum() for k in teacher_values]) for q in student_values]) / size**0.5
            )
    return result


def attention_mse(student_scores, teacher_scores, mask):
    def distance(student_values, teacher_values, keys):
        return ((student_values - teacher_values)[:, keys] ** 2).mean() if keys.any() else student_values.sum() * 0

    return _per_query(distance, student_scores, teacher_scores, mask)


def attention_kl(student_scores, teacher_scores, mask):
    def divergence(student_values, teacher_values, keys):
        if not keys.any():
            return student_values.sum() * 0
        total = 0.0
        for student, teacher in zip(student_values[:, keys], teacher_values[:, keys], strict=True):
            p, q = probabilities(student), probabilities(teacher)
            total = total + (q * (q / p).log()).sum()
        return total / len(student_values)

    return _per_query(divergence, student_scores, teacher_scores, mask)


def _per_query(loss, student_scores, teacher_scores, mask):
    student_values, teacher_values = (scores.double().transpose(1, 2) for scores in (student_scores, teacher_scores))
    rows = [
        torch.stack(
            [
                loss(student_row, teacher_row, keys)
                for student_row, teacher_row in zip(student_rows, teacher_rows, strict=True)
            ]
        )
        for student_rows, teacher_rows, keys in zip(student_values, teacher_values, mask, strict=True)
    ]
    return torch.stack(rows)


def huber(difference):
    size = difference.abs()
    return 0.5 * difference**2 if size <= 1 else size - 0.5


def relational_distance(student, teacher):
    def spread(points):
        points, n = points.double(), len(points)
        values = [((points[i] - points[j]) ** 2).sum().sqrt() for i in range(n) for j in range(n) if i != j]
        mean = sum(values) / len(values)
        return [distance / mean for distance in values]

    pairs = list(zip(spread(student), spread(teacher), strict=True))
    return (
        sum(huber(student_values - teacher_values) for student_values, teacher_values in pairs) / len(pairs)
    ).reshape(1)


def relational_angle(student, teacher):
    def cosines(points):
        points, n = points.double(), len(points)
        values = []
        for i in range(n):
            for j in range(n):
                for k in range(n):
                    if len({i, j, k}) == 3:
                        a, b = points[i] - points[j], points[k] - points[j]
                        values.append((a @ b) / ((a @ a) * (b @ b)).sqrt())
        return values

    triples = list(zip(cosines(student), cosines(teacher), strict=True))
    return (
        sum(huber(student_values - teacher_values) for student_values, teacher_values in triples) / len(triples)
    ).reshape(1)


def similarity_preserving(student, teacher):
    def similarities(points):
        rows = [torch.stack([(a * b).sum() for b in points.double()]) for a in points.double()]
        return torch.stack([row / (row @ row).sqrt() for row in rows])

    return ((similarities(student) - similarities(teacher)) ** 2).mean().reshape(1)


def pair_cosine_error(embeddings, scores):
    def cosine(a, b):
        dot, first, second = (sum(x * y for x, y in zip(*two, strict=True)) for two in ((a, b), (a, a), (b, b)))
        return dot / (first * second).sqrt()

    vectors, errors = embeddings.double(), []
    for place, score in enumerate(scores.double()):
        values = cosine(vectors[2 * place], vectors[2 * place + 1])
        errors.append(values * 0 if score != score else (values - score) ** 2)
    return torch.stack(errors)


def similarity_kl(student_points, teacher_points, *, temperature):
    def similarities_of(points, index):
        lengths = [(point @ point).sqrt() for point in points]
        others = [other for other in range(len(points)) if other != index]
        return probabilities(
            torch.stack([points[index] @ points[o] / (lengths[index] * lengths[o]) for o in others]) / temperature
        )

    student, teacher = student_points.double(), teacher_points.double()
    total = 0.0
    for one in range(len(student)):
        student_values, teacher_values = similarities_of(student, one), similarities_of(teacher, one)
        total = total + sum(q * (q.log() - p.log()) for p, q in zip(student_values, teacher_values, strict=True))
    return (total / len(student) * temperature**2).reshape(1)


def mean_softmax(logits, weights, *, temperature):
    """Weighted mean of the teachers' softmaxes, for each class over the teachers that have it, as probabilities."""
    known = (weights > 0).expand(len(weights), logits.shape[-1])

    def mean(*logits_of_teachers):
        total = torch.zeros(logits.shape[-1], dtype=torch.float64)
        for item, weight, has_class in zip(logits_of_teachers, weights.double(), known, strict=True):
            total[has_class] += weight.expand(len(has_class))[has_class] * probabilities(item[has_class] / temperature)
        return total / total.sum()

    items = [mean(*items) for items in logits.double().flatten(1, -2).transpose(0, 1)]
    return torch.stack(items).view(logits.shape[1:])


def mean_sigmoid(logits, weights, *, temperature):
    yes = 1 / (1 + (-logits.double().flatten(1, -2) / temperature).exp())
    return sum(weight * item for weight, item in zip(weights.double(), yes, strict=True)).view(logits.shape[1:])


def _pooled(row, size):
    """Adaptive average pooling of a map (height, width) to a smaller size, area by area."""
    height, width = row.shape
    rows, columns = size
    result = torch.zeros(size, dtype=row.dtype)
    for i in range(rows):
        for j in range(columns):
            top, bottom = i * height // rows, -(-(i + 1) * height // rows)
            left, right = j * width // columns, -(-(j + 1) * width // columns)
            result[i, j] = row[top:bottom, left:right].sum() / ((bottom - top) * (right - left))
    return result


def hint_mse(student, teacher):
    return torch.stack(
        [((a - b) ** 2).sum() / a.numel() for a, b in zip(student.double(), teacher.double(), strict=True)]
    )


def attention_transfer(student, teacher):
    size = tuple(min(a, b) for a, b in zip(student.shape[2:], teacher.shape[2:], strict=True))

    def attention(feature_map):
        strength = _pooled(sum(channel**2 for channel in feature_map), size)
        return strength / (strength**2).sum().sqrt()

    return torch.stack(
        [((attention(a) - attention(b)) ** 2).sum() for a, b in zip(student.double(), teacher.double(), strict=True)]
    )


def channel_wise_kl(student, teacher, *, temperature):
    def divergence(student_values, teacher_values):
        total = 0.0
        for a, b in zip(student_values, teacher_values, strict=True):
            p, q = probabilities(a.flatten() / temperature), probabilities(b.flatten() / temperature)
            total = total + (q * (q / p).log()).sum()
        return total / len(student_values) * temperature**2

    return torch.stack([divergence(a, b) for a, b in zip(student.double(), teacher.double(), strict=True)])


def pearson_maps(student, teacher):
    """Half the squared distance of standardized channels, as in the paper."""

    def flat(maps):
        rows = [torch.cat([one[c].flatten() for one in maps.double()]) for c in range(maps.shape[1])]
        return torch.stack([standardized(row) for row in rows])

    return (((flat(student) - flat(teacher)) ** 2).mean() / 2).reshape(1)


def class_cosines(embedding, centers):
    return torch.stack([(embedding @ one) / ((embedding @ embedding) * (one @ one)).sqrt() for one in centers])


def angular_margin_loss(embeddings, centers, labels, *, margin, scale):
    def negative_log_likelihood(embedding, label):
        if label < 0:
            return embedding.sum() * 0
        cosines, at = class_cosines(embedding, centers.double()), int(label)
        angle = cosines[at].acos()
        too_far = angle + margin > torch.pi
        moved = cosines[at] - margin * torch.tensor(margin).sin() if too_far else (angle + margin).cos()
        scores = scale * torch.stack([moved if place == at else one for place, one in enumerate(cosines)])
        return -probabilities(scores)[at].log()

    return per_item(negative_log_likelihood, embeddings, labels.unsqueeze(-1))


def cosine_margin_loss(embeddings, centers, labels, *, margin, scale):
    def negative_log_likelihood(embedding, label):
        if label < 0:
            return embedding.sum() * 0
        cosines, at = class_cosines(embedding, centers.double()), int(label)
        scores = scale * torch.stack([one - margin * (place == at) for place, one in enumerate(cosines)])
        return -probabilities(scores)[at].log()

    return per_item(negative_log_likelihood, embeddings, labels.unsqueeze(-1))
