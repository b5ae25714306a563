"""Terms of connectionist temporal classification (CTC): a distribution over tokens and the blank for each frame.

The column `frames` of the batch marks the frames of a clip: bool, shape (batch, frames), one every 10 ms. A model may have
fewer output frames: for the comparison with labels the mask is reduced to them, for the comparison with a teacher each
output is repeated for all its frames. `labels` have shape (batch, most tokens), int64, -100 after the last token of a clip,
and -100 everywhere where the transcript is unknown.
"""

import logging
from typing import Any

import torch

from ..internals.messages import listed, shown
from ..losses.ctc import ctc_frame_kl, ctc_loss, ctc_transcript, frames_needed
from ..signals.base import Signals
from ..signals.columns import FRAMES
from ..signals.frames import align_to_frames, num_output_frames, output_frame_mask
from .base import Batch, Term, every_example, fraction, valid_temperature
from .schedules import Scheduled

logger = logging.getLogger(__name__)


class CtcTerm(Term):
    """Base class of CTC terms.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        blank (`int`): The blank token: `pad_token_id` of the models of transformers.

    Raises:
        ValueError: No column `frames`; logits that are not one row per frame, or over other tokens; a blank that is not a
            token.
    """

    def __init__(self, weight: Scheduled, *, blank: int = 0):
        super().__init__(weight)
        self.blank = blank

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        shape = student.logits.shape
        if FRAMES not in batch or len(shape) != 3 or len(shape) != 1 + batch[FRAMES].dim():
            column = f"the shape {tuple(batch[FRAMES].shape)}" if FRAMES in batch else f"none among {listed(batch)}"
            raise ValueError(
                f"{type(self).__name__} compares frames: it needs logits of shape (batch, frames, tokens) and a column "
                f"{shown(FRAMES)} of (batch, frames); the student's are of shape {tuple(shape)}, and the column has "
                f"{column}."
            )
        if self.needs_teacher and teacher.logits.shape != (*batch[FRAMES].shape, shape[-1]):
            raise ValueError(
                f"{type(self).__name__} needs teacher logits of shape {(*batch[FRAMES].shape, shape[-1])}, one per "
                f"frame and token; got {tuple(teacher.logits.shape)}. Do both models have the same tokens?"
            )
        if not 0 <= self.blank < student.logits.shape[-1]:
            raise ValueError(
                f"blank must be one of the {student.logits.shape[-1]} tokens, from 0; got {shown(self.blank)}."
            )

    def output_frame_mask(self, student: Signals, batch: Batch) -> torch.Tensor:
        """Mask of the student's output frames that belong to the clip, bool, shape (batch, output frames)."""
        return output_frame_mask(batch[FRAMES], student.logits.shape[1], student.frame_stride)

    def settings(self) -> dict[str, Any]:
        return {"blank": self.blank}


class CtcLabels(CtcTerm):
    """Match the labels, in any alignment with the frames (CTC loss).

    An item is a clip that has labels, and at least as many output frames as the labels need: other clips have no
    alignment, which is logged once.
    """

    name, paper = "ctc", "Graves et al. 2006, Connectionist Temporal Classification"
    needs_teacher = False

    def __init__(self, weight: Scheduled, *, blank: int = 0):
        super().__init__(weight, blank=blank)
        self._frame_stride: float | None = None
        self._has_warned = False

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        self._frame_stride = student.frame_stride
        labels = batch.get("labels")
        if labels is None or labels.dim() != 2 or labels.is_floating_point():
            column = "there are none" if labels is None else f"got {labels.dtype} of shape {tuple(labels.shape)}"
            raise ValueError(
                f"CtcLabels need labels that are whole numbers of shape (batch, most tokens), -100 at the end; {column}."
            )
        size = student.logits.shape[-1]
        if (labels == self.blank).any() or (labels >= size).any():
            raise ValueError(
                f"Labels must be tokens from 0 to {size - 1} but for the blank, {self.blank}; got "
                f"{labels.unique().tolist()[:20]}."
            )

    def items(self, batch: Batch) -> torch.Tensor:
        return (batch["labels"] >= 0).any(1) & ~self._is_too_short(batch)

    def _is_too_short(self, batch: Batch) -> torch.Tensor:
        """Clips with fewer output frames than their labels need, bool, shape (batch,)."""
        return frames_needed(batch["labels"]) > num_output_frames(batch[FRAMES], self._frame_stride)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        if not self._has_warned and self._is_too_short(batch).any():
            self._has_warned = True
            logger.warning(
                "A clip has more tokens than the student has output frames for, so its text cannot be learned: such clips "
                "do not count. A student with a smaller frame stride has more output frames. (Logged once.)"
            )
        return ctc_loss(student.logits, self.output_frame_mask(student, batch), batch["labels"], blank=self.blank)


class CtcTranscript(CtcTerm):
    """Match the teacher's transcript, in any alignment with the frames (pseudo-labels). An item is a clip."""

    name = "ctc_transcript"
    paper = "Gandhi et al. 2023, Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labeling"

    def items(self, batch: Batch) -> torch.Tensor:
        return every_example(batch)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        transcript = ctc_transcript(teacher.logits, batch[FRAMES], blank=self.blank)
        return ctc_loss(student.logits, self.output_frame_mask(student, batch), transcript, blank=self.blank)


class CtcSoftTargets(CtcTerm):
    """Match the teacher's softened distribution over tokens, frame by frame. An item is a frame of a clip.

    Args:
        temperature (`float` or `Schedule`): Greater than 0.
        blank_weight (`float`): Weight of a frame in which the teacher's probability of the blank is 1; from 0 to 1.
    """

    name = "ctc_frames"
    paper = "Takashima et al. 2018, An Investigation of a Knowledge Distillation Method for CTC Acoustic Models"

    def __init__(self, weight: Scheduled, *, temperature: Scheduled = 2.0, blank: int = 0, blank_weight: float = 0.1):
        super().__init__(weight, blank=blank)
        self.temperature = self.follow("temperature", temperature, valid_temperature)
        self.blank_weight = fraction(blank_weight, "blank_weight")

    def items(self, batch: Batch) -> torch.Tensor:
        return batch[FRAMES].bool()

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return ctc_frame_kl(
            align_to_frames(student.logits, batch[FRAMES].shape[1], student.frame_stride),
            teacher.at(self.temperature),
            temperature=self.temperature,
            blank=self.blank,
            blank_weight=self.blank_weight,
        )

    def metrics(self, student: Signals, teacher: Signals, batch: Batch) -> dict[str, torch.Tensor]:
        tokens = align_to_frames(student.best(), batch[FRAMES].shape[1], student.frame_stride)
        return {"agreement": (tokens == teacher.best()).float()}

    def settings(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "blank_weight": self.blank_weight, **super().settings()}
