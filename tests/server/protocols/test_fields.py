"""The rule for fields, on every path: null is absent, harmless ones are listed, others refused."""

from typing import Any

import pytest

from mlx_magistral.decode.sampling import SamplingOptions

from .asking import GENERATING, NEEDED, USER, Asker

THINKING = GENERATING[:1]


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.mark.parametrize("path", NEEDED)
def test_what_changes_nothing_is_accepted_and_listed(asker: Asker, path: str) -> None:
    response = asker.post(path, user_id="a", x_new={"deep": [1]}, trace=None)
    assert response.status_code == 200, response.text
    assert response.headers["x-ignored-fields"] == "user_id, x_new"
    assert "x-ignored-fields" not in asker.post(path).headers


def test_names_cannot_break_the_header(asker: Asker) -> None:
    response = asker.post("/v1/responses", **{"a\r\nb": 1, "é": 2, "x" * 5000: 3})
    assert response.status_code == 200
    assert response.headers["x-ignored-fields"].startswith(r"a\r\nb, \xe9, xxx")


@pytest.mark.parametrize("path", NEEDED)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audio", {"voice": "x"}),
        ("functions", [{"name": "f"}]),
        ("guided_json", {"type": "object"}),
        ("dry_multiplier", 0.5),
        ("previous_response_id", "resp_1"),
        ("best_of", 3),
        ("ignore_eos", True),
    ],
)
def test_what_would_change_the_reply_is_refused_by_name(
    asker: Asker, path: str, name: str, value: Any
) -> None:
    said = asker.refused(path, **{name: value})
    assert f"'{name}' is not supported" in said and (":" not in said[:3])
    assert asker.post(path, **{name: None}).status_code == 200


@pytest.mark.parametrize("path", GENERATING)
def test_null_is_absent_everywhere(asker: Asker, path: str) -> None:
    names = (
        "temperature top_p top_k seed stream stop tools tool_choice parallel_tool_calls n logprobs "
        "response_format stream_options reasoning_effort reasoning thinking text instructions "
        "metadata system stop_sequences output_config logit_bias frequency_penalty store include "
        "top_logprobs presence_penalty max_completion_tokens chat_template_kwargs truncation"
    ).split()
    asker.asked(path, **dict.fromkeys(names))
    nested = {"effort": None, "summary": None, "type": "enabled", "budget_tokens": None}
    fields: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"reasoning": nested, "stream_options": {"include_usage": None}},
        "/v1/responses": {"reasoning": nested, "text": {"format": None, "verbosity": None}},
        "/v1/messages": {"thinking": nested, "output_config": {"format": None, "effort": None}},
        "/v1/completions": {"stream_options": {"include_usage": None}},
    }
    asker.asked(path, **fields[path])


def test_fields_of_nested_objects_are_named_with_their_place(asker: Asker) -> None:
    response = asker.post("/v1/responses", reasoning={"effort": "low", "context": "x"})
    assert response.headers["x-ignored-fields"] == "reasoning.context"
    said = asker.refused("/v1/responses", text={"grammar": "x"})
    assert said.startswith("text.grammar: ")


def test_wrong_values_are_refused_with_their_field(asker: Asker) -> None:
    for name, value in [("temperature", "warm"), ("n", 0), ("stop", 5), ("max_tokens", 0)]:
        assert asker.refused("/v1/chat/completions", **{name: value}).startswith(name)
    wrong = asker.refused("/v1/chat/completions", stop=["a", 5])
    assert wrong == "stop.1: Field 'stop.1': Input should be a valid string."


@pytest.mark.parametrize("path", GENERATING)
def test_a_word_of_another_path_is_honoured_or_refused(asker: Asker, path: str) -> None:
    """Never passed over: what it asks for would be missed."""
    words = [
        *({"stop": "x"}, {"stop_sequences": ["x"]}, {"n": 2}, {"seed": 0}, {"seed": 1}),
        *({"max_completion_tokens": 5}, {"max_output_tokens": 5}, {"max_new_tokens": 5}),
        *({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "x"}}}),
        *({"think": False}, {"enable_thinking": False}, {"reasoning_effort": "low"}),
        *({"thinking_token_budget": 0}, {"system": "Be brief."}, {"instructions": "Be brief."}),
    ]
    for word in words:
        response = asker.post(path, **word)
        assert "x-ignored-fields" not in response.headers, word
        if response.status_code == 200 and word != {"n": 2}:  # so many requests alike
            assert asker.backend.requests[-1] != asker.asked(path), word
    for nothing in ({"stop": []}, {"n": 1}, {"enable_thinking": True}, {"system": ""}):
        asker.asked(path, **nothing)


