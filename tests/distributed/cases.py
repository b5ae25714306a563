"""What one process and two do alike: named cases of one optimizer step, and a short run with everything on."""

from distil_nlp.objectives import Objective
from distil_nlp.objectives.from_config import objective_from
from distil_nlp.objectives.presets import preset
from tests.tiny import tiny_image_model, tiny_model
from tests.training.detection_runs import detection_gradients
from tests.training.images import (
    MAP_BATCH_TERMS,
    MAP_TERMS,
    WITH_PROJECTION,
    image_gradients,
    image_trainer,
    make_images,
    make_networks,
    map_objective,
)
from tests.training.runs import (
    BATCH_TERMS,
    PROBLEMS,
    TERMS,
    hint_objective,
    in_float64,
    make_pair,
    make_rows,
    make_trainer,
    objective_of,
    step_gradients,
    triple_loss,
)
from tests.training.sound import KINDS, make_listeners, make_waves, sound_collator, sound_gradients
from tests.training.test_spans import TOKENIZER, make_models, make_spans
from tests.training.test_two_heads import deit_objective, images

NUM_ROWS = 32
BOXES = "boxes"  # images with boxes, and detectors
SPANS = "spans"  # rows and models of questions
SOUND = "sound"  # clips of uneven length
SINGLE = PROBLEMS[0]
IMAGES = "images"  # rows of pixels and networks whose statistics are frozen


def _case(problem, *, architecture="bert", hint=False, terms=(), num_micro_batches=1, **rows):
    return {
        "problem": problem,
        "architecture": architecture,
        "hint": hint,
        "terms": tuple(terms),
        "num_micro_batches": num_micro_batches,
        "rows": rows,
    }


def _terms(*terms):
    return _case(SINGLE, terms=terms, labeled=lambda row: row % 3 == 0)


def _map_terms(*terms):
    if set(terms) <= MAP_BATCH_TERMS.keys():
        return _case(IMAGES, terms=terms)
    return _case(IMAGES, terms=terms, num_micro_batches=2, labeled=lambda row: row < 5)


# The rows of a step are uneven in length, and where few are labeled, uneven in count between the processes.
CASES = {
    "single label": _case(SINGLE),
    "single label, accumulated": _case(SINGLE, num_micro_batches=2),
    "single label, few labeled": _case(SINGLE, num_micro_batches=2, labeled=lambda row: row < 5),
    "multi-label": _case("multi_label_classification", num_micro_batches=2),
    "regression": _case("regression", num_micro_batches=2),
    "unlabeled": _case("none", num_micro_batches=2),
    "token": _case("token"),
    "token, accumulated": _case("token", num_micro_batches=2),
    "distilbert under a bert teacher": _case(SINGLE, architecture="distilbert", pairs=True),
    "modernbert": _case("token", architecture="modernbert", num_micro_batches=2),
    "spans": _case(SPANS, num_micro_batches=2),
    "boxes": _case(BOXES),
    "boxes, accumulated": _case(BOXES, num_micro_batches=2),
    "sound": _case(SOUND, kind="clips"),
    **{
        f"sound, {kind}, few labeled": _case(SOUND, num_micro_batches=2, kind=kind, labeled=lambda row: row < 5)
        for kind in KINDS
    },
    "hint": _case(SINGLE, hint=True),
    "hint, accumulated": _case(SINGLE, hint=True, num_micro_batches=2),
    "hint, unlabeled": _case("none", hint=True, num_micro_batches=2),
    "masked": _case("masked", hint=True),
    "masked, accumulated": _case("masked", hint=True, num_micro_batches=2),
    "all terms": _terms(*TERMS),
    "all terms over a micro-batch": _terms(*BATCH_TERMS),
    "images, all terms": _map_terms(*MAP_TERMS),
    "images, all terms over a micro-batch": _map_terms(*MAP_BATCH_TERMS),
    "images, soft labels": _case(IMAGES, terms=["hints"], mixed=True),
}
# To find the term of a sum that differs.
SINGLE_TERMS = {
    **{term: _terms(term) for term in {**TERMS, **BATCH_TERMS}},
    **{f"images, {term}": _map_terms(term) for term in {**MAP_TERMS, **MAP_BATCH_TERMS}},
}
# Terms whose projections are trained, too.
PROJECTED = {"hidden states", "embeddings, cosine", "patient", *WITH_PROJECTION}


