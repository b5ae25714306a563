"""Tasks: columns, labels, preprocessing, collator and evaluator of a kind of data.

One file per task, listed in `_ALL`.
"""

from ..internals.messages import nearest, shown
from .audio_classification import AudioClassification
from .base import Task
from .ctc_speech_recognition import CtcSpeechRecognition
from .face_verification import FaceVerification, hold_out_people
from .hybrid_speech_recognition import HybridSpeechRecognition
from .image_classification import ImageClassification
from .masked_language_modeling import MaskedLanguageModeling
from .object_detection import ObjectDetection
from .question_answering import QuestionAnswering, answer_question
from .sentence_embeddings import SentenceEmbeddings
from .seq2seq_speech_recognition import Seq2SeqSpeechRecognition
from .text_classification import TextClassification
from .token_classification import TokenClassification

_ALL = (
    TextClassification,
    TokenClassification,
    QuestionAnswering,
    SentenceEmbeddings,
    MaskedLanguageModeling,
    ImageClassification,
    AudioClassification,
    HybridSpeechRecognition,
    CtcSpeechRecognition,
    Seq2SeqSpeechRecognition,
    FaceVerification,
    ObjectDetection,
)
TASKS = {task.name: task for task in _ALL}

__all__ = [
    "TASKS",
    "AudioClassification",
    "FaceVerification",
    "ImageClassification",
    "MaskedLanguageModeling",
    "ObjectDetection",
    "QuestionAnswering",
    "SentenceEmbeddings",
    "HybridSpeechRecognition",
    "Seq2SeqSpeechRecognition",
    "Task",
    "TextClassification",
    "TokenClassification",
    "CtcSpeechRecognition",
    "answer_question",
    "hold_out_people",
    "register_task",
    "task_class",
]


def register_task(task: type[Task]) -> type[Task]:
    """Make a task known to recipes, by its `name`. Use as a class decorator.

    Raises:
        TypeError: No subclass of `Task`.
        ValueError: Another task has its name.
    """
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise TypeError(f"A task is a subclass of distil_nlp.tasks.Task; got {shown(task)}.")
    known = TASKS.get(task.name)
    if known is not None and known.__qualname__ != task.__qualname__:
        raise ValueError(f"There is a task {shown(task.name)} already ({known.__name__}). Give it another name.")
    TASKS[task.name] = task
    return task


def task_class(name: str) -> type[Task]:
    """The class of a task by its name; a ValueError lists the names."""
    if name not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}; got {shown(name)}{nearest(name, TASKS)}.")
    return TASKS[name]
