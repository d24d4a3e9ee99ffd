"""The file `.env`: what it may say, what it must not, and that the environment has the last word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime.dotenv import read_dotenv
from services.runtime.errors import StartupError
from services.runtime.process import misspelt_variables
from services.runtime.settings import Settings

READ = {
    "A=b": "b",
    "export A=b": "b",
    "export\tA=b": "b",
    "  A=b  ": "b",
    "A = b": "b",
    "A=": "",
    "A= # nothing": "",
    "A=b # a comment": "b",
    "A=b\t# a comment": "b",
    "A=b#c": "b#c",
    "A=#b": "#b",
    "A=  'b'": "b",
    "A=b c": "b c",
    "A=b=c==": "b=c==",
    "A=it's": "it's",
    "A='b'": "b",
    "A='b # c'": "b # c",
    "A='  b  ' # a comment": "  b  ",
    r"A='b\n$c'": r"b\n$c",
    "A=''": "",
    'A="b # c"# a comment': "b # c",
    r'A="b\nc\"d\\e\$f\g"': 'b\nc"d\\e$f\\g',
    "A=$HOME/${B}": "$HOME/${B}",
    r"A=C:\folder": r"C:\folder",
    "A=b\r": "b",
    "A=𝄞 é\u2028": "𝄞 é",
    "\ufeffA=b": "b",
    "A=first\nA=second": "second",
    "# A=c\n\n \t\nA=b\n#": "b",
    "export=b\nA=b": "b",
}
REFUSED = [
    "sk-secret",
    "A",
    "A sk-secret",
    "=sk-secret",
    "1A=sk-secret",
    "A-B=sk-secret",
    "export A",
    "A='sk-secret",
    "A='sk-secret'more",
    "A='sk'secret'",
    'A="sk-secret',
    'A="sk-secret" more',
    r'A="sk-secret\"',
    "A=sk-\0secret",
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.mark.parametrize("text", READ)
def test_line_is_read_as_it_is_meant(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="")
    assert read_dotenv(file)["A"] == READ[text]


@pytest.mark.parametrize("line", REFUSED)
def test_line_that_cannot_be_meant_is_named_and_its_value_is_not(file: Path, line: str) -> None:
    file.write_text(f"# a comment\nB=c\n{line}\n", encoding="utf-8")
    with pytest.raises(StartupError, match=r"\.env, line 3: ") as refused:
        read_dotenv(file)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused_by_line(file: Path) -> None:
    file.write_bytes(b"A=b\nB=\xff\xfe\n")
    with pytest.raises(StartupError, match=r"\.env, line 2: is not UTF-8"):
        read_dotenv(file)


def test_no_file_is_no_variables_and_a_folder_of_its_name_is_refused(file: Path) -> None:
    assert read_dotenv(file) == {}
    file.mkdir()
    with pytest.raises(StartupError, match=r"\.env cannot be read: "):
        read_dotenv(file)


@pytest.mark.parametrize("text", ["A=b", "A='b # c'", r'A="b\"c\\d\$e"', "export A='$HOME'", "A=b # c"])
def test_shell_reads_the_same(file: Path, text: str) -> None:
    file.write_text(text)
    said = subprocess.run(["sh", "-c", f'. {file}; printf %s "$A"'], capture_output=True, text=True, check=True)
    assert read_dotenv(file)["A"] == said.stdout


def test_environment_has_the_last_word_also_when_it_says_nothing() -> None:
    dotenv = {"CODELAB_HTTP_PORT": "8080", "OPENAI_MODEL": "of the file", "OPENAI_API_KEY": "sk-file", "PATH": "/"}
    settings = Settings.load({"OPENAI_MODEL": "of the environment", "OPENAI_API_KEY": ""}, dotenv)
    assert (settings.http_port, settings.openai_model) == (8080, "of the environment")
    assert settings.openai_api_key == ""


def test_wrong_value_is_said_to_stand_in_the_file_only_if_it_does() -> None:
    with pytest.raises(StartupError, match=r"^CODELAB_HTTP_PORT in \.env: must be a whole number$"):
        Settings.load({}, {"CODELAB_HTTP_PORT": "http"})
    with pytest.raises(StartupError, match=r"^CODELAB_HTTP_PORT: must be a whole number$"):
        Settings.load({"CODELAB_HTTP_PORT": "http"}, {"CODELAB_HTTP_PORT": "8000"})


def test_misspelt_name_is_named_with_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODELAB_LOG_LEVL", "debug")
    dotenv = {"CODELAB_HTP_PORT": "1", "CODELAB_TOKEN": "x", "EDITOR": "vi"}
    assert misspelt_variables(dotenv) == [
        "CODELAB_LOG_LEVL (did you mean CODELAB_LOG_LEVEL?)",
        "CODELAB_HTP_PORT in .env (did you mean CODELAB_HTTP_PORT?)",
    ]


def test_makefile_is_told_what_codelab_would_read(file: Path) -> None:
    file.write_text("CODELAB_DATA_DIR='some where' # here\n")

    def said(**environ: str) -> str:
        command = [sys.executable, "-m", "services.runtime.dotenv", "CODELAB_DATA_DIR"]
        root = Path(__file__).resolve().parents[2]
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(root), **environ}
        return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=file.parent, check=True).stdout

    assert said() == "some where\n"
    assert said(CODELAB_DATA_DIR="elsewhere") == "elsewhere\n"
    assert said(CODELAB_DATA_DIR="") == "\n", "an empty variable counts as unset, also before the file"
