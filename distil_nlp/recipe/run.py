"""The stages of a recipe, in order: data, teacher, cache, assistants, student and control, compare, card, push."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import datasets
import torch
from accelerate import PartialState
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from ..hub import model_card, push_to_hub
from ..internals.files import read_json, write_text
from ..internals.malloc import keep_freed_memory
from ..models import import_line
from ..models.loading import load_model
from ..students import build_student, freeze_encoder, share_encoder, student_start, trim_vocabulary
from ..teachers import OnlineTeacher, ZeroShotClassifier
from ..teachers.capacity import LARGE_GAP, far_larger
from ..training.arguments import NO_BLEND
from ..training.trainer import DistillationTrainer
from .assistants import assistants_of, check_sizes, student_kwargs
from .cache import cached_teachers
from .callbacks import Interrupted, SaveOnInterrupt, StopAtEpoch
from .checks import check_link, check_stop, check_zero_shot
from .compare import compare_models
from .data import KINDS, RecipeData
from .run_folder import RunFolder, stage_name
from .stages import chosen, stages_of
from .teachers import as_ensemble, first_teacher, further_teachers, own_processors, teacher_stage

_PUSHING = {"push_to_hub": False, "hub_model_id": None}


class Run:
    """One run of a recipe: stages that are finished are not run again, one that was cut off goes on.

    Args:
        recipe (`RecipeArguments`), training (`DistillationTrainingArguments`), given (`dict`): From `parse`.
        command (`str`): What repeats it, for the report.
    """

    def __init__(self, recipe, training, given, *, command):
        self.recipe, self.given, self.command = recipe, given, command
        self.asked = training  # with its wishes about the Hub, which concern the student at the end only
        self.training = replace(training, **_PUSHING, dataloader_pin_memory=torch.cuda.is_available())
        self.state = PartialState()
        if training.device.type == "cpu":
            keep_freed_memory()
        transformers_logging.disable_progress_bar()  # one for each file read would hide the ones that matter
        if training.disable_tqdm:
            datasets.disable_progress_bars()
        self.folder = RunFolder(training.output_dir)
        self.seeds = [training.seed + offset for offset in range(recipe.seeds)]
        self.stages, self.assistants = stages_of(recipe, training), assistants_of(recipe)
        self._caches = {}  # by the role of the speaker
        self.reference_model = (
            None  # the model whose class, layers and labels a student gets: the teacher, or its like
        )

    def begin(self):
        """Data and teacher: what everything else needs."""
        self.folder.check(self.given)
        self._say("data")
        with self.state.main_process_first():
            self.data = RecipeData(self.recipe, texts=[stage.data for stage in self.stages if stage.data])
        self._say("teacher")
        self.teachers = [self._load_teacher()]
        self.teachers += further_teachers(self, trained=True)
        self.teacher = self.current_teacher = as_ensemble(
            self.teachers, self.recipe
        )  # the speaker teaches what is trained next
        if self.data.task.generates_text:
            with self.state.main_process_first():
                self.data.pseudo_label(self.teacher, self.folder.path / "pseudo_labels", self.state.device)

    def cached(self):
        """The speaker, asked once about all rows to learn from. An assistant is of this run alone, and so is its cache."""
        role = self.role
        if role not in self._caches:
            several = cached_teachers(
                self.teachers if self.current_teacher is self.teacher else [self.current_teacher],
                self.data,
                self.cache_folder,
                temperatures=self.temperatures,
                features=self.tapped_layers[role],
                device=self.state.device,
            )
            self._caches[role] = as_ensemble(several, self.recipe)
        return self._caches[role]

    @property
    def cache_folder(self):
        """Where the cache of the speaker is or will be; of several teachers, each has a folder of its own in it."""
        shared = self.recipe.teacher_cache if self.current_teacher is self.teacher else None
        return Path(shared or self.folder.path / f"{self.role}_cache")

    @property
    def role(self):
        """Of the speaker: "teacher", or the name of an assistant."""
        return "teacher" if self.current_teacher is self.teacher else self.current_teacher.name

    def __call__(self):
        self.begin()
        for assistant in self.assistants:
            self.current_teacher = self._train_assistant(assistant)
        for seed in self.seeds:
            self._train_student(seed)
        if self.recipe.control:
            for seed in self.seeds:
                self._train_control(seed)
        self.state.wait_for_everyone()
        if not self.state.is_main_process:
            return None
        self._say("compare")
        comparison, report = compare_models(self)
        self._finish(comparison, report)
        return comparison

    # ---- Teacher ----

    def _load_teacher(self):
        """The teacher with a trained head; the labels of the data are brought into its order."""
        recipe, auto_class = self.recipe, self.data.task.auto_class
        loading = {"trust_remote_code": recipe.trust_remote_code}
        source = self.folder.finished("teacher") or recipe.teacher
        self.teacher_processor = self.data.task.load_processor(source, **loading)
        self.data.read_with(self.teacher_processor)
        self.processor = self.data.student_processor(self.teacher_processor)
        self.own_processors = own_processors(recipe, self.data.task, self.processor, self.teacher_processor)
        model, fresh = load_model(auto_class, source, dtype=self.training.teacher_dtype, **loading)
        if recipe.hypothesis_template is not None:
            check_zero_shot(recipe, self.data.task, fresh)
            check_stop(recipe, False)
            self.reference_model = self.with_new_head()
            names, template = self.data.task.label_names, recipe.hypothesis_template
            model = ZeroShotClassifier(model, self.processor, names, template=template).eval()
        else:
            finished = self.folder.finished("teacher")
            trained_here = finished or fresh or recipe.train_teacher
            check_stop(recipe, trained_here)
            if trained_here and not finished:
                self.reference_model = self.with_new_head()
                self._begin(self.reference_model)
                source = self.fine_tune_teacher(self.reference_model)
                model, _ = load_model(auto_class, source, dtype=self.training.teacher_dtype, **loading)
            self.data.follow(model, self.teacher_processor, trained_here=bool(trained_here))
            self.reference_model = model
        self._begin(model)
        return first_teacher(self, model)

    def with_new_head(self, source=None, place=0):
        """A teacher's model with a head for this data, which starts at random: of the first teacher, or a further one."""
        set_seed(self.training.seed + place)
        task, recipe = self.data.task, self.recipe
        model, _ = load_model(
            task.auto_class,
            source or recipe.teacher,
            ignore_mismatched_sizes=True,
            trust_remote_code=recipe.trust_remote_code,
            **task.config_labels(),
        )
        return model

    def _begin(self, teacher):
        """Refuse what the later stages would refuse, before any training time is spent; then take the folder."""
        with self.state.main_process_first():
            self.data.prepare(self.processor, self.own_processors)
        self.data.check()
        everyone = [first_teacher(self, teacher), *further_teachers(self, trained=False)]
        self._check_student(teacher, as_ensemble(everyone, self.recipe))
        if self.state.is_main_process:
            self.folder.claim(self.given)

    def _check_student(self, teacher, stand_in):
        student = self.new_student()
        self._bridge_gap(stand_in, student)
        between = [(one.name, self.new_student(one.student_kwargs)) for one in self.assistants]
        chain = [("teacher", teacher), *between, ("student", student)]
        if between:
            check_sizes(chain)
        self.tapped_layers = {}
        for (role, speaker), (_, model) in pairwise(chain):
            lessons = [(stage, self._objective(stage), self._rows(stage)) for stage in self.stages]
            speaker = stand_in if role == "teacher" else OnlineTeacher(speaker)
            check_link(speaker, model, lessons, self.data.collator, self.training)
            cached = [objective for stage, objective, _ in lessons if self._may_cache(stage)]
            self.tapped_layers[role] = list(dict.fromkeys(name for one in cached for name in one.teacher_taps))
            self.temperatures = [temperature for one in cached for temperature in one.temperatures]
        if self.recipe.trim_vocabulary:
            self._say(f"vocabulary: {trim_vocabulary(student, self.processor, self.data.token_ids())}, after training")

    def _bridge_gap(self, teacher, student):
        """Where nobody said what to learn by, and the teacher is far larger: the task's preset for that."""
        preset = self.data.task.preset_for_large_gap
        if preset in (None, self.stages[0].name) or chosen(self.recipe, self.training) or not len(self.data.labeled):
            return
        if far_larger(teacher, student):
            self.stages = stages_of(self.recipe, self.training, usual=preset)
            self._say(f"preset: {preset}; the teacher has {LARGE_GAP} times the student's parameters or more")

    def fine_tune_teacher(self, model, source=None, place=0):
        """Train a teacher on the labels; the folder of the result. Further teachers have other seeds."""
        recipe, stage = self.recipe, teacher_stage(place)
        self._say(f"{stage}: fine-tuning {source or recipe.teacher} on {len(self.data.labeled):,} labeled examples")
        training = replace(
            self.training,
            seed=self.training.seed + place,
            learning_rate=recipe.teacher_learning_rate,
            num_train_epochs=recipe.teacher_num_train_epochs,
            max_steps=-1,
            **NO_BLEND,
        )
        early = [] if recipe.teacher_stop_epoch is None else [StopAtEpoch(recipe.teacher_stop_epoch)]
        processor = self.teacher_processor if place == 0 else self.processor
        save = partial(self._save, processor=processor)
        return self._train(
            stage, model, None, self.data.labeled, training, save=save, processor=processor, callbacks=early
        )

    # ---- Assistants, student and control ----

    def _train_assistant(self, assistant):
        """The next link of the chain, as a teacher. It is one for all seeds: these are to vary the student alone."""
        training = assistant.training(self.training)
        self._learn(assistant.name, training, partial(self.new_student, assistant.student_kwargs), self._save)
        model = self._load(self.folder.path / assistant.name, dtype=self.training.teacher_dtype)
        return OnlineTeacher(model, name=assistant.name, tokenizer=self.processor)

    def _train_student(self, seed):
        name = stage_name("student", seed, self.seeds)
        self._learn(name, replace(self.training, seed=seed), self.new_student, self._save_last)

    def _learn(self, name, training, new_model, save):
        """All stages, one after the other; `save` writes what the last one made."""
        model = None
        if self.folder.finished(name):
            return
        for stage in self.stages:
            is_last = stage is self.stages[-1]
            part = name if is_last else f"{name}.{stage.name}"
            if finished := self.folder.finished(part):
                model = self._load(finished)
                continue
            set_seed(training.seed)
            model = new_model() if model is None else model
            objective, rows = self._objective(stage), self._rows(stage)
            whom = self.role if objective.needs_teacher else "labels"
            self._say(f"{part}: learning from the {whom}, {len(rows):,} examples, seed {training.seed}")
            of_stage = stage.training(training, len(self.data.transfer))
            source = self._teacher_of(stage, objective)
            if self.recipe.freeze_encoder and source is self.teacher:
                share_encoder(model, self.reference_model)
            self._train(part, model, source, rows, of_stage, objective, save=save if is_last else self._save)

    def _train_control(self, seed):
        """The same student on the labels, for as many steps: fewer examples must not mean less training."""
        name = stage_name("control", seed, self.seeds)
        if self.folder.finished(name):
            return
        student = stage_name("student", seed, self.seeds)
        parts = [student, *(f"{student}.{stage.name}" for stage in self.stages[:-1])]
        steps = sum(self.folder.facts(part)["steps"] for part in parts)
        set_seed(seed)
        self._say(f"{name}: the same student without the teacher, {len(self.data.labeled):,} examples, seed {seed}")
        training = replace(self.training, seed=seed, max_steps=steps, **NO_BLEND)
        self._train(name, self.new_student(), None, self.data.labeled, training, save=self._save_last)

    def _objective(self, stage):
        has_labels = len(self.data.labeled) > 0
        return stage.objective(self.data.task.problem_type, self.training, has_labels=has_labels)

    def _rows(self, stage):
        needs_teacher = self._objective(stage).needs_teacher
        return self.data.rows(stage.data or ("all" if needs_teacher else "labeled"))

    def _teacher_of(self, stage, objective):
        if not objective.needs_teacher:
            return None
        return self.cached() if self._may_cache(stage) else self.current_teacher

    def _may_cache(self, stage):
        """The cache is about this recipe's rows; texts of a stage's own file are no part of them."""
        return self.recipe.cache and stage.data in (None, *KINDS)

    def _load(self, folder, **settings):
        code = self.recipe.trust_remote_code
        model, _ = load_model(self.data.task.auto_class, folder, trust_remote_code=code, **settings)
        return model.train()

    def new_student(self, options=None):
        """The student before training, or an assistant by its options; the same weights for the same random state."""
        options = student_kwargs(vars(self.recipe)) if options is None else options
        student = build_student(
            teacher=self.reference_model,
            image_size=self.recipe.student_image_size,
            trust_remote_code=self.recipe.trust_remote_code,
            **options,
        )
        for name, value in self.data.task.config_labels().items():
            setattr(student.config, name, value)
        if self.recipe.freeze_encoder:
            freeze_encoder(student, self.reference_model)
        return student

    def _trainer(self, stage, model, teacher, dataset, training, objective, processor, callbacks):
        return DistillationTrainer(
            model,
            teacher,
            replace(training, output_dir=str(self.folder.checkpoints(stage))),
            objective=objective,
            train_dataset=dataset,
            eval_dataset=self.data.prepared.get("validation"),
            data_collator=self.data.collator_of(processor),
            processing_class=processor,
            compute_metrics=self.data.compute_metrics(),
            callbacks=callbacks,
        )

    def _train(
        self, stage, model, teacher, dataset, training, objective=None, *, save=None, processor=None, callbacks=()
    ):
        stop, processor = SaveOnInterrupt(self.state.num_processes), processor or self.processor
        trainer = self._trainer(stage, model, teacher, dataset, training, objective, processor, [stop, *callbacks])
        result = trainer.train(resume_from_checkpoint=True)
        if stop.asked:
            raise Interrupted(f"{stage} is at step {trainer.state.global_step} of {trainer.state.max_steps}.")
        facts = {
            "steps": trainer.state.global_step,
            "seconds": result.metrics["train_runtime"],
            "objective": trainer.objective.describe(),
        }
        if self.state.is_main_process:
            self.folder.finish(stage, lambda folder: (save or self._save)(trainer.model, folder), facts)
        self.state.wait_for_everyone()
        return self.folder.path / stage

    def _save(self, model, folder, processor=None):
        model.save_pretrained(folder)
        (processor or self.processor).save_pretrained(folder)

    def _save_last(self, model, folder):
        """What is to be used: without the tokens that nothing it learned from has, where that is asked for."""
        if not self.recipe.trim_vocabulary:
            return self._save(model, folder)
        smaller = trim_vocabulary(model, self.processor, self.data.token_ids())
        return self._save(smaller.model, folder, smaller.tokenizer)

    # ---- The end ----

    def _finish(self, comparison, report):
        best = self.folder.path / "student"
        card = model_card(
            report,
            model_name=self._repo_id(),
            teacher=" + ".join([self.recipe.teacher, *(self.recipe.more_teachers or ())]),
            dataset=self.recipe.dataset_name or self.recipe.train_file,
            dataset_config=self.recipe.dataset_config_name,
            dataset_split=self.data.compared_on,
            objective=report["objective"],
            arguments=self.training,
            pipeline_tag=self.data.task.pipeline_tag,
            loading_code=self.data.task.loading_code(self._repo_id()),
            example=self.data.task.example,
            base_model=str(self.recipe.student or self.recipe.teacher),
            student_start=self._start_in_words(report),
            imports=import_line(read_json(best / "config.json")),
        )
        write_text(best / "README.md", card)
        print(f"\n{comparison}\n\nReport: {self.folder.path / 'report.md'}\nThe student, in one line:")
        print(f"  {self.data.task.usage_example(best)}")
        if self.asked.push_to_hub:
            address = push_to_hub(
                best,
                self._repo_id(),
                private=self.asked.hub_private_repo or None,
                token=self.asked.hub_token,
                revision=self.asked.hub_revision,
            )
            print("Pushed:", address)

    def _start_in_words(self, report):
        words = student_start(teacher=self.reference_model, **student_kwargs(vars(self.recipe)))
        if kept := report.get("vocabulary"):
            words += f"; after training its vocabulary was cut to {kept['student']:,} of {kept['teacher']:,} tokens"
        return words

    def _repo_id(self):
        return self.asked.hub_model_id or self.folder.path.resolve().name

    def _say(self, what):
        if self.state.is_main_process:
            print(f"== {what}", flush=True)