def gradients(name, folder, num_processes):
    """The gradients of one step of a case, as one flat dict of tensors."""
    case = {**CASES, **SINGLE_TERMS}[name]
    problem, architecture, num_micro_batches = case["problem"], case["architecture"], case["num_micro_batches"]
    objective = hint_objective(architecture, problem=problem) if case["hint"] and problem != "masked" else None
    if problem == "masked":
        objective = triple_loss()
    if problem == SOUND:
        rows = make_waves(NUM_ROWS, **case["rows"])
        settings = {"num_micro_batches": num_micro_batches, "num_processes": num_processes}
        return _flat(sound_gradients(folder, case["rows"]["kind"], rows=rows, **settings))
    if problem == IMAGES:
        return _image_gradients(case, folder, num_processes)
    if case["terms"]:
        objective = objective_of(*case["terms"])
    if problem == SPANS:
        return _span_gradients(folder, num_micro_batches, num_processes)
    if problem == BOXES:
        found = detection_gradients("detr", folder, num_micro_batches, num_processes=num_processes, unlabeled=(2,))
        return {f"student.{weight}": gradient for weight, gradient in found.items()}
    if set(case["terms"]) & BATCH_TERMS.keys():  # their item is the micro-batch: it must hold the same rows
        num_micro_batches *= 2 // num_processes
    found = step_gradients(
        *in_float64(make_pair(architecture, problem=problem)),
        make_rows(NUM_ROWS, problem=problem, **case["rows"]),
        folder,
        objective=objective,
        num_micro_batches=num_micro_batches,
        num_processes=num_processes,
    )
    return _flat(found)


def _flat(found):
    return {f"{part}.{weight}": gradient for part, weights in found.items() for weight, gradient in weights.items()}


def _image_gradients(case, folder, num_processes):
    num_micro_batches = case["num_micro_batches"]
    if set(case["terms"]) & MAP_BATCH_TERMS.keys():
        num_micro_batches *= 2 // num_processes
    settings = {"num_micro_batches": num_micro_batches, "num_processes": num_processes}
    return _flat(image_gradients(folder, *case["terms"], rows=make_images(NUM_ROWS, **case["rows"]), **settings))


def trains_projections(name):
    """Whether the student's states reach a term of the case through a projection."""
    case = {**CASES, **SINGLE_TERMS}[name]
    return case["hint"] or bool(PROJECTED & set(case["terms"]))


def _span_gradients(folder, num_micro_batches, num_processes):
    task, rows = make_spans(NUM_ROWS, kinds=("answer", "no answer", "unknown"))
    settings = {"num_micro_batches": num_micro_batches, "num_processes": num_processes, "tokenizer": TOKENIZER}
    collator = task.collator(TOKENIZER)
    found = step_gradients(
        *in_float64(make_models()), rows.select(range(NUM_ROWS)), folder, collator=collator, **settings
    )
    return {f"student.{weight}": gradient for weight, gradient in found["student"].items()}


