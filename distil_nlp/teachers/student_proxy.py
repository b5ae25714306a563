"""A student as one teacher of several meets it."""

import copy


class StudentProxy:
    """The student, but for what does not concern a teacher: labels it does not know, a tokenizer it does not share.

    A teacher's `match` compares itself with the student it is given. Of this one it sees as much as it should.

    Args:
        student (`nn.Module`): Everything not named below is its own.
        label_names (`list[str]`, *optional*): The labels in question, in order, instead of all of the student's.
        own_tokens (`bool`): The teacher reads other token ids, so there are no embeddings to compare.
    """

    def __init__(self, student, *, label_names=None, own_tokens=False):
        self._student, self._own_tokens = student, own_tokens
        self.config = getattr(student, "config", None)
        if label_names is not None:
            self.config = copy.deepcopy(self.config)
            self.config.id2label = dict(enumerate(label_names))
            self.config.num_labels = len(label_names)

    def get_input_embeddings(self):
        return None if self._own_tokens else self._student.get_input_embeddings()

    def __getattr__(self, name):
        if name == "_student":  # not there yet: a copy of this object is being made
            raise AttributeError(name)
        return getattr(self._student, name)
