"""A control without a neural network."""

import numpy as np

TFIDF = "TF-IDF + logistic regression"


def tfidf_log_probabilities(
    texts: list[str], labels: list[int], evaluation_texts: list[str], num_classes: int
) -> np.ndarray:
    """Fit TF-IDF with logistic regression and predict.

    Args:
        texts, evaluation_texts (`list[str]`): A pair of texts is joined by a line break.
        labels (`list[int]`): Of `texts`, none missing.
        num_classes (`int`): Columns of the result.

    Returns:
        `np.ndarray` of float32, shape (evaluation texts, classes): log-probabilities; a class without
        examples gets the smallest float32.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), LogisticRegression(max_iter=1000, C=10)
    )
    model.fit(texts, labels)
    logits = np.full((len(evaluation_texts), num_classes), np.finfo(np.float32).min, dtype=np.float32)
    logits[:, model.classes_] = model.predict_log_proba(evaluation_texts)
    return logits
