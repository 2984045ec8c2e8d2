"""Several adapters behind one server: chosen by name, together in a batch, each as it is alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model.adapters.folders import write_adapter
from server.collecting import Asked, said
from starlette.testclient import TestClient

from mlx_magistral import Magistral
from mlx_magistral.errors import UsageError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.server.app import make_app
from mlx_magistral.server.backend import Backend
from mlx_magistral.server.batching import make_backend

QUESTIONS = ["What is 37 + 48?", "Sort 5, 3, 9.", "hello"]
GREEDY = {"temperature": 0, "max_tokens": 40}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters that change what nano says, in ways of their own."""
    config = open_checkpoint(nano_folder()).config
    root = tmp_path_factory.mktemp("adapters")
    return [
        write_adapter(root / name, config, size=0.5, seed=seed, is_dora=seed == 2)
        for seed, name in enumerate(("one", "two"), 1)
    ]


@pytest.fixture(scope="module")
def model(folders: list[Path]) -> Magistral:
    return Magistral.load("nano", variants=folders, reuse_prefixes=True)


@pytest.fixture(scope="module")
def backend(model: Magistral) -> Iterator[Backend]:
    made = make_backend(model)
    yield made
    made.close(0.0)


def alone(question: str, adapter: Path | None) -> Any:
    loaded = Magistral.load("nano", adapter=adapter)
    reply = loaded.generate(question, speculate="off", **GREEDY)  # type: ignore[arg-type]
    return reply.reasoning, reply.content


def together(asked: Asked) -> Any:
    return said(asked.reply)[:2]


def test_a_batch_of_several_adapters_gives_each_its_own_reply(
    backend: Backend, folders: list[Path]
) -> None:
    names = {"nano": None, "nano:one": folders[0], "nano:two": folders[1]}
    asked = {
        (name, question): Asked(backend, question, model=name, **GREEDY)
        for name in names
        for question in QUESTIONS
    }
    replies = {}
    for (name, question), each in asked.items():
        replies[name, question] = together(each)
        assert replies[name, question] == alone(question, names[name]), name
    assert len({replies[name, QUESTIONS[0]] for name in names}) == 3


def test_weights_are_there_once(model: Magistral) -> None:
    for variant in model.variants.values():
        own = model.model.model.layers[0].mlp.up_proj.weight
        shared = variant.model.model.layers[0].mlp.up_proj.linear.weight
        assert shared is own


def test_variants_come_back_with_the_model(folders: list[Path]) -> None:
    model = Magistral.load("nano", variants=folders[:1])
    variant = model.variants["nano:one"]
    before = variant.generate(QUESTIONS[0], **GREEDY).reasoning  # type: ignore[arg-type]
    model.unload()
    assert not variant.is_loaded
    assert variant.generate(QUESTIONS[0], **GREEDY).reasoning == before  # type: ignore[arg-type]
    assert model.is_loaded


def test_two_adapters_of_one_name_are_refused(folders: list[Path], tmp_path: Path) -> None:
    config = open_checkpoint(nano_folder()).config
    with pytest.raises(UsageError, match="Two adapters are named one"):
        Magistral.load("nano", variants=[folders[0], write_adapter(tmp_path / "one", config)])


def test_the_plan_counts_them(model: Magistral) -> None:
    plain = Magistral.load("nano")
    more = model.memory.plan.weight_bytes - plain.memory.plan.weight_bytes
    assert more == sum(each.adapter.nbytes for each in model.variants.values() if each.adapter)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/completions", {"prompt": "37+48="}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/responses", {"input": "hello"}),
    ],
)
def test_every_protocol_names_who_answered(backend: Backend, path: str, body: Any) -> None:
    with TestClient(make_app(backend), base_url="http://127.0.0.1:8080") as client:
        limit = {"max_tokens": 20} if path != "/v1/responses" else {"max_output_tokens": 20}
        for name, answering in (("nano:two", "nano:two"), ("gpt-4", "nano")):
            reply = client.post(path, json={"model": name, **body, **limit})
            assert reply.status_code == 200, reply.text
            assert reply.json()["model"] == answering
        refused = client.post(path, json={"model": "nano:three", **body, **limit})
        assert refused.status_code == 404
        assert "nano:three" in refused.text


def test_the_list_of_models_has_them(backend: Backend) -> None:
    with TestClient(make_app(backend), base_url="http://127.0.0.1:8080") as client:
        listed = client.get("/v1/models").json()["data"]
        assert [each["id"] for each in listed] == ["nano", "nano:one", "nano:two"]
        assert client.get("/v1/models/nano:one").json()["id"] == "nano:one"
        assert client.get("/v1/models/nano:three").status_code == 404