def test_a_list_of_one_prompt_is_that_prompt(asker: Asker) -> None:
    for given, prompt in [(["hi"], "hi"), ([[1, 2]], [1, 2]), ([1], [1])]:
        assert asker.asked("/v1/completions", prompt=given).prompt == prompt
    for several in (["a", "b"], [[1], [2]]):
        refused = asker.refused("/v1/completions", prompt=several)
        assert refused.startswith("prompt: ") and "each by itself" in refused


def test_what_only_counts_takes_what_a_reply_is_asked_for_by(asker: Asker) -> None:
    for path in ("/v1/messages/count_tokens", "/tokenize"):
        assert asker.post(path, stop="x", max_output_tokens=5).status_code == 200


def test_an_empty_stop_text_stops_nothing(asker: Asker) -> None:
    for given, kept in [("", ()), ([], ()), (["", "a"], ("a",)), ("a", ("a",))]:
        for path in ("/v1/chat/completions", "/v1/completions"):
            assert asker.asked(path, stop=given).stop == kept
    assert asker.asked("/v1/messages", stop_sequences=["", "a"]).stop == ("a",)


@pytest.mark.parametrize("path", GENERATING)
def test_minus_one_is_no_limit_and_no_seed(asker: Asker, path: str) -> None:
    limit = "max_output_tokens" if path.endswith("responses") else "max_tokens"
    fields: dict[str, Any] = {limit: -1, "top_k": -1}
    if not path.endswith("messages"):
        fields["seed"] = -1
    request = asker.asked(path, **fields)
    assert not request.options.keys() & {"top_k", "seed"}
    assert request.max_tokens == (16 if path.endswith("v1/completions") else None)
    assert "top_k" in asker.refused(path, top_k=-2)


def test_words_of_other_apis(asker: Asker) -> None:
    path = "/v1/chat/completions"
    assert asker.asked(path, random_seed=3).options["seed"] == 3
    assert asker.asked(path, random_seed=3, seed=4).options["seed"] == 4
    assert asker.asked(path, repeat_penalty=1.2).options["repetition_penalty"] == 1.2
    assert asker.asked(path, num_predict=7).max_tokens == 7
    off = {"thinking_token_budget": 0}
    for fields in ({"enable_thinking": False}, {"thinking_budget": 0}):
        assert asker.asked(path, **fields).options == asker.asked(path, **off).options
    ollama = asker.asked(path, options={"num_predict": 7, "top_k": 5, "num_ctx": 4096})
    assert ollama.max_tokens == 7 and ollama.options["top_k"] == 5
    assert asker.post(path, num_ctx=4096).headers["x-ignored-fields"] == "num_ctx"
    for fields in ({"safe_prompt": False}, {"prompt_mode": "reasoning"}, {"echo": False}):
        asker.asked(path, **fields)
    assert "safe_prompt" in asker.refused(path, safe_prompt=True)
    assert "prompt_mode" in asker.refused(path, prompt_mode="other")


TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]


