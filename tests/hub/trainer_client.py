"""Run in a fresh process against the stub Hub: a trainer trains, pushes, and the student comes back."""

import json
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.training.runs import make_pair, make_rows, make_trainer


def main(folder):
    rows = make_rows(16)
    student, teacher = make_pair()
    trainer = make_trainer(student, teacher, rows, folder, hub_model_id="tester/from-trainer")
    trainer.train()
    trainer.compare(rows, seconds=0.1)
    url = trainer.push_to_hub()
    loaded = AutoModelForSequenceClassification.from_pretrained("tester/from-trainer").eval()
    batch = next(trainer._batches_of(rows, range(4)))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        equal = torch.equal(loaded(**inputs).logits, student.eval()(**inputs).logits)
    AutoTokenizer.from_pretrained("tester/from-trainer")
    print(json.dumps({"url": url, "bit_identical": equal}))


if __name__ == "__main__":
    main(sys.argv[1])
