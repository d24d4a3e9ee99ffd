"""Which version of CodeLab runs."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def package_version() -> str:
    """The version of this installation; `0.0.0+checkout` where it runs without having been installed."""
    try:
        return version("codelab")
    except PackageNotFoundError:
        return "0.0.0+checkout"
