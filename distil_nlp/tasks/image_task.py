"""What tasks on images have in common: one view of an image for all models, of which each reads what it does."""

import dataclasses

from ..suggestions import nearest
from .base import Task
from .images import largest, seen_shape, sees


class ImageTask(Task):
    """A task whose models read pixels.

    Attributes:
        image_column (`str`): Encoded files.

    See `Task` for the others.
    """

    example = "image.png"
    reads_tokens = False
    any_tokenizer = True

    def named_processor(self, name):
        """The image processor of a model that is given by a name of ours, or None where it is none."""
        return None

    def load_processor(self, name_or_path, *, trust_remote_code=False):
        """The image processor of a model, or the one that suits a model given by name."""
        from ..adapters import load_image_processor  # here, not above: who only looks at data need not wait for torch

        processor = self.named_processor(str(name_or_path))
        if processor is None:
            processor = load_image_processor(name_or_path, trust_remote_code=trust_remote_code)
        if processor is None:
            raise ValueError(
                f"{name_or_path} has no image processor beside it (preprocessor_config.json), so its input cannot be made. "
                f"Save the one that it was trained with into its folder."
            )
        return processor

    def student_processor(self, student, of_teacher, *, student_image_size=None, trust_remote_code=False):
        """The processor saved beside the student, or the teacher's; in another size where one is given."""
        from ..adapters import load_image_processor, resized

        own = None
        if student is not None and self.named_processor(str(student)) is None:
            own = load_image_processor(student, trust_remote_code=trust_remote_code)
        processor = own or of_teacher
        return processor if student_image_size is None else resized(processor, student_image_size)

    def prepare_for(self, split, processor, others, **settings):
        # One view for all: that of the largest. The collator makes of it what each of them reads.
        return self.prepare(split, largest([processor, *others.values()]), **settings)

    def same_input(self, processor, other):
        return processor is other or processor.to_dict() == other.to_dict()

    def speed_batch(self, processor, models, batch_size):
        import torch

        generator = torch.Generator().manual_seed(0)
        return {"pixel_values": torch.randn(batch_size, *seen_shape(processor), generator=generator)}


def readers_of(processor, others):
    """What a collator must know of several models: the shape of the stored images, and prefix to what each reads.

    Args:
        processor, others: See `Task.collator_for`.
    """
    readers = {"": processor, **others}
    return seen_shape(largest(readers.values())), {prefix: sees(one) for prefix, one in readers.items()}


def augmentation_from(settings, **fixed):
    """An `Augmentation` by settings as YAML holds them.

    Args:
        settings (`dict`): Its fields.
        fixed: Those that are the task's to say.

    Raises:
        ValueError: No mapping; a field that there is not; whatever `Augmentation` refuses.
    """
    from ..views import Augmentation

    known = [one.name for one in dataclasses.fields(Augmentation) if one.name != "num_classes"]
    for name in settings if isinstance(settings, dict) else [settings]:
        if name not in known or not isinstance(settings, dict):
            raise ValueError(
                f"augmentation is a mapping of {', '.join(known)}, such as {{flip: 0.5, crop_padding: 4}}; got "
                f"{settings!r}{nearest(name, known)}."
            )
    return Augmentation(**{**fixed, **settings})
