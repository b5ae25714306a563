"""The Python block of the README runs as it stands, on what the quickstart leaves."""

import re

from tests.conftest import ROOT
from tests.recipe.runs import save_model, save_rows


def test_the_block_of_the_readme_trains_student_and_control_and_prints_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "runs" / "quickstart-data"
    data.mkdir(parents=True)
    save_model(tmp_path / "runs" / "quickstart" / "teacher")
    for seed, split in enumerate(("train", "unlabeled", "test")):
        columns = ("text",) if split == "unlabeled" else ("text", "label")
        save_rows(data / f"{split}.jsonl", 40, seed=seed, columns=columns)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(block.replace("max_steps=150", "max_steps=2"), "README.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines() if line.startswith(("teacher", "student ", "control "))]
