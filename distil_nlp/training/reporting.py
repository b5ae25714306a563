"""After training: the comparison, the model card, the upload."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.trainer_utils import has_length

from ..evaluation import Candidate, Latency, compare, measure_latency, predict
from ..hub import check_pushable, model_card, pipeline_tag_of, push_to_hub, write_card
from ..internals.messages import listed, nearest, shown
from ..metrics import default_evaluator
from ..metrics.base import Evaluator
from ..models import import_line
from ..reports.report import Report
from ..signals.problem_kinds import problem_kind_of_model
from ..signals.wrappers import config_of
from ..teachers import Teacher
from .data_check import named_datasets, with_named_rows
from .preparation import PreparationMixin

_CARD_METADATA = ("license", "license_name", "license_link", "language")


class ReportingMixin(PreparationMixin):
    """The part of `DistillationTrainer` that compares, documents and publishes the trained student."""

    comparison: Report | None = None  # of the last `compare()`

    def compare(
        self,
        dataset: Any = None,
        *,
        teacher: Any = None,
        control: nn.Module | None = None,
        evaluator: Evaluator | None = None,
        seconds: float = 10.0,
    ) -> Report:
        """Compare teacher and student: quality, agreement, size, latency.

        Args:
            dataset (*optional*): Labeled examples, or the name of one of several data sets in `eval_dataset`. Default:
                `eval_dataset`; of several the one that `metric_for_best_model` names, or the first.
            teacher (*optional*): A teacher instead of the trainer's, if that is a cache of other examples: anything that
                the trainer takes.
            control (`nn.Module`, *optional*): The same student trained without the teacher.
            evaluator (`Evaluator`, *optional*): From `task.evaluator(rows)`. Default: for one label, set of labels or
                number per example.
            seconds (`float`): Time for measuring speed; a cached teacher is not timed.

        Returns:
            `distil_nlp.evaluation.Report`, with the training curves; printing it shows the table.

        Raises:
            ValueError: There is no teacher to compare with, or no labeled data.
        """
        name, dataset = self._data_to_compare_on(dataset)
        teacher = self._teacher_to_compare(teacher, dataset)
        evaluator = self._default_evaluator(dataset, teacher) if evaluator is None else evaluator
        teacher_models = nn.ModuleList(teacher.models) if teacher.models else None
        predictors = [
            ("teacher", teacher, teacher_models),
            ("student", self.model, self.model),
            ("control", control, control),
        ]
        candidates = [
            Candidate(role, role, [self._answers(dataset, predictor, evaluator)], model)
            for role, predictor, model in predictors
            if predictor is not None
        ]
        self.comparison = compare(
            candidates,
            evaluator,
            latency=self._latency(dataset, teacher, control, seconds),
            seeds=[self.args.seed],
            objective=self.objective.describe(),
            training_curves={"student": self.state.log_history},
            data=None if name is None else {"compared_on": name},
        )
        return self.comparison

    def _teacher_to_compare(self, teacher: Any, dataset: Any) -> Teacher:
        """The teacher of a comparison; a ValueError if there is none, or no data that it can be run on."""
        teacher = self.teacher if teacher is None else self._prepare_teacher(teacher)
        if teacher is None or dataset is None:
            raise ValueError(
                f"A comparison needs a teacher and labeled data; got "
                f"{'teacher=None' if teacher is None else teacher.name} and "
                f"{'no data' if dataset is None else 'data'}. Pass compare(dataset), or eval_dataset= to the trainer."
            )
        if not has_length(dataset):
            raise ValueError(
                f"A comparison reads its data several times and in order of length; {type(dataset).__name__} has no "
                f"length. Pass a data set with one: datasets.Dataset.from_list([*stream])."
            )
        self._check_teacher_columns(dataset, teacher)
        return teacher

    def _data_to_compare_on(self, dataset: Any) -> tuple[str | None, Any]:
        """One data set to compare on, and its name if it is one of several."""
        dataset = self.eval_dataset if dataset is None else dataset
        if isinstance(dataset, str):
            several = named_datasets(self.eval_dataset)
            if dataset not in several:
                raise ValueError(
                    f"{shown(dataset)} is not one of the evaluation data sets "
                    f"({listed(several)}){nearest(dataset, several)}."
                )
            return dataset, several[dataset]
        if not isinstance(dataset, dict):
            return None, with_named_rows(self.model, {"eval_dataset": dataset}).get("eval_dataset")
        best = (self.args.metric_for_best_model or "").removeprefix("eval_")
        chosen = next((name for name in named_datasets(dataset) if best.startswith(f"{name}_")), next(iter(dataset)))
        return chosen, dataset[chosen]

    def _latency(
        self, dataset: Any, teacher: Teacher, control: nn.Module | None, seconds: float
    ) -> dict[str, Latency]:
        # A single model is timed alone; an ensemble as a whole, its members one after the other.
        timed_teacher = teacher if teacher.model is None else teacher.model
        timed = {"teacher": timed_teacher if teacher.models else None, "student": self.model, "control": control}
        return measure_latency(
            {role: model for role, model in timed.items() if model is not None},
            lambda size: next(self._batches_of(dataset, [0] * size, size)),
            seconds=seconds,
            device=self.args.device,
        )

    def _default_evaluator(self, dataset: Any, teacher: Teacher) -> Evaluator:
        batches = list(self._batches_of(dataset, range(len(dataset))))
        problem_type = problem_kind_of_model(self.model, batches[0]).name
        labels = [batch["labels"].cpu().numpy() for batch in batches]
        return default_evaluator(problem_type, labels, teacher(batches[0]).num_classes)

    def _answers(self, dataset: Any, predictor: Any, evaluator: Evaluator) -> list:
        def answers(logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> Any:
            return evaluator.answers(logits, self._read_labels(batch))

        return predict(predictor, dataset, self.data_collator, keep=answers, device=self.args.device)

    def create_model_card(  # type: ignore[override]  # by keyword only
        self, *, model_name: str | None = None, dataset: str | None = None, **metadata: Any
    ) -> None:
        """Write the card of the student into `output_dir`, built from the comparison. A README.md of yours stays.

        Args:
            model_name (`str`, *optional*): Default: the repository or folder.
            dataset (`str`, *optional*): A short description of the data.
            metadata: `license`, `license_name`, `license_link`, `language`: metadata for the Hub.

        Raises:
            TypeError: Unknown metadata.
            ValueError: The student was trained without a teacher.
        """
        _check_card_metadata(metadata)
        if not self.is_world_process_zero():
            return
        report, tag = self.comparison or self.compare(), pipeline_tag_of(self.model)
        if self.teacher is None:
            raise ValueError(
                f"A card names the teacher of the student, and this {type(self.model).__name__} was trained without one "
                f"(teacher=None). Write one with `distil_nlp.hub.model_card`."
            )
        config = config_of(self.model)
        card = model_card(
            report,
            model_name=model_name or self._repo_id(),
            teacher=self.teacher.name,
            dataset=dataset or "the data of this run",
            arguments=self.args,
            pipeline_tag=tag,
            example="image.png" if "image" in tag or tag == "object-detection" else "One sentence to judge.",
            imports=import_line({} if config is None else config.to_dict()),
            **metadata,
        )
        write_card(self._output_dir, card)

    def push_to_hub(  # type: ignore[override]  # returns the address instead of the commit
        self,
        commit_message: str = "Upload distilled student",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        *,
        private: bool | None = None,
        **card: Any,
    ) -> str | None:
        """Save the student, write its card, upload both; no pickle is uploaded.

        Args:
            commit_message (`str`): First line of the commit.
            blocking (`bool`): True: return when all files are uploaded.
            token (`str`, *optional*), revision (`str`, *optional*): See `distil_nlp.push_to_hub`.
            private (`bool`, *optional*): Make a new repository private. Default: `args.hub_private_repo`.
            card: Arguments of `create_model_card`.

        Returns:
            `str`: Address of the repository, or None on processes other than the first.

        Raises:
            TypeError: An unknown argument.
            ValueError: `blocking=False`. The student is not a transformers model (PEFT); with `args.push_to_hub` raised
                before the training.
        """
        if not blocking:
            raise ValueError(
                f"push_to_hub returns when all files are uploaded, so that errors are raised; got "
                f"blocking={shown(blocking)}. Leave blocking out, or call distil_nlp.push_to_hub in a thread."
            )
        _check_card_metadata(card)
        check_pushable(self.model)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**card)
        return push_to_hub(
            self._output_dir,
            self._repo_id(),
            private=(self.args.hub_private_repo or None) if private is None else private,
            commit_message=commit_message,
            token=token or self.args.hub_token,
            revision=revision or self.args.hub_revision,
        )

    def _repo_id(self) -> str:
        return self.args.hub_model_id or self._output_dir.resolve().name


def _check_card_metadata(metadata: Mapping[str, Any]) -> None:
    for name in set(metadata) - {"model_name", "dataset"}:
        if name not in _CARD_METADATA:
            raise TypeError(
                f"A card takes no {shown(name)} (got {shown(metadata[name])}){nearest(name, _CARD_METADATA)}. It takes "
                f"model_name, dataset, {', '.join(_CARD_METADATA)}; teacher, objective and results come from the run."
            )
