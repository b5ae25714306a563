"""What a task owes to everything that judges its models."""

from abc import ABC, abstractmethod

from ..internals.messages import nearest


class Evaluator(ABC):
    """How the models of one task are judged on one split. Holds the references.

    Three steps, so that a bootstrap can repeat the last one alone: what a model said about each row (`answers`),
    what that means for each example beside its reference (`facts`), a metric of some of these (`compute`). An
    example may have several rows: the windows of a long text are answered one by one and judged together.

    Args:
        names (list of str): The metrics in the order they are shown. The first decides unless `main_metric` is given.
        num_rows (`int`): Rows of the prepared split; every model answers each.
        num_examples (`int`): What the metrics are over.
        problem_type (`str`, *optional*): transformers' word, or the task's own; told in the report.
        main_metric (`str`, *optional*): Another of the names to decide by.

    Attributes:
        names, num_rows, num_examples, problem_type: As given.
        main (`str`): The metric that decides. `display(name)` knows whether lower is better.

    Raises:
        ValueError: A `main_metric` that is none of the names.
    """

    def __init__(self, names, *, num_rows, num_examples, problem_type=None, main_metric=None):
        self.names, self.num_rows, self.num_examples = list(names), num_rows, num_examples
        self.problem_type = problem_type
        if main_metric is not None and main_metric not in self.names:
            raise ValueError(
                f"The main metric must be one that {problem_type or 'this task'} has: {', '.join(self.names)}; "
                f"got {main_metric!r}{nearest(main_metric, self.names)}."
            )
        self.main = main_metric or self.names[0]

    def answers(self, logits, batch):
        """What is kept of a model's logits for a batch; by default they themselves, a row an example.

        Args:
            logits (`torch.Tensor`): On any device, in any precision.
            batch (`dict[str, torch.Tensor]`): The collated batch on the same device, labels included.

        Returns:
            A list with one numpy entry for each row of the batch, or an array of as many rows.
        """
        return rows_of(logits)

    @abstractmethod
    def statistics(self, answers):
        """What each example adds to the metrics.

        Args:
            answers (list of `np.ndarray`, or one): An entry for each row of the split, in its order.

        Returns:
            `np.ndarray` of shape (num_examples, k). Every metric is a function of chosen rows of it. Facts of a
            model that cannot be judged (it said NaN) hold NaN in every row.

        Raises:
            ValueError: Answers that do not fit the references.
        """

    @abstractmethod
    def compute(self, name, facts):
        """One metric, a float, of rows of `facts`; nan where it is undefined."""

    def per_example(self, name, facts):
        """For a metric that is a mean over examples: the values it is the mean of, shape (rows of facts,).

        None (the default) for any other. The bootstrap of a mean is a hundred times cheaper.
        """
        return None

    def scores(self, facts):
        """Every metric by name, `dict[str, float]`."""
        return {name: self.compute(name, facts) for name in self.names}

    @abstractmethod
    def agreement(self, ours, theirs):
        """Share of decisions that are the teacher's, of two models' answers; None where nothing is decided."""


def rows_of(logits):
    """Logits of one row an example as float32.

    Args:
        logits (`torch.Tensor`): Shape (batch, columns).

    Returns:
        `np.ndarray` of the same shape.

    Raises:
        ValueError: Another shape.
    """
    if logits.ndim != 2:
        raise ValueError(
            f"Logits should have shape ({len(logits) if logits.ndim else 'batch'}, labels), one row an example of the "
            f"batch; the model gave {tuple(logits.shape)}. What to keep of logits for each token is for an evaluator's "
            f"`answers` to say, given to `predict` as `keep`."
        )
    return logits.float().cpu().numpy()
