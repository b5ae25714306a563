"""Learning the teacher's embeddings: one vector a text, or an image."""

from torch import nn

from ..losses.precision import upcast
from .hidden import DISTANCES, projection
from .soft import TeacherPredictions

_PAPERS = {
    "mse": "Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
    "cosine": "Sanh et al. 2019, DistilBERT, a distilled version of BERT",
}


class EmbeddingMatching(TeacherPredictions):
    """Bring the student's embedding of every text, or image, to the teacher's.

    Where the student's is narrower, a linear map without bias brings it to the teacher's width. It is trained with the
    student and no part of it, and it may turn and stretch: how the student's own vectors lie to each other is then
    learned only so far as the map leaves it. `SimilarityTargets` looks at just that, and is the better one there.

    Args:
        weight (`float`): `kd_ratio` in the default objective of embeddings.
        distance (`str`): "cosine": the direction counts, as in whatever compares by cosine. "mse": the length, too;
            of vectors of length 1 it is the same up to a factor of 2 / width.
        problem_type (`str`): "embedding" for texts in pairs, "identity" for images with whose they are.

    Raises:
        ValueError: An unknown distance; answers that are not one row an example.
    """

    name = "embedding"

    def __init__(self, weight, *, distance="cosine", problem_type="embedding"):
        super().__init__(weight, problem_type=problem_type)
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {', '.join(DISTANCES)}; got {distance!r}.")
        self.distance, self.paper = distance, _PAPERS[distance]
        self._loss, _ = DISTANCES[distance]
        self.projection = nn.Identity()

    def setup(self, student, teacher, batch):
        super().setup(student, teacher, batch)
        shapes = {tuple(said.logits.shape) for said in (student, teacher)}
        if any(len(shape) != 2 for shape in shapes):
            raise ValueError(
                f"EmbeddingMatching compares one vector a text or image, shape (batch, width); got {sorted(shapes)}. Use "
                f"HiddenStates for tokens."
            )
        self.projection = projection(student.logits, teacher.logits)

    def values(self, student, teacher, batch):
        return self._loss(self.projection(upcast(student.logits)), teacher.logits)

    def settings(self):
        return {"distance": self.distance, "projected": not isinstance(self.projection, nn.Identity)}