def short_run(folder, num_processes, *, checkpoint=None):
    """A trainer after 6 steps with dropout, a projection, length groups and accumulation; it saves every third."""
    trainer = make_trainer(
        *make_pair(dropout=0.1),
        make_rows(NUM_ROWS),
        folder,
        objective=hint_objective(),
        per_device_train_batch_size=8 // num_processes,
        gradient_accumulation_steps=2,
        num_train_epochs=3,
        optim="adamw_torch",
        learning_rate=1e-2,
        max_grad_norm=1.0,
        save_strategy="steps",
        save_steps=3,
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer


def short_image_run(folder, num_processes):
    """A trainer after 6 steps on images with a hint through a 1x1 convolution, in float64; statistics are frozen."""
    trainer = image_trainer(
        *in_float64(make_networks()),
        make_images(NUM_ROWS),
        folder,
        objective=map_objective("hints"),
        train_sampling_strategy="sequential",
        per_device_train_batch_size=8 // num_processes,
        gradient_accumulation_steps=2,
        num_train_epochs=3,
        optim="adamw_torch",
        learning_rate=1e-2,
        max_grad_norm=1.0,
    )
    trainer.train()
    return trainer


# Presets that the networks of one kind are trained with; the others need heads or labels of their own.
TEXT_PRESETS = ["distilbert", "pkd", "tinybert", "minilm", "minilmv2", "lskd", "dist", "dkd"]
IMAGE_PRESETS = ["fitnets", "at", "cwd"]


def _stages(presets):
    return {
        f"{name}, {stage['name']}": lambda stage=stage: objective_from(stage["objective"])
        for name in presets
        for stage in preset(name)
    }


def _alone(terms):
    return {name: lambda make=make: Objective([make()]) for name, make in terms.items()}


# Each term alone, so that parts of the student have no gradient, and each stage of the presets.
TEXT_OBJECTIVES = {**_alone({**TERMS, **BATCH_TERMS}), **_stages(TEXT_PRESETS)}
IMAGE_OBJECTIVES = {
    **_alone({f"images, {name}": make for name, make in {**MAP_TERMS, **MAP_BATCH_TERMS}.items()}),
    **_stages(IMAGE_PRESETS),
}
SEVERAL_STEPS = [*TEXT_OBJECTIVES, *IMAGE_OBJECTIVES, "deit", "transcripts", "relations, checkpointed"]

# Their losses reach no output layer of the student.
UNREACHED = ["relations", "relations, checkpointed", "tinybert, layers", "minilm, relations", "images, hints"]


def several_steps(name, folder, num_processes):
    """A trainer after 3 steps with one of `SEVERAL_STEPS`."""
    settings = {
        "optim": "adamw_torch",
        "weight_decay": 0.1,
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": 8 // num_processes,
        "activation_checkpointing": name.endswith(", checkpointed"),
    }
    if name in IMAGE_OBJECTIVES:
        pair, rows = in_float64(make_networks()), make_images(24)
        trainer = image_trainer(*pair, rows, folder, objective=IMAGE_OBJECTIVES[name](), **settings)
    elif name == "deit":
        pair = tiny_image_model("deit"), tiny_image_model("resnet", seed=4)
        trainer = image_trainer(*pair, images(24), folder, objective=deit_objective(), **settings)
    elif name == "transcripts":
        pair, rows = in_float64(make_listeners("letters")), make_waves(24, kind="letters")
        objective = objective_from(preset(name)[0]["objective"])
        trainer = make_trainer(
            *pair, rows, folder, objective=objective, collator=sound_collator("letters"), **settings
        )
    else:
        objective, (student, teacher) = TEXT_OBJECTIVES[name.removesuffix(", checkpointed")](), make_pair()
        if name.startswith("pkd"):  # all layers but the last
            student = tiny_model(num_layers=2, seed=1, num_labels=3)
        pair = in_float64((student, teacher))
        trainer = make_trainer(*pair, make_rows(24), folder, objective=objective, **settings)
    trainer.train()
    return trainer


def weights_of(trainer):
    """All that was trained, the student's and the projections', by name."""
    return {**trainer.model.state_dict(), **trainer.objective.state_dict()}


def figures(folder, num_processes):
    """What is logged for one step, and what evaluation with the teacher says: name -> number."""
    rows = make_rows(NUM_ROWS, labeled=lambda row: row % 3 == 0)
    trainer = make_trainer(
        *make_pair(),
        rows,
        folder,
        objective=hint_objective(),
        train_sampling_strategy="sequential",
        per_device_train_batch_size=NUM_ROWS // (2 * num_processes),
        gradient_accumulation_steps=2,
        learning_rate=0.0,
        logging_strategy="steps",
        logging_steps=1,
        per_device_eval_batch_size=8,
        eval_with_teacher=True,
    )
    trainer.train()
    line = next(line for line in trainer.state.log_history if "loss" in line)
    evaluation = {}
    # The last batches of two processes are filled up: to 32 rows, and to 16, of which one process has none of its own.
    for num_rows in (27, 5):
        some = make_rows(
            num_rows, labeled=lambda row: row % 3 == 1, lengths=(9, 9)
        )  # accelerate joins batches of streams
        for name, data in {"rows": some, "stream": some.to_iterable_dataset()}.items():
            evaluation |= trainer.evaluate(data, metric_key_prefix=f"eval_{num_rows}_{name}")
    rows = make_rows(NUM_ROWS, problem="masked")  # of which a batch has fewer rows than labels
    masked = make_trainer(*make_pair(problem="masked"), rows, folder, objective=triple_loss()).evaluate(rows)
    told = {**line, **evaluation, "loss/masked": masked["eval_loss"]}
    return {name: value for name, value in told.items() if "loss" in name or "agreement" in name}
