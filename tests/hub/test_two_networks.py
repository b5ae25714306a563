"""Two plain networks: distilled, saved, pushed, and back through the pipeline, as docs/vision.md shows it."""

import json

import pytest

REPO = "tester/digits"
BACK = """
import json, sys
sys.path.insert(0, "recipes")
import torch, transformers
import two_networks
from sklearn.datasets import load_digits
student = transformers.AutoModelForImageClassification.from_pretrained("tester/digits")
local = transformers.AutoModelForImageClassification.from_pretrained(sys.argv[1])
equal = all(torch.equal(one, other) for one, other in zip(student.parameters(), local.parameters(), strict=True))
answers = transformers.pipeline("image-classification", "tester/digits", device="cpu")(
    [two_networks.picture(image) for image in load_digits().images[:20]]
)
pixels = transformers.AutoImageProcessor.from_pretrained("tester/digits")(
    [two_networks.picture(image) for image in load_digits().images[:20]], return_tensors="pt"
)
expected = local.eval()(**pixels).logits.softmax(-1).max(-1).values.tolist()
print(json.dumps({"class": type(student).__name__, "network": type(student.network).__name__, "equal": equal,
                  "scores": [one[0]["score"] for one in answers], "expected": expected}))
"""


@pytest.fixture(scope="module")
def trained(hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    settings = ["--output_dir", folder, "--num_train_epochs", "1", "--latency_seconds", "0.2", "--hub_model_id", REPO]
    return folder, hub.python("recipes/two_networks.py", *settings)


def test_the_script_trains_compares_pushes_and_asks_the_pipeline(trained, hub):
    printed = trained[1]
    assert all(role in printed for role in ("teacher", "student", "control")), printed
    assert f"Pushed: {hub.state.url}/{REPO}" in printed and "A 0, to the pipeline" in printed
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"} <= set(hub.state.files(REPO))


def test_the_student_from_the_hub_is_the_saved_one_and_the_pipeline_gives_its_scores(trained, hub):
    seen = json.loads(hub.python("-c", BACK, trained[0] / "student").splitlines()[-1])
    assert (seen["class"], seen["network"], seen["equal"]) == ("NetworkForImageClassification", "TinyCnn", True)
    assert seen["scores"] == pytest.approx(seen["expected"], abs=1e-6)


def test_the_card_says_which_task_it_is_and_what_to_import(trained, hub):
    card = hub.state.files(REPO)["README.md"].decode()
    assert "pipeline_tag: image-classification" in card
    assert "it registers the network 'tinycnn'" in card and "AutoModelForImageClassification" in card
