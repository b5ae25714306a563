"""The ranges of the settings of a recipe that are numbers."""

from ..internals.numbers import COUNT, COUNT_OR_ZERO, NOT_NEGATIVE, NUMBER, POSITIVE, WHOLE_NUMBER, Interval

_SHARE = Interval(above=0, below=1)
# Larger models do not exist; building one would take all memory before anything could be said.
_SIZE = Interval(1, 2**20, whole=True)
INTERVALS = {
    **dict.fromkeys(
        ("num_layers", "hidden_size", "intermediate_size", "num_attention_heads", "student_image_size", "image_size"),
        _SIZE,
    ),
    **dict.fromkeys(
        (
            "max_train_samples", "max_eval_samples", "max_length", "max_answer_length", "num_states",
            "num_trials",
        ),
        COUNT,
    ),
    **dict.fromkeys(("joined_clips", "num_mask_copies", "seeds"), Interval(1, 10_000, whole=True)),
    **dict.fromkeys(("train_val_split", "held_out_people", "mask_probability"), _SHARE),
    **dict.fromkeys(("teacher_learning_rate", "max_word_error"), NOT_NEGATIVE),
    **dict.fromkeys(("teacher_weights", "teacher_num_train_epochs", "teacher_stop_epoch"), POSITIVE),
    "doc_stride": COUNT_OR_ZERO,
    "num_augmented_copies": Interval(0, 10_000, whole=True),
    "latency_seconds": Interval(0, 3600),
    "num_cached_targets": Interval(1, 65_535, whole=True),
    "layers": WHOLE_NUMBER,
    "insertion_penalty": NUMBER,
}  # fmt: skip
