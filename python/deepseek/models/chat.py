# SPDX-License-Identifier: Apache-2.0
"""Chat templates: what a tokenizer's files say about turning messages into one text. A template is
a program of somebody else, so it runs in the sandbox of jinja2 and sees plain data only."""

import datetime
import inspect
import json
import re
import secrets
import types
import typing
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from .. import _core

FILE = "chat_template.jinja"
FOLDER = "additional_chat_templates"
#: Characters that a template may write, and make of a shorter text by repeating it.
_MOST = 1 << 24
#: Names under which families of models keep what is thought before an answer.
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")


def _library():
    try:
        import jinja2
        import jinja2.ext
        import jinja2.sandbox
    except ImportError as error:
        raise _core.NotImplementedError(
            "chat template: the package `jinja2` is not installed; run pip install jinja2"
        ) from error
    if tuple(int(n) for n in jinja2.__version__.split(".")[:3] if n.isdigit()) < (3, 1, 6):
        raise _core.NotImplementedError(
            f"chat template: jinja2 {jinja2.__version__} has holes in its sandbox; run pip install "
            "-U jinja2"
        )
    return jinja2


@lru_cache(maxsize=1)
def _environment():
    """The sandbox. Its templates read nothing but what they are given, and change nothing."""
    jinja2 = _library()

    class Generation(jinja2.ext.Extension):
        """{% generation %} ... {% endgeneration %} around what the assistant says."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            marked = self.call_method("_marked", [jinja2.nodes.Name("_mark", "load")])
            return jinja2.nodes.CallBlock(marked, [], [], body).set_lineno(line)

        def _marked(self, mark, caller):
            return f"{mark}<{caller()}{mark}>" if isinstance(mark, str) else caller()

    class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**"))

        def call_binop(self, context, operator, left, right):
            pair = (left, right)
            size = max((len(v) for v in pair if isinstance(v, str | list | tuple)), default=0)
            count = max((v for v in pair if isinstance(v, int | float)), default=0)
            if size * count > _MOST or (operator == "**" and count > 64):
                raise jinja2.exceptions.SecurityError(f"the result of {operator} is too large")
            return super().call_binop(context, operator, left, right)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    made = Sandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["dict"] = lambda *pairs, **named: dict(*pairs, **named)
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return made


@lru_cache(maxsize=32)
def _compiled(template: str):
    environment = _environment()
    try:
        return environment.from_string(template)
    except _library().exceptions.TemplateError as error:
        line = getattr(error, "lineno", None)
        where = "" if line is None else f", line {line}"
        raise _core.ValueError(f"chat template{where}: {error}") from error
    except RecursionError as error:
        raise _core.ValueError("chat template: it is nested too deeply") from error


def _render(template: str, values: dict) -> str:
    compiled, parts, size = _compiled(template), [], 0
    try:
        for part in compiled.generate(**values):
            size += len(part)
            if size > _MOST:
                raise _core.ValueError(f"chat template: it writes more than {_MOST} characters")
            parts.append(part)
    except _core.ValueError:
        raise
    except Exception as error:  # whatever the template's own operations raise
        raise _core.ValueError(f"chat template: {error}") from error
    return "".join(parts)


def _plain(value, what: str):
    """A copy made of text, numbers, lists and dicts only."""
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, what) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, what) for item in value]
    raise _core.ValueError(
        f"chat template: {what} hold a {type(value).__name__}; use text, numbers, lists and dicts"
    )


# --- tools ---

_TYPES = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    list: "array",
    tuple: "array",
    dict: "object",
    type(None): "null",
}


def _schema_of(hint, where: str) -> dict:
    """The JSON schema of a type hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any:
        return {}
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    if origin is typing.Literal:
        kinds = list(dict.fromkeys(_TYPES[type(value)] for value in arguments))
        return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema_of(arguments[0], where)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], where)}
    if origin in (typing.Union, types.UnionType):
        parts = [_schema_of(part, where) for part in arguments if part is not type(None)]
        if len(parts) == 1:
            found = parts[0]
        elif all(part.keys() == {"type"} and isinstance(part["type"], str) for part in parts):
            names = sorted({part["type"] for part in parts})
            found = {"type": names[0] if len(names) == 1 else names}
        else:
            found = {"anyOf": parts}
        return {**found, "nullable": True} if type(None) in arguments else found
    raise _core.ValueError(
        f"chat template: {where} has the type {hint!r}, which is none of JSON; pass the tool as a "
        "JSON schema"
    )


