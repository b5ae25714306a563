"""What tasks on images and on sound have in common: models read files through a processor that is saved beside them."""

import dataclasses
from abc import abstractmethod

from ..internals.messages import nearest
from .base import Task


class FileTask(Task):
    """A task whose rows hold encoded files.

    Attributes:
        processor_kind (`str`): What makes a model's input of a file, "image processor".

    See `Task` for the others.
    """

    reads_tokens = False
    allows_other_tokenizers = True
    processor_kind = None

    def named_processor(self, name):
        """The processor of a model that is given by a name of ours, or None where it is none."""
        return None

    @abstractmethod
    def saved_processor(self, name_or_path, *, trust_remote_code=False):
        """The processor that lies beside a model, or None."""

    def load_processor(self, name_or_path, *, trust_remote_code=False):
        """The processor of a model, or the one that suits a model given by name."""
        processor = self.named_processor(str(name_or_path))
        if processor is None:
            processor = self.saved_processor(name_or_path, trust_remote_code=trust_remote_code)
        if processor is None:
            raise ValueError(
                f"{name_or_path} has no {self.processor_kind} beside it (preprocessor_config.json), so its input cannot be "
                f"made. Save the one that it was trained with into its folder."
            )
        return processor

    def student_processor(self, student, of_teacher, *, trust_remote_code=False):
        """The processor saved beside the student, or the teacher's."""
        own = None
        if student is not None and self.named_processor(str(student)) is None:
            own = self.saved_processor(student, trust_remote_code=trust_remote_code)
        return own or of_teacher

    def same_input(self, processor, other):
        return processor is other or processor.to_dict() == other.to_dict()


def made_from(settings, augmentation, example, usual=None, **fixed):
    """An augmentation by settings as YAML holds them.

    Args:
        settings (`dict`): Its fields.
        augmentation (`type`): A dataclass.
        example (`str`): For the message.
        usual (`dict`, *optional*): Fields where the task's default is another.
        fixed: Fields that are the task's to say.

    Raises:
        ValueError: No mapping; a field that there is not; whatever the dataclass refuses.
    """
    known = [one.name for one in dataclasses.fields(augmentation) if one.name not in ("num_classes", *fixed)]
    for name in settings if isinstance(settings, dict) else [settings]:
        if name not in known or not isinstance(settings, dict):
            raise ValueError(
                f"augmentation is a mapping of {', '.join(known)}, such as {example}; got {settings!r}"
                f"{nearest(name, known)}."
            )
    return augmentation(**{**(usual or {}), **fixed, **settings})
