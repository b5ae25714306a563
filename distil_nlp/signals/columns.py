"""Names of the batch columns that losses and evaluators read in addition to the inputs of the models."""

LABELS = ("labels", "label", "label_ids")
# The labels of questions in two columns, as transformers names them: the first and the last token of the answer.
SPAN_LABELS = ("start_positions", "end_positions")
# Bool, of the shape of the items: the items on which the student learns from the teacher's predictions.
SOFT_ITEMS = "soft_items"
# Bool, shape (batch, sequence): the only positions whose logits are computed, of a model over a vocabulary.
POSITIONS = "positions"
# Floats, shape (batch, most boxes, 4): the boxes of the objects in `labels`, center and size, 0 to 1 of the image.
BOXES = "boxes"
# Bool, shape (batch, frames): the frames, one every 10 ms, that belong to the clip and not to padding (CTC).
FRAMES = "frames"
# Whole numbers from 0: the number of an example, the key of stored outputs and of augmentation.
EXAMPLE_ID = "example_id"
# Columns that the objective reads: Trainer must not remove them.
TASK_COLUMNS = (*LABELS, *SPAN_LABELS, SOFT_ITEMS, POSITIONS, BOXES, FRAMES)
# Whole numbers, shape (batch, 2): the first and the last position at which an answer may be. Read by the evaluator.
CONTEXT_SPAN = "context_span"
# Columns that no model reads.
NOT_FOR_MODELS = (*TASK_COLUMNS, CONTEXT_SPAN, EXAMPLE_ID)
