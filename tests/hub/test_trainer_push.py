"""`trainer.push_to_hub()`: student, tokenizer and card go up, pickles stay."""

import json


def test_a_trainer_pushes_its_student_with_a_card_and_without_pickles(hub, tmp_path):
    said = hub.python("-m", "tests.hub.trainer_client", tmp_path / "run").splitlines()[-1]
    assert json.loads(said) == {"url": f"{hub.state.url}/tester/from-trainer", "bit_identical": True}
    files = hub.state.files("tester/from-trainer")
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files.keys()
    assert not any(name.endswith((".bin", ".pt", ".pth")) for name in files)
    assert b"Hinton" in files["README.md"]