def function_schema(function) -> dict:
    """The JSON schema of a function that a model may call, from its type hints and its docstring: a
    description, then "Args:" with a line `name: description` for each argument."""
    name, text = function.__name__, inspect.getdoc(function) or ""
    head, _, rest = re.sub(r"\n\s*\n", "\n\n", text).partition("Args:")
    described, _, returns = rest.partition("Returns:")
    if not head.strip():
        raise _core.ValueError(f"chat template: the tool {name} has no docstring that describes it")
    about = {
        found[1]: re.sub(r"\s+", " ", found[2]).strip()
        for found in re.finditer(
            r"(\w+)(?: ?\([^)]*\))?:\s*(.*(?:\n(?!\s*\w+(?: ?\([^)]*\))?:).*)*)", described
        )
    }
    hints, properties, required = typing.get_type_hints(function), {}, []
    for argument in inspect.signature(function).parameters.values():
        where = f"argument {argument.name} of the tool {name}"
        if argument.name not in hints:
            raise _core.ValueError(f"chat template: {where} has no type hint")
        if argument.name not in about:
            raise _core.ValueError(
                f"chat template: {where} has no line under 'Args:' in the docstring"
            )
        schema = _schema_of(hints[argument.name], where)
        properties[argument.name] = {**schema, "description": about[argument.name]}
        if argument.default is inspect.Parameter.empty:
            required.append(argument.name)
    parameters: dict = {"type": "object", "properties": properties}
    if required:
        parameters["required"] = required
    made = {"name": name, "description": head.strip(), "parameters": parameters}
    if "return" in hints:
        made["return"] = _schema_of(hints["return"], f"the result of the tool {name}")
        if returns.strip():
            made["return"]["description"] = returns.strip()
    return {"type": "function", "function": made}


def _tool(tool) -> dict:
    if isinstance(tool, Mapping):
        return dict(tool)
    if callable(tool):
        return function_schema(tool)
    raise _core.ValueError(f"chat template: a tool is a function or a JSON schema, not {tool!r}")


# --- messages ---


def _messages(chat) -> list[dict]:
    """Plain copies of messages, without keys that are None."""
    if not chat:
        raise _core.ValueError("chat template: there is no message")
    found = []
    for message in chat:
        if not isinstance(message, Mapping):
            raise _core.ValueError(
                f"chat template: a message is a dict with role and content, not {message!r}"
            )
        plain = {k: v for k, v in _plain(message, "messages").items() if v is not None}
        thought = next((plain[name] for name in _THOUGHTS if name in plain), None)
        if thought is not None:
            plain = {"thinking": thought, **plain, "reasoning_content": thought}
        found.append(plain)
    return found


def _left_open(messages: list[dict], field: str, mark: str) -> str:
    """Marks the end of the last message's text, which is returned."""
    last = messages[-1]
    text = last.get(field)
    if isinstance(text, list):
        block = next((b for b in reversed(text) if isinstance(b, dict) and "text" in b), None)
        if block is not None:
            text = block["text"]
            block["text"] = text + mark
            return text
    if not isinstance(text, str):
        raise _core.ValueError(
            f"chat template: continue_final_message: the last message has no text '{field}'"
        )
    fields = [f for f in _THOUGHTS if last.get(f) == text] if field in _THOUGHTS else [field]
    for name in fields:
        last[name] = text + mark
    return text


def _cut(rendered: str, text: str, mark: str) -> str:
    """The text up to the mark. A template may trim what is before it."""
    at = rendered.rfind(mark.strip())
    if at < 0 or text.strip() not in rendered:
        raise _core.ValueError(
            "chat template: continue_final_message: the template leaves out the last message, or "
            "parts of it, so it can not be continued"
        )
    kept = rendered[at : at + len(mark)] == mark
    return rendered[:at] if kept else rendered[:at].rstrip()


def _unmarked(text: str, mark: str) -> tuple[str, list[tuple[int, int]]]:
    """(the text without marks, where what they enclose begins and ends)."""
    parts, spans, size, begun = [], [], 0, 0
    for piece in re.split(f"({re.escape(mark)}[<>])", text):
        if piece == mark + "<":
            begun = size
        elif piece == mark + ">":
            spans.append((begun, size))
        else:
            parts.append(piece)
            size += len(piece)
    return "".join(parts), spans


def _inside(offsets, spans) -> list[int]:
    """1 for tokens that overlap one of the spans."""
    return [int(any(end > a and begin < b for a, b in spans)) for begin, end in offsets]


def is_file_name(name: str) -> bool:
    """A template of this name can be written beside the others, and nowhere else."""
    return re.fullmatch(r"[\w-][\w.-]*", name) is not None


