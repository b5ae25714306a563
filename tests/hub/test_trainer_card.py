"""Arguments of `trainer.push_to_hub` and `create_model_card` that would be ignored are refused."""

import pytest

from distil_nlp.training.reporting import ReportingMixin


def test_unknown_arguments_are_refused_before_the_student_is_saved():
    trainer = ReportingMixin.__new__(ReportingMixin)
    with pytest.raises(ValueError, match="got blocking=False.*in a thread"):
        trainer.push_to_hub("message", False)
    with pytest.raises(TypeError, match="takes no 'licence'.*the nearest is 'license'"):
        trainer.push_to_hub(licence="mit")
    with pytest.raises(TypeError, match="takes no 'finetuned_from'"):
        trainer.create_model_card(finetuned_from="bert")
