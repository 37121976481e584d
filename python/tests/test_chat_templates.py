# SPDX-License-Identifier: Apache-2.0
"""apply_chat_template() against transformers, over templates in the manner of published ones, and
against templates that mean harm."""

import datetime
import json
from typing import Literal

import deepseek as ds
import numpy as np
import pytest
from deepseek.models import AutoTokenizer
from deepseek.models.chat import function_schema

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

CHATML = """
{%- if messages[0]['role'] != 'system' -%}
    {{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}
    {%- else %}{{ message['content'] + '<|im_end|>' }}{% endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
HEADERS = """{{ bos_token }}{% for message in messages %}
{{ '<|start|>' ~ message.role ~ '<|end|>\\n\\n' ~ message.content | trim ~ eos_token }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\\n\\n' }}{% endif %}"""
INST = """{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system = none %}
    {%- set loop_messages = messages %}
{%- endif -%}
{{ bos_token }}
{%- for message in loop_messages %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {{- ' [INST] ' }}
        {%- if loop.last and system %}{{ system + '\\n\\n' }}{% endif %}
        {{- message.content }}{{ ' [/INST]' }}
    {%- else %}{{ ' ' + message.content | trim + eos_token }}{% endif %}
{%- endfor %}"""
TOOLS = """{%- macro describe(tool, depth=0) %}
    {{- '  ' * depth }}{{ tool.function.name }}: {{ tool | tojson }}
{%- endmacro %}
{%- set ns = namespace(count=0) %}
{%- if tools %}
{{ 'tools (' ~ tools | length ~ ')\\n' }}
{% for tool in tools %}{{ describe(tool, 1) }}
{% endfor %}{% endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- set ns.count = ns.count + 1 %}
        {{- '<result>' ~ message.content ~ '</result>' }}{% continue %}
    {%- endif %}
    {%- if message.tool_calls is defined %}
        {%- for call in message.tool_calls %}
            {{- '<call>' ~ call.function.arguments | tojson(indent=2) ~ '</call>' }}
        {%- endfor %}
    {%- endif %}
    {{- message.role | upper ~ ': ' ~ (message.content or '') ~ '\\n' }}
{%- endfor %}
{{- ns.count }}{{ documents[0].title if documents else '' }}{{ mood | default('calm') }}"""
THINKING = """{% for m in messages %}<{{ m.role }}>
    {%- if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}
    {%- if m.content is string %}{{ m.content }}
    {%- else %}
        {%- for part in m.content %}
            {{- part.text if part.type == 'text' else '[' ~ part.type ~ ']' }}
        {%- endfor %}
    {%- endif %}
{% endfor %}{{ strftime_now('%Y') }}"""
TEMPLATES = {
    "chatml": CHATML,
    "headers": HEADERS,
    "inst": INST,
    "tools": TOOLS,
    "thinking": THINKING,
}
CHAT = [
    {"role": "user", "content": " What is 2 + 2? "},
    {"role": "assistant", "content": "It is four. "},
    {"role": "user", "content": "Thanks, “so” fast!\n"},
]
ANSWERED = [*CHAT, {"role": "assistant", "content": "You are"}]
PARTS = [
    {"role": "user", "content": [{"type": "image", "url": "x"}, {"type": "text", "text": "what?"}]},
    {"role": "assistant", "reasoning": "hm", "content": [{"type": "text", "text": "a cat "}]},
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A tokenizer of transformers and the same one here."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["what is the answer, it is four, thanks so fast you are"], trainer)
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    folder = tmp_path_factory.mktemp("tokenizer")
    theirs.save_pretrained(folder)
    return theirs, AutoTokenizer.from_pretrained(folder)


def weather(
    place: str, days: int = 1, unit: Literal["C", "F"] = "C", near: list[str] | None = None
) -> str:
    """The weather of a place.

    Args:
        place: Name of a town,
            with its country
        days: How many days
        unit: Of temperatures
        near: Other places

    Returns:
        A sentence."""
    return ""


def anything(values: dict[str, float], flag: bool | int, rest: int | list[int]):
    """Takes anything.

    Args:
        values: numbers
        flag (bool): yes or no
        rest: more"""


CALLS = [
    {"role": "user", "content": "Warm?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"place": "Ulm ✓"}}}
        ],
    },
    {"role": "tool", "content": "20"},
    {"role": "assistant", "content": "Yes."},
]


@pytest.mark.parametrize(
    ("template", "chat", "options"),
    [
        ("chatml", CHAT, {}),
        ("chatml", CHAT, {"add_generation_prompt": True}),
        ("chatml", ANSWERED, {"continue_final_message": True}),
        ("headers", CHAT, {"add_generation_prompt": True}),
        (
            "headers",
            [*CHAT, {"role": "assistant", "content": "You are "}],
            {"continue_final_message": True},
        ),
        ("headers", CHAT, {"bos_token": "<other>"}),
        ("inst", [{"role": "system", "content": "Be brief."}, *CHAT], {}),
        ("inst", ANSWERED, {"continue_final_message": True}),
        ("tools", CALLS, {"tools": [weather, anything]}),
        (
            "tools",
            CALLS,
            {"tools": [{"type": "function", "function": {"name": "f"}}], "mood": "glad"},
        ),
        ("tools", CALLS, {"documents": [{"title": "T", "text": "x"}]}),
        ("thinking", PARTS, {}),
        ("thinking", PARTS, {"continue_final_message": True}),
        (
            "thinking",
            [
                {"role": "user", "content": "a"},
                {"role": "assistant", "thinking": "well", "content": ""},
            ],
            {"continue_final_message": "reasoning_content"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_the_text_and_ids_of_transformers(pair, template, chat, options):
    theirs, mine = pair
    options = {"chat_template": TEMPLATES[template], **options}
    before = json.dumps(chat)
    expected = theirs.apply_chat_template(chat, tokenize=False, **options)
    assert mine.apply_chat_template(chat, tokenize=False, **options) == expected
    ids = theirs.apply_chat_template(chat, **options)
    found = mine.apply_chat_template(chat, **options)
    assert found["input_ids"] == ids["input_ids"]
    assert mine.apply_chat_template(chat, return_dict=False, **options) == ids["input_ids"]
    assert json.dumps(chat) == before


def test_batches_and_masks_of_what_the_assistant_says(pair):
    theirs, mine = pair
    chats = [ANSWERED, CHAT[:2]]
    for side in ("right", "left"):
        theirs.padding_side = mine.padding_side = side
        options = dict(chat_template=CHATML, return_assistant_tokens_mask=True, padding=True)
        expected = theirs.apply_chat_template(chats, return_tensors="np", **options)
        found = mine.apply_chat_template(chats, return_tensors="ds", **options)
        for key in ("input_ids", "attention_mask", "assistant_masks"):
            np.testing.assert_array_equal(found[key].numpy(), expected[key], err_msg=key)
        assert 0 < found["assistant_masks"].numpy().sum() < found["attention_mask"].numpy().sum()
    one = mine.apply_chat_template(CHAT, chat_template=CHATML, return_assistant_tokens_mask=True)
    said = [i for i, m in zip(one["input_ids"], one["assistant_masks"], strict=True) if m]
    assert mine.decode(said) == "It is four. <|im_end|>"


@pytest.mark.parametrize("function", [weather, anything], ids=lambda f: f.__name__)
def test_schemas_of_functions(function):
    assert function_schema(function) == transformers.utils.get_json_schema(function)


def test_files_in_both_directions(pair, tmp_path):
    theirs, mine = pair
    for number, template in enumerate([CHATML, {"default": CHATML, "tool_use": TOOLS}]):
        theirs.chat_template = template
        theirs.save_pretrained(tmp_path / f"theirs{number}")
        read = AutoTokenizer.from_pretrained(tmp_path / f"theirs{number}")
        assert read.chat_template == template
        read.save_pretrained(tmp_path / f"ours{number}")
        again = transformers.AutoTokenizer.from_pretrained(tmp_path / f"ours{number}")
        assert again.chat_template == template
        for tools in (None, [weather]):
            options = {"tokenize": False, "tools": tools}
            assert read.apply_chat_template(CHAT, **options) == again.apply_chat_template(
                CHAT, **options
            )
    theirs.chat_template = None
    old = tmp_path / "old"
    mine.save_pretrained(old)
    for found, expected in (
        (CHATML, CHATML),
        (
            [{"name": "default", "template": CHATML}, {"name": "rag", "template": INST}],
            {"default": CHATML, "rag": INST},
        ),
    ):
        config = json.loads((old / "tokenizer_config.json").read_text())
        (old / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": found}))
        assert AutoTokenizer.from_pretrained(old).chat_template == expected
    with pytest.raises(ds.ValueError, match="choose one of|roles must"):
        read = AutoTokenizer.from_pretrained(old)
        read.chat_template = {"a": CHATML, "b": CHATML}
        read.apply_chat_template(CHAT)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% for m in messages %}", "line 1"),
        ("\n\n{{ messages[ }}", "line 3"),
        ("{{ raise_exception('no system message') }}", "no system message"),
        ("{{ messages.x.y }}", "no attribute 'x'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'a' + 1 }}", "chat template"),
        ("{% import 'os' as os %}", "chat template"),
        ("{% include '/etc/passwd' %}", "chat template"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.__class__.__init__.__globals__ }}", "unsafe"),
        ("{{ raise_exception.__globals__['json'] }}", "unsafe"),
        ("{{ strftime_now.__code__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__.os.system('true') }}", "unsafe"),
        ("{{ '{0.__class__}'.format(messages) }}", "unsafe"),
        ("{{ messages | attr('__class__') }}", "unsafe|undefined|chat template"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ messages[0].update({'role': 'x'}) }}", "unsafe"),
        ("{% for i in range(10 ** 9) %}{% endfor %}", "too big"),
        ("{{ 'a' * 10 ** 12 }}", "too large"),
        ("{{ 9 ** 9 ** 9 }}", "too large"),
        ("{% for i in range(99999) %}{{ 'a' * 999 }}{% endfor %}", "more than"),
        ("{{ dict.mro() }}", "chat template"),
    ],
)
def test_templates_that_are_wrong_or_mean_harm(pair, template, text):
    _, mine = pair
    chat = json.loads(json.dumps(CHAT))
    with pytest.raises(ds.ValueError, match=text):
        shown = mine.apply_chat_template(chat, chat_template=template, tokenize=False)
        # The sandbox may give an empty text instead of an error.
        raise ds.ValueError(
            f"unsafe: nothing came out, chat template: {shown}" if not shown else f"leaked {shown}"
        )
    assert chat == CHAT


def undocumented(place: str):
    pass


@pytest.mark.parametrize(
    ("chat", "options", "text"),
    [
        ([], {}, "no message"),
        (["hello"], {}, "not 'hello'"),
        ([{"role": "user", "content": object()}], {}, "messages hold a object"),
        (CHAT, {"tools": [3]}, "a tool is a function or a JSON schema"),
        (CHAT, {"tools": [undocumented]}, "no docstring"),
        (CHAT, {"add_generation_prompt": True, "continue_final_message": True}, "exclude"),
        (CHAT, {"return_assistant_tokens_mask": True, "tokenize": False}, "needs tokenize"),
        ([{"role": "user"}], {"continue_final_message": True}, "no text 'content'"),
        (ANSWERED, {"continue_final_message": True, "chat_template": "x"}, "leaves out"),
        (CHAT, {"other": open}, "variables hold a"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_bad_arguments(pair, chat, options, text):
    _, mine = pair
    with pytest.raises(ds.ValueError, match=text):
        mine.apply_chat_template(chat, **{"chat_template": CHATML, **options})


def test_without_a_template_or_with_broken_files(pair, tmp_path):
    _, mine = pair
    with pytest.raises(ds.ValueError, match="the tokenizer has none"):
        mine.apply_chat_template(CHAT)
    mine.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(ds.FileFormatError, match="no UTF-8"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": 3}))
    with pytest.raises(ds.FileFormatError, match="chat_template is no text"):
        AutoTokenizer.from_pretrained(tmp_path)
    for name in ("../../x", "/x", "..", "", "a/b"):
        named = [{"name": "default", "template": "a"}, {"name": name, "template": "b"}]
        text = json.dumps({**config, "chat_template": named})
        (tmp_path / "tokenizer_config.json").write_text(text)
        with pytest.raises(ds.FileFormatError, match="is no name of a file"):
            AutoTokenizer.from_pretrained(tmp_path)
        mine.chat_template = {"default": "a", name: "b"}
        with pytest.raises(ds.ValueError, match="is no name of a file"):
            mine.save_pretrained(tmp_path / "harm" / "folder")
    mine.chat_template = None
    assert not (tmp_path / "harm").exists()


def test_the_date(pair):
    _, mine = pair
    year = mine.apply_chat_template(CHAT, chat_template="{{ strftime_now('%Y') }}", tokenize=False)
    assert int(year) >= datetime.date(2024, 1, 1).year
