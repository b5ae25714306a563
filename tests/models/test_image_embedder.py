"""A network that embeds images is saved, loaded and run in pipelines as models of the Hub are."""

import json

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

from distil_nlp.models import NetworkForImageEmbedding, NetworkImageProcessor
from distil_nlp.models.networks.mobilefacenet import MobileFaceNet
from distil_nlp.signals.problem_kinds import problem_kind_of
from distil_nlp.students import build_student
from distil_nlp.teachers import load_teacher
from distil_nlp.teachers.reconcile import label_order
from tests.faces import PROCESSOR, tiny_embedder

NETWORKS = pytest.mark.parametrize("network", ["cnn8", "mobilefacenetx0.1", "resnet8x0.25"])


def pixels(num_images=3, channels=1):
    return torch.randn(num_images, channels, 16, 12, generator=torch.Generator().manual_seed(3))


@NETWORKS
def test_an_embedder_loads_with_the_auto_class_and_gives_the_same_vectors(network, tmp_path):
    model = tiny_embedder(network=network)
    model.save_pretrained(tmp_path)
    loaded = transformers.AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, NetworkForImageEmbedding)
    with torch.no_grad():
        ours, theirs = model(pixels()).logits, loaded(pixels()).logits
    assert ours.shape == (3, 6)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.norm(dim=1), torch.ones(3))


def test_the_pipeline_gives_the_vector_of_a_picture(tmp_path):
    model = tiny_embedder()
    model.save_pretrained(tmp_path)
    PROCESSOR.save_pretrained(tmp_path)
    picture = Image.linear_gradient("L").resize((30, 50)).convert("RGB")
    found = transformers.pipeline("image-feature-extraction", str(tmp_path))(picture)
    with torch.no_grad():
        expected = model(**PROCESSOR(picture, return_tensors="pt")).logits
    torch.testing.assert_close(torch.tensor(found), expected)


def test_the_problem_of_an_embedder_is_identities_and_its_output_has_no_classes():
    student, teacher = tiny_embedder(num_people=9), tiny_embedder(num_people=4)
    assert problem_kind_of(student.config).name == "identity"
    assert label_order(student, teacher) is None


def test_a_student_by_name_has_the_teachers_embedding_width_and_image_size():
    teacher = tiny_embedder(width=7)
    student = build_student("mobilefacenetx0.1", teacher)
    assert isinstance(student, NetworkForImageEmbedding)
    assert (student.config.embedding_width, list(student.config.image_size)) == (7, [16, 12])


def test_a_student_by_name_is_built_for_the_given_image_size():
    student = build_student("mobilefacenetx0.1", tiny_embedder(), image_size=32).eval()
    assert student.config.image_size == 32
    assert student(**student.sample_inputs(1)).logits.shape == (1, 6)


def test_a_teacher_given_by_its_folder_is_an_embedder_too(tmp_path):
    tiny_embedder(seed=1).save_pretrained(tmp_path)
    teacher = load_teacher(tmp_path, student=tiny_embedder())
    assert teacher.label_names is None and teacher({"pixel_values": pixels()}).logits.shape == (3, 6)


def test_pictures_of_another_size_or_kind_are_refused():
    model = tiny_embedder(network="mobilefacenetx0.1")
    with pytest.raises(ValueError, match="1 x 1 positions .* 16 x 16 pixels.* got 40 x 12"):
        model(torch.zeros(1, 1, 40, 12))
    with pytest.raises(ValueError, match=r"\(batch, 1, height, width\).*got \(3, 3, 16, 12\)"):
        model(pixels(channels=3))


def test_the_config_names_the_network_and_contains_no_centers(tmp_path):
    tiny_embedder(network="mobilefacenetx0.1").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["network"], config["embedding_width"], config["options"]) == ("mobilefacenet", 6, {"width": 0.1})


def test_mobilefacenet_has_the_size_of_the_paper_and_the_names_of_its_published_weights():
    network = MobileFaceNet()
    assert sum(one.numel() for one in network.parameters()) == 999_552  # "0.99 million"
    names = network.state_dict()
    for name, shape in {
        "conv1.conv.weight": (64, 3, 3, 3),
        "dw_conv1.prelu.weight": (64,),
        "blocks.0.conv.3.weight": (128, 1, 3, 3),
        "blocks.14.conv.7.running_var": (128,),
        "conv2.bn.bias": (512,),
        "linear7.conv.weight": (512, 1, 7, 6),
        "linear1.bn.weight": (128,),
    }.items():
        assert tuple(names[name].shape) == shape


def test_a_width_of_no_channels_is_refused():
    with pytest.raises(ValueError, match="factor of the channels and must be above 0; got 0"):
        MobileFaceNet(width=0)


@pytest.mark.slow  # embeds 400 faces with a network of a million parameters
def test_the_published_weights_load_and_verify_faces_of_another_data_set(shared_data):
    from distil_nlp.data.splits import load_splits
    from distil_nlp.evaluation import predict_logits
    from distil_nlp.tasks import FaceVerification

    model = NetworkForImageEmbedding.from_network("mobilefacenet", image_size=(112, 96))
    model.network.load_state_dict(load_file(shared_data / "models" / "mobilefacenet" / "model.safetensors"))
    processor = NetworkImageProcessor(3, size={"height": 112, "width": 96}, image_std=[128 / 255] * 3)
    faces = shared_data / "orl_faces"
    splits = load_splits(train_file=faces / "train.parquet", validation_file=faces / "test.parquet")
    task = FaceVerification.from_splits(splits)
    rows = {name: task.prepare(split, processor) for name, split in splits.items()}
    known, asked = (predict_logits(model, rows[name], task.collator(processor)) for name in ("train", "validation"))
    nearest = (asked @ known.T).argmax(axis=1)
    found = [rows["train"]["labels"][int(place)] for place in nearest]
    assert sum(a == b for a, b in zip(found, rows["validation"]["labels"], strict=True)) == 79  # of 80