def templates_of(settings: dict, files: dict) -> str | dict[str, str] | None:
    """The templates of files by name (that of chat_template.jinja is "default"), else those of
    tokenizer_config.json; one that is alone is not named."""
    found = files or settings.get("chat_template")
    if isinstance(found, list):
        named = [t for t in found if isinstance(t, dict) and {"name", "template"} <= t.keys()]
        found = {str(t["name"]): t["template"] for t in named}
    if isinstance(found, dict):
        if not all(isinstance(text, str) for text in found.values()):
            raise _core.FileFormatError("tokenizer_config.json: chat_template is no text")
        for name in found:
            if not is_file_name(name):
                raise _core.FileFormatError(
                    f"tokenizer_config.json: the chat template's name {name!r} is no name of a file"
                )
        return found["default"] if found.keys() == {"default"} else found
    if found is not None and not isinstance(found, str):
        raise _core.FileFormatError("tokenizer_config.json: chat_template is no text")
    return found


class ChatMixin:
    """What a tokenizer does with chats."""

    chat_template: str | dict[str, str] | None = None

    def get_chat_template(self, chat_template: str | None = None, tools=None) -> str:
        """The template: the given one or the one of that name, else the tokenizer's own."""
        own = self.chat_template
        if isinstance(own, dict):
            if chat_template is not None:
                return own.get(chat_template, chat_template)
            name = "tool_use" if tools is not None and "tool_use" in own else "default"
            if name not in own:
                raise _core.ValueError(
                    f"chat template: choose one of {', '.join(sorted(own))} as chat_template"
                )
            return own[name]
        chat_template = own if chat_template is None else chat_template
        if not isinstance(chat_template, str):
            raise _core.ValueError(
                "chat template: the tokenizer has none; set tokenizer.chat_template or pass "
                "chat_template"
            )
        return chat_template

    def apply_chat_template(
        self,
        conversation,
        tools=None,
        documents=None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        padding=False,
        truncation=False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        **values,
    ):
        """One text, or its ids, of messages (dicts with role and content), or of each list of them.

        add_generation_prompt ends it where the assistant's answer begins, continue_final_message
        within the last message (of a field other than content when it is a name). tools: functions
        with type hints and docstrings, or JSON schemas. Other arguments are variables of the
        template. With tokenize the result is what calling the tokenizer gives, or its input_ids
        alone without return_dict; return_assistant_tokens_mask adds assistant_masks, 1 for tokens
        inside {% generation %}. ValueError for what the template refuses and for what it may not
        do: it reaches nothing but its variables."""
        if continue_final_message and (add_generation_prompt or return_assistant_tokens_mask):
            other = "add_generation_prompt" if add_generation_prompt else "an assistant mask"
            raise _core.ValueError(
                f"chat template: continue_final_message and {other} exclude each other"
            )
        if return_assistant_tokens_mask and not (tokenize and return_dict):
            raise _core.ValueError(
                "chat template: return_assistant_tokens_mask needs tokenize and return_dict"
            )
        template = self.get_chat_template(chat_template, tools)
        many = bool(conversation) and isinstance(conversation[0], list | tuple)
        field = continue_final_message if isinstance(continue_final_message, str) else "content"
        mark, end = secrets.token_hex(16), f"{secrets.token_hex(16)} "
        given = {
            **self.special_tokens_map,
            **_plain(values, "variables"),
            "tools": None if tools is None else _plain([_tool(t) for t in tools], "tools"),
            "documents": _plain(documents, "documents"),
            "add_generation_prompt": add_generation_prompt,
            "_mark": mark if return_assistant_tokens_mask else None,
        }
        texts, spans = [], []
        for chat in conversation if many else [conversation]:
            messages = _messages(chat)
            last = _left_open(messages, field, end) if continue_final_message else None
            text = _render(template, {**given, "messages": messages})
            text, found = _unmarked(text, mark)
            texts.append(text if last is None else _cut(text, last, end))
            spans.append(found)
        if not tokenize:
            return texts if many else texts[0]
        out = self(
            texts if many else texts[0],
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            add_special_tokens=False,
            return_tensors=return_tensors,
        )
        if return_assistant_tokens_mask:
            masks = [_inside(e.offsets, s) for e, s in zip(out.encodings, spans, strict=True)]
            if return_tensors is not None:
                array = np.asarray(masks, dtype=np.int64)
                out["assistant_masks"] = array if return_tensors == "np" else _core.tensor(array)
            else:
                out["assistant_masks"] = masks if many else masks[0]
        return out if return_dict else out["input_ids"]
