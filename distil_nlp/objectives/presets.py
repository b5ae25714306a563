"""The objectives of known papers as plain data: terms, layers and stages, as in `stages:` of a recipe.

Weights are those of the papers, converted where a term here is defined otherwise. docs/presets.md lists what differs from
the papers and from their authors' code, and why.
`share` is the fraction of the training steps of a stage.
"""

from typing import Any

from ..internals.messages import shown

# The labels alone, as the last stage of methods whose first stage is independent of the task.
_LABELS = {"name": "labels", "share": 0.5, "objective": [{"hard": {}}]}
_SOFT = [{"hard": {"weight": 0.1}}, {"soft": {"weight": 0.9, "temperature": 4.0}}]

PRESETS: dict[str, list[dict[str, Any]]] = {
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
    # 0.7}, beta from {10, 100, 500, 1000}; here one from the middle of each. Beta weighs a mean over a width of 768,
    # the term here is a sum over the width, as in the paper's equation 7.
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
    # Jiao et al. 2020, TinyBERT, equations 7 to 11 and section 4.2: 20 epochs on embeddings and layers, all with weight 1
    # and summed, then 3 on the predictions at temperature 1, without the labels.
    "tinybert": [
        {
            "name": "layers",
            "share": 20 / 23,
            "objective": [
                {"hidden": {"layers": [["embeddings", "embeddings"]]}},
                {"hidden": {"layers": "uniform", "layer_reduction": "sum"}},
                {
                    "attention": {
                        "layers": "uniform",
                        "compare": "scores",
                        "average_heads": None,
                        "layer_reduction": "sum",
                    }
                },
            ],
        },
        {"name": "predictions", "share": 3 / 23, "objective": [{"predictions": {"temperature": 1.0}}]},
    ],
    # Wang et al. 2020, MiniLM, equations 6 to 9: attention and value relations of the last layer, over the models' own
    # heads, then fine-tuning.
    "minilm": [
        {
            "name": "relations",
            "share": 0.5,
            "objective": [
                {
                    "relations": {
                        "layers": "last",
                        "relations": ["query-key", "value-value"],
                        "num_heads": "attention",
                    }
                }
            ],
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
    # Touvron et al. 2021, DeiT, section 4: half the labels on the class head, half the teacher's most probable class on the
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
    # Huang et al. 2022, DIST, section 5: beta and gamma 2, temperature 4. Best where the teacher is much stronger than
    # the student.
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
    # For CTC models. Gandhi et al. 2023, Distil-Whisper: 0.8 on the teacher's transcript, 1 on its distributions at
    # temperature 2, as in the authors' code; there of a decoder, here of frames, without the true labels.
    "transcripts": [
        {
            "name": "transcripts",
            "objective": [{"ctc_transcript": {"weight": 0.8}}, {"ctc_frames": {"weight": 1.0, "temperature": 2.0}}],
        }
    ],
    # The last three add maps to soft targets with the usual weights (0.1 labels, 0.9 at temperature 4): alone,
    # maps are worse than soft targets, and across architectures worse than no teacher, see docs/objectives.md. The
    # weights of the maps are not the papers' (losses are averaged here and summed there): 10 or 100, of hints also 1,
    # whichever was better on rows held out of Fashion-MNIST's training images, one epoch, one seed. The differences were
    # within noise, except for the last two at 100, which were worse.
    "fitnets": [{"name": "fitnets", "objective": [*_SOFT, {"hints": {"weight": 100.0, "layers": "last"}}]}],
    "at": [{"name": "at", "objective": [*_SOFT, {"attention_maps": {"weight": 10.0, "layers": "last"}}]}],
    "cwd": [{"name": "cwd", "objective": [*_SOFT, {"channels": {"weight": 10.0, "layers": "last"}}]}],
}


def preset(name: str) -> list[dict[str, Any]]:
    """The stages of a preset.

    Args:
        name (`str`): One of `PRESETS`.

    Returns:
        `list` of `dict`: "name"; "objective", for `objective_from`; and, of several stages, "share", the fraction of the
        training steps.

    Raises:
        ValueError: No preset of this name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {shown(name)}.")
    return PRESETS[name]
