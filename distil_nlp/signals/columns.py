"""Columns of a batch that the loss reads beside the models."""

LABELS = ("labels", "label", "label_ids")
# Columns a task may add to its batches. Bool, of the shape of the items: where the teacher's predictions count.
SOFT_ITEMS = "soft_items"
# Bool, shape (batch, sequence): the only positions whose logits anybody wants, of a model over a vocabulary.
POSITIONS = "positions"
# Floats, shape (batch, most boxes, 4): where the things of `labels` are, center and size, 0 to 1 of the image.
BOXES = "boxes"
# Bool, shape (batch, frames): which frames, one every 10 ms, belong to a clip of which a token or a blank a frame is said.
FRAMES = "frames"
# What the loss reads beside the models: Trainer must not drop it.
TASK_COLUMNS = (*LABELS, SOFT_ITEMS, POSITIONS, BOXES, FRAMES)
# Whole numbers, shape (batch, 2): the first and the last position at which an answer may stand. For whoever judges.
CONTEXT_SPAN = "context_span"
