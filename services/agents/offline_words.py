"""How the offline model speaks."""

_QUOTED_CHARACTERS = 400

_ADVICE = """\
To get real answers, stop CodeLab, set one of these and start it again:

- OpenAI: `OPENAI_API_KEY=sk-…`
- Ollama, vLLM, LiteLLM or another OpenAI-compatible endpoint: `OPENAI_BASE_URL=http://127.0.0.1:11434/v1`, and \
`OPENAI_MODEL` with the name of a model it has. Add `OPENAI_API_KEY` if the endpoint asks for one."""


def with_advice(text: str) -> str:
    """The text, and how to get a better one."""
    return text + _ADVICE


def as_quotation(text: str, characters: int = _QUOTED_CHARACTERS) -> str:
    """The beginning of the text as a quotation in Markdown."""
    text = text.strip()
    if len(text) > characters:
        text = f"{text[:characters]}…"
    # Whatever ends a line for whoever shows it must not end the quotation.
    return "\n".join(f"> {line}" for line in text.splitlines() or [""])


def in_a_line(text: str, characters: int) -> str:
    """The beginning of the text as a part of a line."""
    text = " ".join(text.split())
    return text if len(text) <= characters else f"{text[:characters]}…"
