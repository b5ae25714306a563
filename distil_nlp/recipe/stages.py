"""The stages of a student's training: one, those of a paper, or those of a YAML file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..internals.messages import listed, nearest, shown
from ..internals.numbers import Interval
from ..objectives import PRESETS, Objective, default_objective, objective_from
from ..training.arguments import (
    INTERVALS,
    NO_BLEND,
    DistillationTrainingArguments,
    format_settings,
    objective_settings,
)
from .arguments import RecipeArguments

# The training arguments that a stage may set for itself.
_TRAINING = (
    "gradient_accumulation_steps", "learning_rate", "lr_scheduler_type", "max_steps", "num_train_epochs",
    "per_device_train_batch_size", "warmup_steps", "weight_decay",
)  # fmt: skip
_KEYS = ("name", "objective", "share", "data", *_TRAINING)


@dataclass
class Stage:
    """One part of a student's training.

    Args:
        name (`str`): Of the folder of its result, unless it is the last stage.
        terms (`list`, *optional*): As for `objective_from`. Default: labels and soft targets by `kd_ratio`.
        share (`float`, *optional*): Its share of the training steps of the recipe.
        data (`str`, *optional*): "all", "labeled" or "unlabeled" rows, or a file of texts. Default: all, and the
            labeled ones for an objective without a teacher.
        settings (`dict`): Its own training arguments.
    """

    name: str
    terms: list | None = None
    share: float | None = None
    data: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def objective(
        self, problem_type: str, training: DistillationTrainingArguments, *, has_labels: bool = True
    ) -> Objective:
        """A new objective; `kd_ratio` and temperature of `training` set the default one."""
        if self.terms is not None:
            return objective_from(self.terms, problem_type=problem_type)
        return default_objective(problem_type, has_labels=has_labels, **objective_settings(training))

    def training(self, training: DistillationTrainingArguments, num_examples: int) -> DistillationTrainingArguments:
        """The training arguments of this stage.

        Args:
            training (`DistillationTrainingArguments`): Of the recipe.
            num_examples (`int`): Of the recipe; `share` is a share of the steps on these.
        """
        settings = dict(self.settings)
        if self.share is not None:
            settings["max_steps"] = max(1, round(self.share * num_steps(training, num_examples)))
        elif "num_train_epochs" in settings:
            settings.setdefault("max_steps", -1)
        # The trainer gets the objective of the stage; settings of a default objective would then be an error.
        return replace(training, **settings, **NO_BLEND)


def num_steps(training: DistillationTrainingArguments, num_examples: int) -> int:
    """Optimizer steps of a training on `num_examples` examples, as `Trainer` counts them."""
    if training.max_steps > 0:
        return training.max_steps
    per_batch = training.train_batch_size * training.world_size
    num_batches = -(-num_examples // per_batch)
    per_epoch = max(-(-num_batches // training.gradient_accumulation_steps), 1)
    return -int(-training.num_train_epochs * per_epoch // 1)


def is_method_chosen(recipe: RecipeArguments, training: DistillationTrainingArguments) -> bool:
    """Whether the recipe sets a preset, stages, assistants, or the weights and temperature of the default objective."""
    method = recipe.method
    return any((method.preset, method.stages, method.assistants, format_settings(objective_settings(training))))


def stages_of(
    recipe: RecipeArguments, training: DistillationTrainingArguments, *, default: str = "logits"
) -> list[Stage]:
    """The stages of a recipe, at least one; the result of the last is the student.

    Args:
        recipe (`RecipeArguments`), training (`DistillationTrainingArguments`): The settings.
        default (`str`): The preset of a recipe without preset and stages.

    Raises:
        ValueError: A malformed stage, both a preset and stages, settings that would have no effect.
    """
    method = recipe.method
    if method.preset is not None and method.stages is not None:
        raise ValueError(
            f"Both preset={shown(method.preset)} and stages were given; a preset is a list of stages. Drop one."
        )
    known = ("logits", *PRESETS)
    if method.preset not in (None, *known):
        raise ValueError(f"preset must be one of {', '.join(known)}; got {shown(method.preset)}.")
    preset = method.preset or (default if method.stages is None else None)
    if preset == "logits":
        return [Stage("logits")]
    if named := format_settings(objective_settings(training)):
        source = "stages" if preset is None else f"preset {shown(preset)}"
        raise ValueError(
            f"{named} would have no effect: they weigh labels and soft targets, and the {source} set weights and "
            f"temperatures of their terms themselves. Leave them out, or list the terms in `stages:`."
        )
    entries = method.stages if preset is None else PRESETS[preset]
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"stages must be a list of stages, each with an objective; got {shown(entries)}.")
    stages = [_stage(entry, number) for number, entry in enumerate(entries, 1)]
    names = [stage.name for stage in stages]
    if invalid := [name for name in names if not re.fullmatch(r"[\w-]+", name)]:
        raise ValueError(
            f"The name of a stage is the name of a folder: letters, digits, _ and -; got {shown(invalid[0])}."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"Each stage needs a name of its own, it is the name of a folder; got {listed(names)}.")
    return stages


def _stage(entry: Mapping[str, Any], number: int) -> Stage:
    if not isinstance(entry, dict) or "objective" not in entry:
        raise ValueError(
            f"Stage {number} should be a mapping with an `objective:`, a list of terms; got {shown(entry)}. It may have "
            f"{', '.join(_KEYS)}."
        )
    for key in entry:
        if key not in _KEYS:
            raise ValueError(
                f"Stage {number} sets {shown(key)}, which is not a setting of a stage{nearest(key, _KEYS)}. It may have "
                f"{', '.join(_KEYS)}."
            )
    share = entry.get("share")
    if share is not None:
        Interval(above=0, high=1).check(share, f"The share of stage {number}", "It is a part of the training steps.")
    lengths = [key for key in ("share", "max_steps", "num_train_epochs") if entry.get(key) is not None]
    if len(lengths) > 1:
        raise ValueError(f"Stage {number} sets its length by {' and by '.join(lengths)}. Give one of them.")
    settings = {key: entry[key] for key in _TRAINING if key in entry}
    for key, value in settings.items():
        if key in INTERVALS:
            INTERVALS[key].check(value, f"{key} of stage {number}")
    return Stage(str(entry.get("name", number)), entry["objective"], share, entry.get("data"), settings)
