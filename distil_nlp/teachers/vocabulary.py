"""Teacher and student must read the same ids."""


def check_vocabulary(student, teacher, student_tokenizer=None, teacher_tokenizer=None):
    """Refuse a pair that would read one batch of ids as two different texts.

    Args:
        student, teacher (`nn.Module`): Those without an embedding table (images, audio) pass.
        student_tokenizer, teacher_tokenizer (*optional*): Compared word by word where both are known; equal
            tokenizers settle the matter even when one table is padded.

    Raises:
        ValueError: The tokenizers differ, or their tables do.
    """
    if student_tokenizer is not None and teacher_tokenizer is not None:
        _compare_tokenizers(student_tokenizer, teacher_tokenizer)
    ours, theirs = num_embeddings(student), num_embeddings(teacher)
    if ours is None or theirs is None or ours == theirs:
        return
    known_equal = student_tokenizer is not None and teacher_tokenizer is not None
    if known_equal and min(ours, theirs) >= len(student_tokenizer):
        return
    raise ValueError(
        f"The student ({type(student).__name__}) has an embedding table of {ours} rows, the teacher "
        f"({type(teacher).__name__}) of {theirs}: one batch of token ids would be two different texts. Take a student "
        f"made for the teacher's tokenizer (`student_from_teacher`), or a teacher that shares the student's. Where a text "
        f"gets one answer, the teacher may read columns of its own: `SeparateInputs`."
    )


def _compare_tokenizers(student, teacher):
    ours, theirs = getattr(student, "get_vocab", dict)(), getattr(teacher, "get_vocab", dict)()
    if not ours or not theirs or ours == theirs:
        return
    token = next((token for token in ours if ours[token] != theirs.get(token)), None)
    example = (
        f"'{token}' is {ours[token]} for the student and {theirs.get(token, 'unknown')} for the teacher"
        if token is not None
        else f"the teacher knows {len(theirs) - len(ours)} tokens more"
    )
    raise ValueError(
        f"Student and teacher use different tokenizers ({len(ours)} and {len(theirs)} tokens; {example}): one batch of "
        f"token ids would be two different texts. Tokenize with the teacher's tokenizer and take a student made for it "
        f"(`student_from_teacher`), or choose a teacher that shares the student's. Where a text gets one answer, the "
        f"teacher may read columns of its own: `SeparateInputs`."
    )


def num_embeddings(model):
    """Rows of the token embedding table, or None where a model has none."""
    try:
        table = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    return getattr(table, "num_embeddings", None)
