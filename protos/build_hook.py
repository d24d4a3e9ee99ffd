"""Build hook: an installed tree always carries code generated from its own protos."""

import subprocess
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProtoBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # An editable install is a wheel too. An sdist carries only the sources.
        if self.target_name == "wheel":
            subprocess.run([sys.executable, "protos/generate.py"], cwd=self.root, check=True)
