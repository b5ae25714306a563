"""The stub Hub refuses what the real one refuses; otherwise a round trip through it would prove little."""

import pytest

from tests.hub.stub_server import Blob, Refusal, Repo, StubHub, metadata_of


def test_a_large_file_with_another_sha256_is_refused():
    with pytest.raises(Refusal, match="sha256"):
        StubHub().store_large("0" * 64, b"weights")


def test_a_commit_that_names_a_large_file_that_never_came_is_refused():
    repo = Repo(private=False)
    repo.commit("main", {}, "initial commit")
    line = {"key": "lfsFile", "value": {"path": "model.safetensors", "oid": "0" * 64, "size": 7}}
    with pytest.raises(Refusal, match="was not uploaded"):
        StubHub().commit("ada/x", repo, "main", [line])


def test_a_small_file_has_the_hash_that_git_gives_it():
    assert Blob(b"hello\n", large=False).oid == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object


def test_a_card_with_a_relation_that_the_hub_does_not_know_is_refused():
    with pytest.raises(Refusal, match="bad card"):
        metadata_of("---\nbase_model_relation: distill\n---\n")


def test_a_private_repository_does_not_exist_for_a_stranger():
    hub = StubHub()
    hub.create({"name": "x", "visibility": "private"})
    with pytest.raises(Refusal) as raised:
        hub.repo("tester/x", None)
    assert raised.value.code == "RepoNotFound"
