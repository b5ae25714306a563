"""What tasks on images have in common: one view of an image for all models, of which each reads what it does."""

from ..data.images import input_shape, largest_input, preprocessor_of, same_crop
from .file_task import FileTask, made_from


class ImageTask(FileTask):
    """A task whose models read pixels.

    Attributes:
        image_column (`str`): Encoded files.

    See `FileTask` for the others.
    """

    example = "image.png"
    processor_kind = "image processor"

    def saved_processor(self, name_or_path, *, trust_remote_code=False):
        from ..models import load_image_processor  # here, not above: who only looks at data need not wait for torch

        return load_image_processor(name_or_path, trust_remote_code=trust_remote_code)

    def student_processor(self, student, of_teacher, *, student_image_size=None, trust_remote_code=False):
        """The processor saved beside the student, or the teacher's; in another size where one is given.

        Raises:
            ValueError: A processor that shows another part of an image in another size.
        """
        from ..models import resized_processor

        processor = super().student_processor(student, of_teacher, trust_remote_code=trust_remote_code)
        if student_image_size is None:
            return processor
        made = resized_processor(processor, student_image_size)
        if not same_crop(processor, made):
            raise ValueError(
                f"student_image_size={student_image_size}: {type(processor).__name__} with size {dict(made.size)} shows "
                f"another part of an image than with {dict(processor.size)}, so the student would be used on other images "
                f"than it is trained on. Leave student_image_size out, or save another processor beside the model: "
                f"ViTImageProcessor(size={{'height': 224, 'width': 224}}), with the same image_mean and image_std."
            )
        return made

    def prepare_for(self, split, processor, others, **settings):
        # One view for all: that of the largest. The collator makes of it what each of them reads.
        return self.prepare(split, largest_input([processor, *others.values()]), **settings)

    def speed_batch(self, processor, models, batch_size):
        import torch

        generator = torch.Generator().manual_seed(0)
        return {"pixel_values": torch.randn(batch_size, *input_shape(processor), generator=generator)}


def readers_of(processor, others):
    """What a collator must know of several models: the shape of the stored images, and prefix to what each reads.

    Args:
        processor, others: See `Task.collator_for`.
    """
    readers = {"": processor, **others}
    return input_shape(largest_input(readers.values())), {
        prefix: preprocessor_of(one) for prefix, one in readers.items()
    }


def augmentation_from(settings, *, num_classes, example="{flip: 0.5, crop_padding: 4}", usual=None):
    """An `ImageAugmentation` by settings as YAML holds them, see `made_from`; `num_classes` is the task's to say."""
    from ..augmentation import ImageAugmentation

    return made_from(settings, ImageAugmentation, example, usual, num_classes=num_classes)
