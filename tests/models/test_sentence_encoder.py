"""A sentence encoder is a bare encoder with a pooling, here, in transformers and in sentence-transformers."""

import json
import logging

import pytest
import torch
import transformers

from distil_nlp.models.loading import load_model
from distil_nlp.models.sentence_encoder import SentenceEncoder, encoder_class
from distil_nlp.signals.forward import accepted_columns
from distil_nlp.signals.problem_kinds import problem_kind_of
from distil_nlp.students import build_student, student_from_config, student_from_teacher
from distil_nlp.teachers import load_teacher
from tests.tiny import tiny_config, tiny_encoder, tiny_tokenizer

ARCHITECTURES = ["bert", "roberta", "mpnet", "distilbert", "modernbert", "electra"]
TEXTS = ["this film is great", "a very boring plot and a poor story", "good"]


def vectors(model, texts=TEXTS, **settings):
    tokenizer = tiny_tokenizer()
    batch = tokenizer(texts, padding=True, return_tensors="pt", **settings)
    taken = accepted_columns(model)
    with torch.no_grad():
        return model.eval()(**{name: value for name, value in batch.items() if name in taken}).logits


@pytest.fixture
def folder(tmp_path):
    tiny_encoder(normalize=True).save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def change(folder, file, **entries):
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_encoder_gives_the_same_vectors_after_loading(architecture, pooling, tmp_path):
    model = tiny_encoder(architecture, pooling=pooling, normalize=True)
    model.save_pretrained(tmp_path)
    loaded, fresh = load_model(SentenceEncoder, tmp_path)
    assert fresh == [] and type(loaded) is type(model)
    torch.testing.assert_close(vectors(loaded), vectors(model))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_vector_of_a_text_does_not_depend_on_its_padding(architecture):
    for pooling in ("mean", "cls"):
        model = tiny_encoder(architecture, pooling=pooling)
        found = vectors(model, TEXTS[:1])
        torch.testing.assert_close(vectors(model)[:1], found, rtol=1e-4, atol=1e-5)
        assert found.shape == (1, 16)


def test_the_mean_ignores_padding_and_cls_is_the_first_token_even_with_padding_on_the_left():
    hidden, mask = torch.arange(12.0).view(1, 6, 2), torch.tensor([[0, 0, 1, 1, 1, 1]])
    torch.testing.assert_close(tiny_encoder().pool(hidden, mask), torch.tensor([[7.0, 8.0]]))
    torch.testing.assert_close(tiny_encoder(pooling="cls").pool(hidden, mask), torch.tensor([[4.0, 5.0]]))


def test_normalized_vectors_have_length_1():
    torch.testing.assert_close(vectors(tiny_encoder(normalize=True)).norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_transformers_loads_the_folder_as_the_bare_encoder(architecture, tmp_path):
    model = tiny_encoder(architecture)
    model.save_pretrained(tmp_path)
    bare, info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert all("pooler" in name for name in info["missing_keys"])  # which nothing here reads, or trains
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [type(bare).__name__]


def test_a_classifier_loaded_from_a_sentence_encoder_is_a_classifier(folder):
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    assert problem_kind_of(classifier.config).name == "single_label_classification"


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "modernbert"])
def test_a_bare_encoder_is_loaded_completely_and_a_warning_names_the_mean(architecture, tmp_path, caplog):
    config = tiny_config(architecture)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        model, fresh = load_model(SentenceEncoder, tmp_path)
    assert fresh == [] and model.config.sentence_embedding["pooling"] == "mean"
    assert "has no modules.json of sentence-transformers" in caplog.text


@pytest.mark.parametrize(
    "pooling",
    [{"pooling_mode": "cls"}, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}],
    ids=["new file", "old file"],
)
def test_pooling_and_length_are_those_of_the_sentence_transformers_files(pooling, folder):
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 16, **pooling}))
    change(folder, "sentence_bert_config.json", max_seq_length=12)
    model, _ = load_model(SentenceEncoder, folder)
    assert model.config.sentence_embedding == {"pooling": "cls", "normalize": True, "max_length": 12}


def test_another_pooling_and_further_modules_are_refused(folder):
    change(folder, "1_Pooling/config.json", pooling_mode_max_tokens=True)
    with pytest.raises(
        ValueError, match="pooling must be mean or cls; got 'pooling_mode_mean_tokens, pooling_mode_max"
    ):
        load_model(SentenceEncoder, folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match="has the modules Transformer, Pooling, Normalize, Dense"):
        load_model(SentenceEncoder, folder)


def test_a_prompt_that_is_left_out_is_logged(folder, caplog):
    change(folder, "config_sentence_transformers.json", default_prompt_name="query")
    with caplog.at_level(logging.WARNING):
        load_model(SentenceEncoder, folder)
    assert "uses the prompt 'query' by default" in caplog.text


def test_an_architecture_without_a_bare_encoder_is_refused():
    with pytest.raises(ValueError, match="'t5' has none"):
        encoder_class(transformers.T5Config())


@pytest.mark.parametrize("architecture", ["bert", "mpnet", "distilbert", "modernbert"])
def test_a_student_with_all_layers_gives_its_teachers_vectors(architecture):
    teacher = tiny_encoder(architecture, normalize=True)
    student = student_from_teacher(teacher, num_layers=2)
    assert type(student) is type(teacher)
    torch.testing.assert_close(vectors(student), vectors(teacher))


def test_students_of_fewer_layers_and_of_another_width_pool_as_their_teacher():
    teacher = tiny_encoder(pooling="cls", normalize=True)
    for student in (student_from_teacher(teacher, num_layers=1), student_from_config("1x8", teacher)):
        assert student.config.sentence_embedding == teacher.config.sentence_embedding
    assert vectors(student).shape == (3, 8)


def test_a_student_and_a_teacher_given_by_folder_are_sentence_encoders(folder):
    student = build_student(str(folder), tiny_encoder())
    assert isinstance(student, SentenceEncoder)
    assert isinstance(load_teacher(folder, student=student).model, SentenceEncoder)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_sentence_transformers_gives_the_same_vectors(architecture, normalize, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    for pooling in ("mean", "cls"):
        folder = tmp_path / pooling
        model = tiny_encoder(architecture, pooling=pooling, normalize=normalize)
        model.save_pretrained(folder)
        tiny_tokenizer(token_type_ids=architecture == "bert").save_pretrained(folder)
        theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
        torch.testing.assert_close(torch.tensor(theirs.encode(TEXTS)), vectors(model), rtol=1e-5, atol=1e-6)
        # And back: a folder saved by sentence-transformers is loaded here.
        theirs.save(str(tmp_path / f"again-{pooling}"))
        again, fresh = load_model(SentenceEncoder, tmp_path / f"again-{pooling}")
        assert fresh == []
        torch.testing.assert_close(vectors(again), vectors(model))
