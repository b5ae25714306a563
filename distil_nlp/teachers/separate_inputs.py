"""A teacher with a tokenizer of its own reads columns of its own."""

from ..data.examples import TOKENS
from .base import Teacher
from .online import as_teacher
from .student_proxy import StudentProxy


class SeparateInputs(Teacher):
    """A teacher that reads other input than the student: `prefix + "input_ids"` of a batch is its "input_ids", or
    `prefix + "pixel_values"` its "pixel_values".

    Of texts for tasks in which a text gets one answer (a class, a score), however it is cut into tokens. The rows are
    prepared once for each tokenizer and joined, and a collator pads each group with its own tokenizer: see
    `distil_nlp.tasks.with_separate_inputs` and `SeparateInputsCollator`. Of images an `ImageCollator` makes the columns.

    Args:
        teacher: Whatever the trainer takes as a teacher.
        prefix (`str`): Of its columns, such as "teacher_2_".

    Raises:
        ValueError: An empty prefix. Later: an answer for each token, because its tokens are not the student's; a layer
            of tokens to listen to, for the same reason.
    """

    def __init__(self, teacher, prefix):
        if not prefix:
            raise ValueError(
                f"A prefix tells the teacher's columns from the student's; got {prefix!r}. Take 'teacher_'."
            )
        self.teacher, self.prefix = teacher, prefix

    def load(self, **settings):
        self.teacher = as_teacher(self.teacher, **settings)

    @property
    def name(self):
        return getattr(self.teacher, "name", str(self.teacher))

    @property
    def columns(self):
        # A forward that names no columns takes what a tokenizer makes. The student's tokens stay beside them: without any,
        # its collator would not know what to pad.
        return (*(self.prefix + name for name in self.teacher.columns or TOKENS), *TOKENS)

    @property
    def tokenizer(self):
        return getattr(self.teacher, "tokenizer", None)

    @property
    def label_names(self):
        return self.teacher.label_names

    @property
    def architecture(self):
        return self.teacher.architecture

    @property
    def num_parameters(self):
        return self.teacher.num_parameters

    @property
    def is_precomputed(self):
        return getattr(self.teacher, "is_precomputed", False)

    @property
    def models(self):
        return self.teacher.models

    def reconcile(self, student, tokenizer=None):
        self.load(student=student)
        self.teacher.reconcile(StudentProxy(student, own_tokens=True))

    def prepare(self, accelerator):
        self.teacher.prepare(accelerator)

    def tap_layers(self, names):
        self.teacher.tap_layers(names)

    def __call__(self, batch):
        own = {
            name.removeprefix(self.prefix): tensor for name, tensor in batch.items() if name.startswith(self.prefix)
        }
        if not own:
            raise ValueError(
                f"{self.name} reads columns that begin with {self.prefix!r}, and the batch has none (it has "
                f"{', '.join(batch)}). Add them with `with_separate_inputs`, and pad them with an `SeparateInputsCollator`."
            )
        said = self.teacher(own)
        for name, feature in said.features.items():
            if feature.dim() == 3:
                raise ValueError(
                    f"The objective listens to '{name}' of {self.name}, which reads input of its own and gave states of "
                    f"shape {tuple(feature.shape)}: one position is not one part of the text for both. Use a teacher with "
                    f"the student's tokenizer for terms between layers of tokens."
                )
        if said.logits is not None and said.logits.dim() > 2:
            raise ValueError(
                f"{self.name} has a tokenizer of its own and gave logits of shape {tuple(said.logits.shape)}: one answer "
                f"for each of its tokens, which are not the student's. A different tokenizer is for tasks with one answer "
                f"a text; here, choose a teacher that shares the student's."
            )
        return said

    def fingerprint(self):
        return self.teacher.fingerprint()
