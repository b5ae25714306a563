"""Learning to say what is heard, a token or a blank a frame (connectionist temporal classification).

The batch says which frames belong to a clip, in a column `frames`: bool, shape (batch, frames), every 10 ms. A model may
answer less often: where it is compared with labels, it is told which of its own frames are there; where it is compared
with a teacher, each of its answers counts for all the frames that it is about. `labels` have shape (batch, most tokens),
int64, -100 behind the last token of a clip; all of them where nobody knows what is said.
"""

import logging

from ..losses.ctc import ctc_frame_kl, ctc_loss, ctc_transcript, frames_needed
from ..signals.columns import FRAMES
from ..signals.frames import align_to_frames, num_output_frames, output_frame_mask
from .base import Term, every_example, fraction, positive

logger = logging.getLogger(__name__)


class CtcTerm(Term):
    """What terms on such models share.

    Args:
        weight (`float` or `Schedule`): Weight in the objective.
        blank (`int`): The token that says nothing: `pad_token_id` of the models of transformers.

    Raises:
        ValueError: No column `frames`; logits that are not one row a frame, or of other tokens; a blank that is no token.
    """

    def __init__(self, weight, *, blank=0):
        super().__init__(weight)
        self.blank = blank

    def setup(self, student, teacher, batch):
        shape = student.logits.shape
        if FRAMES not in batch or len(shape) != 3 or len(shape) != 1 + batch[FRAMES].dim():
            found = f"the shape {tuple(batch[FRAMES].shape)}" if FRAMES in batch else f"none among {', '.join(batch)}"
            raise ValueError(
                f"{type(self).__name__} is about frames: logits of shape (batch, frames, tokens) and a column {FRAMES!r} "
                f"of (batch, frames); the student's are of shape {tuple(shape)}, and the column has {found}."
            )
        if self.needs_teacher and teacher.logits.shape != (*batch[FRAMES].shape, shape[-1]):
            raise ValueError(
                f"{type(self).__name__} wants the teacher's logits of shape {(*batch[FRAMES].shape, shape[-1])}, one a "
                f"frame and token; got {tuple(teacher.logits.shape)}. Do both models have the same tokens?"
            )
        if not 0 <= self.blank < student.logits.shape[-1]:
            raise ValueError(f"blank is one of the {student.logits.shape[-1]} tokens, from 0; got {self.blank}.")

    def output_frame_mask(self, student, batch):
        """Which of the student's frames are there, bool, shape (batch, its frames)."""
        return output_frame_mask(batch[FRAMES], student.logits.shape[1], student.frame_stride)

    def settings(self):
        return {"blank": self.blank}


class CtcLabels(CtcTerm):
    """Say the labels, in whichever frames. An item is a clip whose labels are known, and are no more than the student has
    answers for: nothing can be learned from another, and the log says once that there is one."""

    name, paper = "ctc", "Graves et al. 2006, Connectionist Temporal Classification"
    needs_teacher = False

    def __init__(self, weight, *, blank=0):
        super().__init__(weight, blank=blank)
        self._hop, self._told = None, False

    def setup(self, student, teacher, batch):
        super().setup(student, teacher, batch)
        self._hop = student.frame_stride
        labels = batch.get("labels")
        if labels is None or labels.dim() != 2 or labels.is_floating_point():
            found = "there are none" if labels is None else f"got {labels.dtype} of shape {tuple(labels.shape)}"
            raise ValueError(f"CtcLabels want whole numbers of shape (batch, most tokens), -100 at the end; {found}.")
        size = student.logits.shape[-1]
        if (labels == self.blank).any() or (labels >= size).any():
            raise ValueError(
                f"Labels are tokens from 0 to {size - 1} but for the blank, {self.blank}; got "
                f"{labels.unique().tolist()[:20]}."
            )

    def items(self, batch):
        return (batch["labels"] >= 0).any(1) & ~self._lacks_room(batch)

    def _lacks_room(self, batch):
        return frames_needed(batch["labels"]) > num_output_frames(batch[FRAMES], self._hop)

    def values(self, student, teacher, batch):
        if not self._told and self._lacks_room(batch).any():
            self._told = True
            logger.warning(
                "A clip has more letters than the student can answer in its time, so its text cannot be learned: such "
                "clips do not count. A student whose answers are closer together has room for them. (Said once.)"
            )
        return ctc_loss(student.logits, self.output_frame_mask(student, batch), batch["labels"], blank=self.blank)


class CtcTranscript(CtcTerm):
    """Say what the teacher says, in whichever frames (pseudo-labels). An item is a clip."""

    name = "ctc_transcript"
    paper = "Gandhi et al. 2023, Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labeling"

    def items(self, batch):
        return every_example(batch)

    def values(self, student, teacher, batch):
        said = ctc_transcript(teacher.logits, batch[FRAMES], blank=self.blank)
        return ctc_loss(student.logits, self.output_frame_mask(student, batch), said, blank=self.blank)


class CtcSoftTargets(CtcTerm):
    """Match the teacher's softened distribution over tokens, frame by frame. An item is a frame of a clip.

    Args:
        temperature (`float` or `Schedule`): Greater than 0.
        blank_weight (`float`): What a frame counts in which the teacher surely says nothing, 0 to 1.
    """

    name = "ctc_frames"
    paper = "Takashima et al. 2018, An Investigation of a Knowledge Distillation Method for CTC Acoustic Models"

    def __init__(self, weight, *, temperature=2.0, blank=0, blank_weight=0.1):
        super().__init__(weight, blank=blank)
        self.temperature = self.follow("temperature", temperature, positive)
        self.blank_weight = fraction(blank_weight, "blank_weight")

    def items(self, batch):
        return batch[FRAMES].bool()

    def values(self, student, teacher, batch):
        return ctc_frame_kl(
            align_to_frames(student.logits, batch[FRAMES].shape[1], student.frame_stride),
            teacher.at(self.temperature),
            temperature=self.temperature,
            blank=self.blank,
            blank_weight=self.blank_weight,
        )

    def metrics(self, student, teacher, batch):
        ours = align_to_frames(student.best(), batch[FRAMES].shape[1], student.frame_stride)
        return {"agreement": (ours == teacher.best()).float()}

    def settings(self):
        return {"temperature": self.temperature, "blank_weight": self.blank_weight, **super().settings()}
