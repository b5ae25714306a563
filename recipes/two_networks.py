"""Distill a large network into a small one, both ten lines of PyTorch; the saved student works in a pipeline.

    python recipes/two_networks.py [--output_dir runs/two-networks]

The data are the 1,797 handwritten digits of scikit-learn, so nothing is downloaded. docs/vision.md explains the script. The
trainer avoids two common errors: the loss is summed over the classes and multiplied by temperature squared, so that it
keeps its weight beside the labels; and the teacher runs in eval mode, without gradient, on the same pixels as the student.
"""

import argparse
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from distil_nlp import DistillationTrainer, DistillationTrainingArguments
from distil_nlp.models import NetworkForImageClassification, image_processor_for, register_network


@register_network
class WideCnn(nn.Module):
    def __init__(self, width=1000, num_labels=10, num_channels=1):
        super().__init__()
        self.conv1 = nn.Conv2d(num_channels, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.hidden, self.out = nn.Linear(32 * 16, width), nn.Linear(width, num_labels)

    def forward(self, pixel_values):
        maps = torch.relu(self.conv2(torch.relu(self.conv1(pixel_values))))
        return self.out(torch.relu(self.hidden(maps.flatten(1))))


@register_network
class TinyCnn(nn.Module):
    def __init__(self, channels=32, num_labels=10, num_channels=1):
        super().__init__()
        self.conv = nn.Conv2d(num_channels, channels, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.out = nn.Linear(channels * 16, num_labels)

    def forward(self, pixel_values):
        return self.out(torch.relu(self.norm(self.conv(pixel_values))).flatten(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default="runs/two-networks")
    parser.add_argument("--num_train_epochs", type=float, default=10)
    parser.add_argument("--latency_seconds", type=float, default=10.0, help="Time to spend on measuring speed.")
    parser.add_argument("--hub_model_id", help="Push the student there, user/name, and ask it from there.")
    args = parser.parse_args()
    processor = image_processor_for(image_size=8, num_channels=1)
    train, test = splits(processor)
    about = {"image_size": 8, "num_channels": 1, "num_labels": 10}

    def trained(model, teacher=None, **blend):
        settings = DistillationTrainingArguments(
            args.output_dir, num_train_epochs=args.num_train_epochs, per_device_train_batch_size=32, learning_rate=3e-3,
            save_strategy="no", report_to="none", hub_model_id=args.hub_model_id, **blend,
        )  # fmt: skip
        trainer = DistillationTrainer(
            model, teacher, settings, train_dataset=train, eval_dataset=test, processing_class=processor
        )
        trainer.train()
        return trainer

    torch.manual_seed(0)
    teacher = trained(NetworkForImageClassification.from_network(WideCnn, **about)).model
    torch.manual_seed(1)
    control = trained(NetworkForImageClassification.from_network(TinyCnn, **about)).model
    torch.manual_seed(1)
    student = NetworkForImageClassification.from_network(TinyCnn, **about)
    trainer = trained(student, teacher, kd_ratio=0.5, temperature=2.0)
    print(trainer.compare(control=control, seconds=args.latency_seconds))

    home = str(Path(args.output_dir) / "student")
    trainer.save_model(home)  # the image processor is saved with it
    if args.hub_model_id:
        print("Pushed:", trainer.push_to_hub())
        home = args.hub_model_id
    answer = transformers.pipeline("image-classification", home)(picture(load_digits().images[0]))
    print(f"A 0, to the pipeline: {answer[0]['label']} ({answer[0]['score']:.3f})")


def splits(processor):
    """Every fifth digit is for the test."""
    digits = load_digits()
    pixels = processor([picture(image) for image in digits.images], return_tensors="np")["pixel_values"]
    rows = datasets.Dataset.from_dict({"pixel_values": pixels, "labels": digits.target}).with_format("torch")
    numbers = np.arange(len(rows))
    return rows.select(numbers[numbers % 5 > 0]), rows.select(numbers[numbers % 5 == 0])


def picture(image):
    """A digit of numbers from 0 to 16 as an image."""
    return Image.fromarray(np.uint8(image * 255 / 16))


if __name__ == "__main__":
    main()
