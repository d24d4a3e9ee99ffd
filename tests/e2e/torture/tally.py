"""What a torture was, and what came of it."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"seed {self.seed}: {len(self.violations)} violations"]
        lines += [f"  {count:7} {what}" for what, count in self.counts.items()]
        lines += ["seen:", *(f"  {count:7} × {what}" for what, count in sorted(self.seen.items()))]
        lines += [f"violation: {each if len(each) < 2_000 else each[:2_000] + '…'}" for each in self.violations[:20]]
        return "\n".join(lines)
