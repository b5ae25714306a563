"""The objectives of known papers as plain data: terms, layers and stages, as `stages:` in a recipe can hold them.

Weights are the papers', translated where ours means another thing: our terms average over the pairs of layers.
`share` is the part of the training steps that a stage gets.
"""

# The labels alone, as the last stage of methods that know nothing of a task before it.
_LABELS = {"name": "labels", "share": 0.5, "objective": [{"hard": {}}]}
_SOFT = [{"hard": {"weight": 0.1}}, {"soft": {"weight": 0.9, "temperature": 4.0}}]

PRESETS = {
    # Sanh et al. 2019, DistilBERT: 5 x soft targets at temperature 2, 2 x the task's own loss, 1 x cosine of the last
    # hidden states (the weights are those of the authors' training command).
    "distilbert": [
        {
            "name": "distilbert",
            "objective": [
                {"predictions": {"weight": 5.0, "temperature": 2.0}},
                {"hard": {"weight": 2.0}},
                {"hidden": {"weight": 1.0, "layers": "last", "distance": "cosine"}},
            ],
        }
    ],
    # Sun et al. 2019, Patient Knowledge Distillation, section 4.2: temperature from {5, 10, 20}, alpha from {0.2, 0.5,
    # 0.7}, beta from {10, 100, 500, 1000}; we take one from the middle of each. Beta weighs a mean over a width of 768,
    # our term is a sum over the width, as in the paper's equation 7.
    "pkd": [
        {
            "name": "pkd",
            "objective": [
                {"hard": {"weight": 0.5}},
                {"predictions": {"weight": 0.5, "temperature": 10.0}},
                {"patient": {"weight": 100 / 768, "layers": "skip"}},
            ],
        }
    ],
    # Jiao et al. 2020, TinyBERT, section 3 and 4.2: 20 epochs on what the layers hold, then 3 on the predictions at
    # temperature 1, without the labels.
    "tinybert": [
        {
            "name": "layers",
            "share": 20 / 23,
            "objective": [
                {"hidden": {"layers": [["embeddings", "embeddings"]]}},
                {"hidden": {"layers": "uniform"}},
                {"attention": {"layers": "uniform", "compare": "scores", "average_heads": None}},
            ],
        },
        {"name": "predictions", "share": 3 / 23, "objective": [{"predictions": {"temperature": 1.0}}]},
    ],
    # Wang et al. 2020, MiniLM, sections 3.1 and 3.2: attention and value relations of the last layer, then fine-tuning.
    "minilm": [
        {
            "name": "relations",
            "share": 0.5,
            "objective": [{"relations": {"layers": "last", "relations": ["query-key", "value-value"]}}],
        },
        _LABELS,
    ],
    # Wang et al. 2021, MiniLMv2, section 3.2: relations among queries, among keys and among values, then fine-tuning.
    "minilmv2": [
        {
            "name": "relations",
            "share": 0.5,
            "objective": [{"relations": {"layers": "last", "relations": ["query-query", "key-key", "value-value"]}}],
        },
        _LABELS,
    ],
    # Touvron et al. 2021, DeiT, section 4: half the labels on the class head, half the teacher's best class on the
    # distillation head of transformers' DeiTForImageClassificationWithTeacher. The paper's soft variant (temperature 3,
    # lambda 0.1) did worse there: "soft: {weight: 0.1, temperature: 3, head: distillation_classifier}", labels 0.9.
    "deit": [
        {
            "name": "deit",
            "objective": [
                {"hard": {"weight": 0.5, "head": "cls_classifier"}},
                {"teacher_labels": {"weight": 0.5, "head": "distillation_classifier"}},
            ],
        }
    ],
    # The next six are for images, weights and temperature those of the CIFAR-100 recipes of their authors.
    # Sun et al. 2024, Logit Standardization: weight 9 and temperature 2 on standardized logits, 0.1 on the labels.
    "lskd": [
        {
            "name": "lskd",
            "objective": [{"hard": {"weight": 0.1}}, {"standardized": {"weight": 9.0, "temperature": 2.0}}],
        }
    ],
    # Huang et al. 2022, DIST, section 5: beta and gamma 2, temperature 4. The one to take where the teacher is much
    # stronger than the student.
    "dist": [
        {
            "name": "dist",
            "objective": [
                {"hard": {"weight": 1.0}},
                {"class_correlation": {"weight": 2.0, "temperature": 4.0}},
                {"batch_correlation": {"weight": 2.0, "temperature": 4.0}},
            ],
        }
    ],
    # Zhao et al. 2022, DKD, section 4: alpha 1, beta 8, temperature 4.
    "dkd": [
        {"name": "dkd", "objective": [{"hard": {"weight": 1.0}}, {"decoupled": {"weight": 1.0, "temperature": 4.0}}]}
    ],
    # For models that say a token or a blank a frame. Gandhi et al. 2023, Distil-Whisper, section 4: 0.8 on what the teacher
    # writes down, 1 on its distributions at temperature 2; there of a decoder, here of frames, without the true labels.
    "transcripts": [
        {
            "name": "transcripts",
            "objective": [{"ctc_transcript": {"weight": 0.8}}, {"ctc_frames": {"weight": 1.0, "temperature": 2.0}}],
        }
    ],
    # What follows is learned from maps, on top of soft targets as the field blends them (0.1 labels, 0.9 at temperature
    # 4): by themselves maps teach less than soft targets, and across architectures less than nothing, see
    # docs/objectives.md. The weights of the maps are ours (losses are averaged here, where authors sum): 10 or 100, of
    # hints also 1, whichever did better on rows held out of Fashion-MNIST's training images, one epoch, one seed. The
    # differences were within noise, but for the last two at 100, which did harm.
    "fitnets": [{"name": "fitnets", "objective": [*_SOFT, {"hints": {"weight": 100.0, "layers": "last"}}]}],
    "at": [{"name": "at", "objective": [*_SOFT, {"attention_maps": {"weight": 10.0, "layers": "last"}}]}],
    "cwd": [{"name": "cwd", "objective": [*_SOFT, {"channels": {"weight": 10.0, "layers": "last"}}]}],
}


def preset(name):
    """The stages of a preset.

    Args:
        name (`str`): One of `PRESETS`.

    Returns:
        `list` of `dict`: "name"; "objective", for `objective_from`; and, where there are several, "share", the part of
        the training steps that the stage gets.

    Raises:
        ValueError: No preset of this name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {name!r}.")
    return PRESETS[name]
