"""The columns that modules of users with `**kwargs` read, alone or inside wrappers, as student and as teacher."""

import copy

import peft
import pytest
import torch
from torch import nn

from distil_nlp.signals.forward import accepted_columns, forward_logits
from distil_nlp.teachers import OnlineTeacher, TeacherEnsemble
from tests.tiny import tiny_model
from tests.training.runs import make_rows, make_trainer

TEXT = {"input_ids", "attention_mask", "token_type_ids"}


class Words(nn.Module):
    """One layer, whose own argument is no column."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(64, 3)

    def forward(self, **columns):
        return (self.table(columns["input_ids"]) * columns["attention_mask"].unsqueeze(-1)).sum(1)


class Number(nn.Module):
    """One linear layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, *_, **columns):
        mask = columns.pop("attention_mask", None)
        return self.layer((mask * columns["input_ids"]).float().mean(1, keepdim=True))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(64, 8)

    def forward(self, ids, attention_mask):
        return (self.table(ids) * attention_mask.unsqueeze(-1)).sum(1)


class ByPosition(nn.Module):
    """Two children, one of which gets an argument by position and the others by name."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = Encoder(), nn.Linear(8, 3)

    def forward(self, input_ids, **kwargs):
        return self.head(self.encoder(input_ids, **kwargs))


class WithHead(nn.Module):
    """An encoder of transformers and a head."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = tiny_model().bert, nn.Linear(16, 3)

    def forward(self, **inputs):
        return self.head(self.encoder(**inputs).last_hidden_state[:, 0])


class ByMethod(WithHead):
    """Passes all on through a method, to a part of a part."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"encoder": nn.ModuleList([self.encoder])})

    def encode(self, **inputs):
        return self.parts["encoder"][0].forward(**inputs)

    def forward(self, *args, **inputs):
        return self.head(self.encode(**inputs).last_hidden_state[:, 0])


class BySuper(WithHead):
    def forward(self, **inputs):
        inputs.pop("labels", None)
        return super().forward(**inputs)


class TwoEncoders(nn.Module):
    """Two encoders, one of which refuses what it does not name."""

    def __init__(self):
        super().__init__()
        self.one, self.two = tiny_model(), MasksOnly()

    def forward(self, input_ids, **kwargs):
        return self.one(input_ids, **kwargs).logits + self.two(input_ids=input_ids, **kwargs)


class MasksOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, input_ids, attention_mask):
        return self.layer(attention_mask.sum(1, keepdim=True).float())


class Hidden(nn.Module):
    """Uses its arguments in a way that does not tell which."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(64, 3)

    def forward(self, **columns):
        return sum(self.table(column).mean(1) for column in dict(columns).values())


def adapted(module):
    return peft.get_peft_model(module, peft.LoraConfig(r=2, target_modules=["query", "value"]))


MODULES = {
    "one embedding": (Words, {"input_ids", "attention_mask"}),
    "one linear layer": (Number, {"input_ids", "attention_mask"}),
    "by position": (ByPosition, {"input_ids", "attention_mask"}),
    "encoder and head": (WithHead, TEXT),
    "by method": (ByMethod, TEXT),
    "by super": (BySuper, TEXT),
    "two encoders": (TwoEncoders, {"input_ids", "attention_mask"}),
    "not to be told": (Hidden, None),
}
WRAPPERS = {
    "alone": lambda module: module,
    "data parallel": nn.DataParallel,
    "two wrappers": lambda module: nn.DataParallel(nn.DataParallel(module)),
}


@pytest.fixture(scope="module")
def rows():
    return make_rows(8, pairs=True, lengths=(6, 6)).add_column("idx", list(range(8)))


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=list(WRAPPERS))
@pytest.mark.parametrize(("make", "expected"), MODULES.values(), ids=list(MODULES))
def test_the_columns_that_a_module_reads_are_found(make, expected, wrap):
    columns = accepted_columns(wrap(make()))
    taken = None if columns is None else {name for name in columns if name in {*TEXT, "idx"}}
    assert taken == expected


@pytest.mark.parametrize(
    "make", [adapted, lambda module: adapted(nn.DataParallel(module))], ids=["peft", "of wrapper"]
)
def test_an_adapted_module_of_a_user_reads_the_same_columns(make):
    columns = accepted_columns(nn.DataParallel(make(WithHead())))
    assert set(columns) >= TEXT and "idx" not in columns


@pytest.mark.parametrize("name", [name for name, (_, columns) in MODULES.items() if columns is not None])
def test_such_a_module_is_a_student_and_a_teacher(name, rows, tmp_path):
    torch.manual_seed(0)
    make, columns = MODULES[name]
    student, teacher = make(), nn.DataParallel(make())
    batch = {name: torch.tensor(rows[name]) for name in rows.column_names}
    expected = teacher.eval()(**{name: batch[name] for name in columns})
    assert torch.allclose(OnlineTeacher(teacher)(batch).logits, expected, atol=1e-6)
    before = copy.deepcopy(student.state_dict())
    trainer = make_trainer(student, teacher, rows, tmp_path)
    trainer.train()
    assert any(not torch.equal(before[name], weight) for name, weight in student.state_dict().items())


def test_a_module_that_takes_any_column_gets_all_numbers_of_the_data(rows, tmp_path):
    seen = []

    class Seen(Hidden):
        def forward(self, **columns):
            seen.append(set(columns))
            return super().forward(input_ids=columns["input_ids"])

    make_trainer(Hidden(), tiny_model(), rows.remove_columns("idx"), tmp_path).train()
    make_trainer(Seen(), tiny_model(), rows, tmp_path).train()
    assert all(columns >= {"input_ids"} for columns in seen)


@pytest.mark.parametrize("as_teacher", [OnlineTeacher, lambda teacher: TeacherEnsemble([OnlineTeacher(teacher)])])
def test_a_teacher_that_takes_any_column_gets_those_that_the_student_does_not_read(as_teacher, rows, tmp_path):
    seen = []

    class Filtering(WithHead):
        def forward(self, **columns):
            seen.append(set(columns))
            return super().forward(**{name: columns[name] for name in TEXT})

    data = rows.add_column("words", [["good", "film"]] * len(rows))
    make_trainer(tiny_model("distilbert"), as_teacher(Filtering()), data, tmp_path).train()
    assert seen and all("token_type_ids" in columns for columns in seen)


def test_a_column_that_the_batch_lacks_is_named(rows, tmp_path):
    with pytest.raises(ValueError, match="forward of Words requires attention_mask"):
        forward_logits(Words(), {"input_ids": torch.ones(2, 3, dtype=torch.long)}, accepted_columns(Words()))


def test_a_column_that_is_passed_on_to_a_strict_module_is_refused_in_words():
    class Strict(nn.Module):
        def forward(self, **columns):
            kept = {name: column for name, column in columns.items()}
            return self.inner(**kept)

        def inner(self, input_ids):
            return input_ids.float()

    batch = {"input_ids": torch.ones(2, 3), "idx": torch.ones(2)}
    with pytest.raises(ValueError, match="the forward of Strict raised: .*unexpected keyword argument 'idx'"):
        forward_logits(Strict(), batch, accepted_columns(Strict()))