@pytest.mark.parametrize(
    ("choice", "wanted", "count"),
    [
        ("any", "required", 2),
        ("auto", "auto", 2),
        ("none", "none", 2),
        ({"type": "function", "function": {"name": "g"}}, "g", 2),
        ({"type": "function", "name": "g"}, "g", 2),
        ({"type": "tool", "name": "g"}, "g", 2),
        ({"type": "any"}, "required", 2),
        ({"type": "auto"}, "auto", 2),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": TOOLS[1:]}},
            "required",
            1,
        ),
        ({"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]}, "auto", 1),
    ],
)
def test_tool_choices(asker: Asker, choice: Any, wanted: str, count: int) -> None:
    request = asker.asked("/v1/chat/completions", tools=TOOLS, tool_choice=choice)
    assert request.tool_choice == wanted and len(request.tools or ()) == count
    for wrong in ("some", {"type": "web_search"}, {"type": "allowed_tools"}, {"name": "g"}):
        assert "tool_choice" in asker.refused(
            "/v1/chat/completions", tools=TOOLS, tool_choice=wrong
        )


@pytest.mark.parametrize(
    ("fields", "budget"),
    [
        ({"reasoning_effort": "low"}, 2048),
        ({"reasoning_effort": {"effort": "low", "summary": "auto"}}, 2048),
        ({"reasoning_effort": "high"}, None),
        ({"reasoning_effort": "default"}, None),
        ({"reasoning": {"effort": "none"}}, 0),
        ({"reasoning": {"max_tokens": 77}}, 77),
        ({"reasoning": {"enabled": False}}, 0),
        ({"reasoning": {"enabled": True, "effort": "medium"}}, 8192),
        ({"thinking": {"type": "disabled"}}, 0),
        ({"thinking": {"type": "enabled", "budget_tokens": 99}}, 99),
        ({"chat_template_kwargs": {"enable_thinking": False}}, 0),
        ({"chat_template_kwargs": {"enable_thinking": True}}, None),
        ({"chat_template_kwargs": {"thinking": False, "other": 1}}, 0),
        ({"chat_template_kwargs": {"thinking_budget": 5}}, 5),
        ({"think": False}, 0),
        ({"think": True}, None),
        ({"think": "low"}, 2048),
        ({"thinking_token_budget": 5, "reasoning_effort": "none"}, 5),
    ],
)
def test_every_way_to_say_how_much_to_think(
    asker: Asker, fields: dict[str, Any], budget: int | None
) -> None:
    request = asker.asked("/v1/chat/completions", **fields)
    assert request.options.get("think_budget") == budget


def test_reasoning_that_shall_not_come_is_refused(asker: Asker) -> None:
    assert "exclude" in asker.refused("/v1/chat/completions", reasoning={"exclude": True})
    assert "include_reasoning" in asker.refused("/v1/chat/completions", include_reasoning=False)
    asker.asked("/v1/chat/completions", include_reasoning=True, reasoning={"exclude": False})


def test_a_last_message_can_be_gone_on_with(asker: Asker) -> None:
    path = "/v1/chat/completions"
    messages = [USER, {"role": "assistant", "content": "One, two,"}]
    continued = {"continue_final_message": True, "add_generation_prompt": False}
    request = asker.asked(path, messages=messages, **continued)
    assert request.messages is not None and request.messages[-1]["prefix"] is True
    assert "prefix" not in messages[-1]
    assert "continue_final_message" in asker.refused(path, continue_final_message=True)
    assert "add_generation_prompt" in asker.refused(path, add_generation_prompt=False)
    both = {"continue_final_message": True, "add_generation_prompt": True}
    assert "add_generation_prompt" in asker.refused(path, messages=messages, **both)
    request = asker.asked("/v1/messages", messages=messages)
    assert request.messages is not None and request.messages[-1]["prefix"] is True


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
def test_penalties_and_biases_reach_the_sampler(asker: Asker, path: str) -> None:
    given = {"frequency_penalty": 0.2, "presence_penalty": -1, "logit_bias": {"50": -100, "3": 1.5}}
    options = asker.asked(path, **given).options
    assert options["frequency_penalty"] == 0.2 and options["presence_penalty"] == -1
    assert options["logit_bias"] == {50: -100, 3: 1.5}
    SamplingOptions(**options)
    for name, value in [
        ("frequency_penalty", 3),
        ("presence_penalty", "much"),
        ("logit_bias", {"x": 1}),
        ("logit_bias", {"3": 1000}),
    ]:
        assert asker.refused(path, **{name: value}).startswith(name)
    assert not asker.asked(path, logit_bias={}, frequency_penalty=0).options.get("logit_bias")


def test_a_chat_that_ends_in_the_assistants_turn_goes_on_in_another(asker: Asker) -> None:
    said = {"role": "assistant", "content": "A summary."}
    for path, field in (("/v1/chat/completions", "messages"), ("/v1/responses", "input")):
        for chat in ([USER, said], [{"role": "system", "content": "s"}, said]):
            messages = asker.asked(path, **{field: chat}).messages or ()
            assert messages[-1] == {"role": "user", "content": "Continue."}
        messages = asker.asked(path, **{field: [USER, {**said, "content": ""}]}).messages or ()
        assert not any(message.get("content") == "Continue." for message in messages)
