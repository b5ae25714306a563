"""Losses between how alike two texts are and how alike somebody says they are."""

from torch.nn.functional import cosine_similarity

from .precision import upcast


def pair_cosine_error(embeddings, scores):
    """Squared distance of the cosine of a pair's two embeddings from the pair's score, per pair.

    Args:
        embeddings (`torch.Tensor`): Shape (2 * pairs, width): first and second text of a pair, then the next pair's.
        scores (`torch.FloatTensor`): Shape (pairs,), -1 to 1; NaN where there is none.

    Returns:
        `torch.Tensor` of shape (pairs,), 0 to 4, not reduced; 0 where the score is missing.

    Raises:
        ValueError: Not two embeddings for each score.

    Reference: Reimers and Gurevych 2019, "Sentence-BERT", section 3, regression objective function.
    """
    if embeddings.dim() != 2 or len(embeddings) != 2 * len(scores):
        raise ValueError(
            f"There are two embeddings for each of the {len(scores)} scores, shape ({2 * len(scores)}, width), the two "
            f"of a pair side by side; got {tuple(embeddings.shape)}."
        )
    embeddings = upcast(embeddings)
    cosines = cosine_similarity(embeddings[0::2], embeddings[1::2], dim=-1)
    missing = scores.isnan()
    # The missing score is replaced before the subtraction: NaN times 0 is NaN in the gradient, too.
    return (cosines - scores.masked_fill(missing, 0)).masked_fill(missing, 0).square()
