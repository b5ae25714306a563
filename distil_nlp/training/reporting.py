"""What became of a training: the comparison, the card, the upload."""

from pathlib import Path

import torch

from ..evaluation import Candidate, compare, measure_latency, predict
from ..hub import model_card, pipeline_tag_of, push_to_hub
from ..internals.files import write_text
from ..metrics import default_evaluator
from ..models import import_line
from ..signals.problem_kinds import problem_kind_of
from .preparation import PreparationMixin


class ReportingMixin(PreparationMixin):
    """The part of `DistillationTrainer` that looks back, once the student is trained."""

    comparison = None  # of the last `compare()`

    def compare(self, dataset=None, *, teacher=None, control=None, evaluator=None, seconds=10.0):
        """Teacher and student side by side: quality, agreement, size, latency.

        Args:
            dataset (*optional*): Labeled examples; `eval_dataset` by default.
            teacher (*optional*): Who stands beside the student where the trainer's own was asked about other examples, as
                a cache is: whatever the trainer takes. It must be about `dataset`.
            control (`nn.Module`, *optional*): The same student trained without the teacher: what the teacher is worth.
            evaluator (`Evaluator`, *optional*): How they are judged, `task.evaluator(rows)`. By default by one label,
                set of labels or number an example.
            seconds (`float`): Time to spend on measuring speed; a cached teacher has none to measure.

        Returns:
            `distil_nlp.evaluation.Comparison`: printing it shows the table.

        Raises:
            ValueError: There is no teacher to compare with, or no labeled data.
        """
        dataset = self.eval_dataset if dataset is None else dataset
        teacher = self.teacher if teacher is None else self._prepare_teacher(teacher)
        if teacher is None or dataset is None:
            raise ValueError(
                f"A comparison needs a teacher and labeled data; got teacher={teacher!r} and "
                f"{'no data' if dataset is None else 'data'}. Pass compare(dataset), or eval_dataset= to the trainer."
            )
        evaluator = self._yardstick(dataset, teacher) if evaluator is None else evaluator
        running = torch.nn.ModuleList(teacher.models) if teacher.models else None
        speakers = [("teacher", teacher, running), ("student", self.model, self.model), ("control", control, control)]
        candidates = [
            Candidate(role, role, [self._answers(dataset, speaker, evaluator)], model)
            for role, speaker, model in speakers
            if speaker is not None
        ]
        # A single model is timed as it is; several, as they are asked one after the other.
        speaker = teacher if teacher.model is None else teacher.model
        timed = {"teacher": None if running is None else speaker, "student": self.model, "control": control}
        speeds = measure_latency(
            {role: model for role, model in timed.items() if model is not None},
            lambda size: next(self._batches_of(dataset, [0] * size, size)),
            seconds=seconds,
            device=self.args.device,
        )
        self.comparison = compare(candidates, evaluator, latency=speeds, seeds=[self.args.seed])
        return self.comparison

    def _yardstick(self, dataset, teacher):
        batches = list(self._batches_of(dataset, range(len(dataset))))
        problem_type = problem_kind_of(getattr(self.model, "config", None), batches[0]).name
        labels = [batch["labels"].cpu().numpy() for batch in batches]
        return default_evaluator(problem_type, labels, teacher(batches[0]).num_classes)

    def _answers(self, dataset, speaker, evaluator):
        return predict(speaker, dataset, self.data_collator, keep=evaluator.answers, device=self.args.device)

    def create_model_card(self, **kwargs):
        """Write the card of the student into `output_dir`, built from the comparison."""
        if not self.is_world_process_zero():
            return
        comparison, tag = self.comparison or self.compare(), pipeline_tag_of(self.model)
        card = model_card(
            comparison.to_dict(),
            model_name=kwargs.get("model_name") or self._repo_id(),
            teacher=self.teacher.name,
            dataset=kwargs.get("dataset") or "the data of this run",
            objective=self.objective,
            arguments=self.args,
            pipeline_tag=tag,
            example="image.png" if "image" in tag or tag == "object-detection" else "One sentence to judge.",
            imports=import_line(self.model.config.to_dict() if hasattr(self.model, "config") else {}),
        )
        write_text(Path(self.args.output_dir) / "README.md", card)

    def push_to_hub(self, commit_message="Upload distilled student", token=None, revision=None, **kwargs):
        """Save the student, write its card, upload both; no pickle goes along.

        Returns:
            `str`: Address of the repository, or None on processes other than the first.
        """
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**kwargs)
        return push_to_hub(
            self.args.output_dir,
            self._repo_id(),
            private=self.args.hub_private_repo or None,
            commit_message=commit_message,
            token=token or self.args.hub_token,
            revision=revision or self.args.hub_revision,
        )

    def _repo_id(self):
        return self.args.hub_model_id or Path(self.args.output_dir).resolve().name
