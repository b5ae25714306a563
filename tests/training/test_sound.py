"""Sound under the trainer: clips of uneven length, cut and padded in any way, give one gradient."""

import pytest
import torch

from distil_nlp.augmentation import AudioAugmentation
from distil_nlp.training.trainer import DistillationTrainer

from .runs import make_arguments, relative_difference, same_weights
from .sound import KINDS, make_listeners, make_waves, sound_collator, sound_gradients


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradients_of_a_step_do_not_depend_on_how_it_is_cut_and_what_a_clip_is_padded_to(kind, tmp_path):
    whole = sound_gradients(tmp_path, kind)
    for num_micro_batches in (2, 4, 32):
        cut = sound_gradients(tmp_path, kind, num_micro_batches=num_micro_batches)
        assert relative_difference(cut["student"], whole["student"]) < 1e-9, num_micro_batches


def trained(folder, *, checkpoint=None, **changes):
    student, teacher = make_listeners()
    settings = {
        "per_device_train_batch_size": 8, "num_train_epochs": 2, "learning_rate": 1e-2, "optim": "adamw_torch",
        "save_strategy": "steps", "save_steps": 1, **changes,
    }  # fmt: skip
    trainer = DistillationTrainer(
        student,
        teacher,
        make_arguments(folder, **settings),
        train_dataset=make_waves(),
        data_collator=sound_collator(augmentation=AudioAugmentation(shift=0.01, time_mask=0.2)),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_hears_what_the_uninterrupted_one_heard(num_workers, tmp_path):
    whole = trained(tmp_path / "whole")
    checkpoint = str(tmp_path / "whole" / "checkpoint-3")
    resumed = trained(tmp_path / "resumed", checkpoint=checkpoint, dataloader_num_workers=num_workers)
    assert resumed.state.global_step == 8 and same_weights(resumed.model, whole.model)


def test_the_front_end_is_no_part_of_what_is_trained(tmp_path):
    trainer, (fresh, _) = trained(tmp_path), make_listeners()
    assert all(torch.equal(one, other) for one, other in zip(trainer.model.buffers(), fresh.buffers(), strict=True))
    assert not same_weights(trainer.model, fresh)
