"""What a teacher is to the trainer."""

from .capacity import num_parameters


class Teacher:
    """Answers a batch with Signals.

    It is no `nn.Module`, on purpose: held by the trainer, its weights can reach neither the student's checkpoint
    nor the optimizer, and `student.train()` cannot put it into train mode.

    Attributes:
        name (`str`): For reports and cards.
        columns (`tuple[str]`): The columns of a batch it reads, also where the student takes fewer.
        label_names (`list[str]` or None): Names of its classes in order, before `match`; None where it has none.
        model (`nn.Module` or None): What can be timed and counted; None where nothing runs, or several do.
        architecture (`nn.Module` or None): Its modules, for terms that look for layers; the weights may be missing.
        is_precomputed (`bool`): Whether it was asked beforehand, and can say nothing about examples that are altered since.
    """

    name = "teacher"
    columns = ()
    label_names = None
    model = None
    architecture = None
    is_precomputed = False

    @property
    def num_parameters(self):
        """How much it can hold: parameters without embeddings, None where nobody knows."""
        return None if self.architecture is None else num_parameters(self.architecture)

    @property
    def models(self):
        """All modules that run whenever it speaks, `tuple[nn.Module]`; none where some of it is read from disk."""
        return () if self.model is None else (self.model,)

    def load(self, **settings):
        """Load what was given by name only, with the settings of `as_teacher`."""

    def __call__(self, batch):
        """Signals for a batch of tensors; no gradient leads through them."""
        raise NotImplementedError

    def fingerprint(self):
        """A string that changes when the teacher's answers could."""
        raise NotImplementedError

    def tap_layers(self, names):
        """Ask for the outputs of these modules as features from now on."""
        if names:
            raise ValueError(
                f"{type(self).__name__} keeps no features, but the objective listens to {', '.join(names)}. "
                f"Use a teacher that runs (OnlineTeacher)."
            )

    def reconcile(self, student, tokenizer=None):
        """Reconcile labels and vocabulary with the student's before the first batch; ValueError where it cannot be."""

    def prepare(self, accelerator):
        """Take a place on the device."""
