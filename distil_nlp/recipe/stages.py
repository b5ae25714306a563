"""What a student learns in which order: one stage, a paper's stages, or those a YAML file spells out."""

import re
from dataclasses import dataclass, field, replace

from ..internals.messages import nearest
from ..objectives import PRESETS, default_objective, objective_from
from ..training.arguments import NO_BLEND, format_settings, objective_settings

# What a stage may set for itself, of the training arguments.
TRAINING = (
    "gradient_accumulation_steps", "learning_rate", "lr_scheduler_type", "max_steps", "num_train_epochs",
    "per_device_train_batch_size", "warmup_steps", "weight_decay",
)  # fmt: skip
_KEYS = ("name", "objective", "share", "data", *TRAINING)


@dataclass
class Stage:
    """One part of a student's training.

    Args:
        name (`str`): Of its folder while later stages are to come.
        terms (`list`, *optional*): As for `objective_from`; None is labels and soft targets by `kd_ratio`.
        share (`float`, *optional*): Its part of the training steps of the recipe.
        data (`str`, *optional*): "all", "labeled" or "unlabeled" rows, or a file of texts. Default: all, and the
            labeled ones where no teacher is listened to.
        settings (`dict`): Training arguments of its own.
    """

    name: str
    terms: list | None = None
    share: float | None = None
    data: str | None = None
    settings: dict = field(default_factory=dict)

    def objective(self, problem_type, training, *, has_labels=True):
        """A new `Objective`; kd_ratio and temperature of `training` set the one that nobody spelled out."""
        if self.terms is not None:
            return objective_from(self.terms, problem_type=problem_type)
        return default_objective(problem_type, has_labels=has_labels, **objective_settings(training))

    def training(self, training, num_examples):
        """The training arguments of this stage.

        Args:
            training (`DistillationTrainingArguments`): Of the recipe.
            num_examples (`int`): Of the whole recipe, of whose steps `share` is a part.
        """
        settings = dict(self.settings)
        if self.share is not None:
            settings["max_steps"] = max(1, round(self.share * num_steps(training, num_examples)))
        elif "num_train_epochs" in settings:
            settings.setdefault("max_steps", -1)
        # The objective is built here and handed to the trainer.
        return replace(training, **settings, **NO_BLEND)


def num_steps(training, num_examples):
    """Optimizer steps of a training on so many examples, as Trainer counts them."""
    if training.max_steps > 0:
        return training.max_steps
    per_batch = training.train_batch_size * training.world_size
    num_batches = -(-num_examples // per_batch)
    per_epoch = max(-(-num_batches // training.gradient_accumulation_steps), 1)
    return -int(-training.num_train_epochs * per_epoch // 1)


def chosen(recipe, training):
    """Whether a recipe says what to learn by; a `kd_ratio` or a temperature says it, too."""
    return any((recipe.preset, recipe.stages, recipe.assistants, format_settings(objective_settings(training))))


def stages_of(recipe, training, *, usual="logits"):
    """The stages of a recipe, at least one; the last one's result is the student. `usual` is the preset of one without.

    Raises:
        ValueError: A stage that is none, a preset beside stages, settings that would have no effect.
    """
    if recipe.preset is not None and recipe.stages is not None:
        raise ValueError(
            f"Both preset={recipe.preset!r} and stages were given; a preset is a list of stages. Drop one."
        )
    known = ("logits", *PRESETS)
    if recipe.preset not in (None, *known):
        raise ValueError(f"preset must be one of {', '.join(known)}; got {recipe.preset!r}.")
    preset = recipe.preset or (usual if recipe.stages is None else None)
    if preset == "logits":
        return [Stage("logits")]
    if named := format_settings(objective_settings(training)):
        who = "stages" if preset is None else f"preset {preset!r}"
        raise ValueError(
            f"{named} would have no effect: they blend labels and soft targets, and the {who} set weights and "
            f"temperatures of their terms themselves. Leave them out, or spell the terms out in `stages:`."
        )
    given = recipe.stages if preset is None else PRESETS[preset]
    if not isinstance(given, list) or not given:
        raise ValueError(f"stages must be a list of stages, each with an objective; got {given!r}.")
    stages = [_stage(one, place) for place, one in enumerate(given, 1)]
    names = [stage.name for stage in stages]
    if strange := [name for name in names if not re.fullmatch(r"[\w-]+", name)]:
        raise ValueError(f"The name of a stage is the name of a folder: letters, digits, _ and -; got {strange[0]!r}.")
    if len(set(names)) < len(names):
        raise ValueError(f"Each stage needs a name of its own, it is the name of a folder; got {', '.join(names)}.")
    return stages


def _stage(given, place):
    if not isinstance(given, dict) or "objective" not in given:
        raise ValueError(
            f"Stage {place} should be a mapping with an `objective:`, a list of terms; got {given!r}. It may have "
            f"{', '.join(_KEYS)}."
        )
    for key in given:
        if key not in _KEYS:
            raise ValueError(
                f"Stage {place} sets {key!r}, which is no setting of a stage{nearest(key, _KEYS)}. It may have "
                f"{', '.join(_KEYS)}."
            )
    share = given.get("share")
    if share is not None and not 0 < share <= 1:
        raise ValueError(
            f"The share of stage {place} is a part of the training steps, above 0 and at most 1; got {share!r}."
        )
    lengths = [key for key in ("share", "max_steps", "num_train_epochs") if given.get(key) is not None]
    if len(lengths) > 1:
        raise ValueError(f"Stage {place} says how long it is by {' and by '.join(lengths)}. Give one of them.")
    settings = {key: given[key] for key in TRAINING if key in given}
    for key, value in settings.items():
        if key != "lr_scheduler_type" and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"{key} of stage {place} must be a number; got {value!r}.")
    return Stage(str(given.get("name", place)), given["objective"], share, given.get("data"), settings)
