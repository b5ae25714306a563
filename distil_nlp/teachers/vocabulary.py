"""Check that teacher and student share a vocabulary."""

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_WAY_OUT = (
    "Tokenize with the teacher's tokenizer and use a student made for it (`student_from_teacher`), or choose a teacher "
    "with the student's tokenizer. With one prediction per text, the teacher may have separate columns: `SeparateInputs`."
)


def check_vocabulary(
    student: nn.Module,
    teacher: nn.Module,
    student_tokenizer: "PreTrainedTokenizerBase | None" = None,
    teacher_tokenizer: "PreTrainedTokenizerBase | None" = None,
) -> None:
    """Raise a ValueError if the same token ids are different texts for student and teacher.

    Args:
        student, teacher (`nn.Module`): Models without an embedding table (images, audio) pass.
        student_tokenizer, teacher_tokenizer (*optional*): Compared token by token if both are passed. With equal
            tokenizers, the embedding tables may differ in padding.

    Raises:
        ValueError: The tokenizers or the sizes of the embedding tables differ.
    """
    if student_tokenizer is not None and teacher_tokenizer is not None:
        _compare_tokenizers(student_tokenizer, teacher_tokenizer)
    student_size, teacher_size = num_embeddings(student), num_embeddings(teacher)
    if student_size is None or teacher_size is None or student_size == teacher_size:
        return
    if student_tokenizer is not None and teacher_tokenizer is not None:  # equal, see above
        if min(student_size, teacher_size) >= len(student_tokenizer):
            return
    raise ValueError(
        f"The student ({type(student).__name__}) has an embedding table of {student_size} rows, the teacher "
        f"({type(teacher).__name__}) of {teacher_size}: the same token ids would be different texts. {_WAY_OUT}"
    )


def _compare_tokenizers(student: "PreTrainedTokenizerBase", teacher: "PreTrainedTokenizerBase") -> None:
    student_ids: dict[str, int] = getattr(student, "get_vocab", dict)()
    teacher_ids: dict[str, int] = getattr(teacher, "get_vocab", dict)()
    if not student_ids or not teacher_ids or student_ids == teacher_ids:
        return
    token = next((token for token in student_ids if student_ids[token] != teacher_ids.get(token)), None)
    example = (
        f"'{token}' is {student_ids[token]} for the student and {teacher_ids.get(token, 'unknown')} for the teacher"
        if token is not None
        else f"the teacher has {len(teacher_ids) - len(student_ids)} more tokens"
    )
    raise ValueError(
        f"Student and teacher use different tokenizers ({len(student_ids)} and {len(teacher_ids)} tokens; {example}): "
        f"the same token ids would be different texts. {_WAY_OUT}"
    )


def num_embeddings(model: nn.Module) -> int | None:
    """Number of rows of the token embedding table; None if the model has none."""
    try:
        table = model.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return None
    return getattr(table, "num_embeddings", None)
