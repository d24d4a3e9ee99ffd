"""The `codelab` command as it is installed, with the services' dependencies or, for who only calls them, without."""

import sys


def main() -> None:
    """Run the command, or say in one line what is missing to run it."""
    try:
        from services.cli import main as run
    except ModuleNotFoundError as missing:
        sys.exit(f"codelab: the services need {missing.name}, which is not installed: pip install 'codelab[server]'")
    run()
