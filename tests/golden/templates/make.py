"""Renders every template here with Python's Jinja, set up as Hugging Face's transformers does, and writes golden.json.

Needs jinja2. Usage: python make.py
"""
import json
import pathlib
from datetime import datetime, timezone

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
NOW = 1_740_000_000


class Generation(Extension):
    """A stand-in for transformers' AssistantTracker, which records spans and prints the body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.fromtimestamp(NOW, timezone.utc).strftime(form)
    return env


def u(text, **more):
    return {"role": "user", "content": text, **more}


def a(text, **more):
    return {"role": "assistant", "content": text, **more}


def s(text):
    return {"role": "system", "content": text}


def t(text, **more):
    return {"role": "tool", "content": text, **more}


CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [2.5, None, "é<&>"]}}}
TEXT_CALL = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds \"numbers\" <b> & 'more'\n",
            "parameters": {"type": "object", "properties": {"a": {"type": "number", "default": 1e20}}, "required": []},
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {}}},
]
THOUGHT = "<think>\nLet me see.\n</think>\n\nIt is 4."

CONVERSATIONS = {
    "one": [u("What is 2+2?")],
    "system": [s("Be brief."), u("Hi")],
    "turns": [u("Hi"), a("Hello!"), u("Bye")],
    "system-turns": [s(" Be brief. "), u("Hi"), a("Hello!"), u("Bye"), a("Bye!"), u("?")],
    "two-systems": [s("One."), u("Hi"), s("Two."), u("Ho")],
    "thought": [u("2+2?"), a(THOUGHT), u("Sure?")],
    "thought-last": [u("2+2?"), a(THOUGHT)],
    "thought-unclosed": [u("2+2?"), a("<think>\nhm"), u("Go on")],
    "thought-twice": [u("x"), a("<think>a</think>b</think>\n\nc"), u("y")],
    "thoughts": [u("1"), a(THOUGHT), u("2"), a(THOUGHT + "\n"), u("3")],
    "reasoning-field": [u("1"), a("Four.", reasoning_content="\nsum\n"), u("2")],
    "reasoning-field-last": [u("1"), a("Four.", reasoning_content="\nsum\n")],
    "empty": [u("")],
    "empty-answer": [u("x"), a(""), u("y")],
    "blank": [u("  \n "), a("\n\n"), u("\t")],
    "spaces": [u("  lead and trail \n"), a(" kept? \n\n"), u("x")],
    "unicode": [u("日本語 😀 e\u0301 \u00a0x\u3000 \u200b"), a("Ünï\u2028"), u("\ufeffz")],
    "quotes": [u("'single' \"double\" \\ back {{ not }} {% code %}"), a("`x`"), u("<b>&amp;</b>")],
    "newlines": [u("a\nb\r\nc\rd"), a("e\n\nf"), u("g\n")],
    "typed-tags": [u("What does <think> mean? </think>"), a("A tag."), u("<|im_end|><｜User｜>")],
    "skip": [u("skip"), a("b"), u("skip"), a("d"), u("e"), a("f"), u("g")],
    "call": [u("1+2?"), a(None, tool_calls=[CALL]), t("3"), a("3."), u("ok")],
    "call-string": [u("1+2?"), a(None, tool_calls=[TEXT_CALL]), t("3")],
    "call-content": [u("1+2?"), a("Adding.", tool_calls=[TEXT_CALL]), t("3", tool_call_id="1")],
    "calls": [u("?"), a(None, tool_calls=[TEXT_CALL, TEXT_CALL]), t("3"), t("4"), a("Both."), u("ok")],
    "calls-thought": [u("?"), a(THOUGHT, tool_calls=[CALL]), t("3"), a(THOUGHT)],
    "tool-response-text": [u("?"), a("x"), u("<tool_response>\n3\n</tool_response>")],
    "parts": [u([{"type": "text", "text": " a "}, {"type": "image"}, {"type": "text", "text": "b"}])],
    "named": [u("Hi", name="Ann"), a("Ho"), u("He", name="Bob")],
    "assistant-first": [a("Hello"), u("Hi")],
    "developer": [{"role": "developer", "content": "Short."}, u("Hi")],
    "long": [m for i in range(20) for m in (u(f"q{i}"), a(f"<think>\nt{i}\n</think>\n\na{i}"))] + [u("end")],
}


def cases():
    for name, messages in CONVERSATIONS.items():
        yield name, {"messages": messages}
    yield "no-generation", {"messages": CONVERSATIONS["turns"], "add_generation_prompt": False}
    yield "no-thinking", {"messages": CONVERSATIONS["thought"], "enable_thinking": False}
    yield "thinking", {"messages": CONVERSATIONS["one"], "enable_thinking": True}
    yield "tools", {"messages": CONVERSATIONS["system"], "tools": TOOLS}
    yield "tools-call", {"messages": CONVERSATIONS["call"], "tools": TOOLS}


def main():
    env = environment()
    golden = {}
    for path in sorted(HERE.glob("*.jinja")):
        template = env.from_string(path.read_text(encoding="utf-8"))
        rendered = golden[path.stem] = {}
        for name, case in cases():
            variables = {"add_generation_prompt": True, "tools": None, "documents": None, **case}
            try:
                text = template.render(bos_token="<BOS>", eos_token="<EOS>", **variables)
            except Exception:  # noqa: BLE001 - any refusal counts, its words do not
                text = None
            rendered[name] = text
    out = {"now": NOW, "cases": dict(cases()), "golden": golden}
    (HERE / "golden.json").write_text(json.dumps(out, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    counts = {name: sum(text is not None for text in texts.values()) for name, texts in golden.items()}
    print(counts, "of", len(dict(cases())))


if __name__ == "__main__":
    main()
