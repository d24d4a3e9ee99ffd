"""What was played and seen."""

import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.e2e.faults.errands import PARTS, Part


@dataclass
class Tally:
    """Counts over every fault of every layout."""

    faults: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    """Runs that were active or queued when a fault struck, by fault."""
    parts: dict[str, Counter[Part]] = field(default_factory=lambda: defaultdict(Counter))
    """Planned runs among them by what they were at, by fault."""
    seen: Counter[str] = field(default_factory=Counter)
    takeovers: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds from a fault to each takeover's first event, by fault."""
    violations: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"{sum(self.faults.values())} faults, {len(self.violations)} violations"]
        lines += [
            f"  {count:4} × {name}: {self.in_flight[name]} runs in flight{self._parts(name)}{self._takeovers(name)}"
            for name, count in sorted(self.faults.items())
        ]
        lines += ["seen:", *(f"  {count:5} × {what}" for what, count in sorted(self.seen.items()))]
        lines += ["violations:", *(f"  {each}" for each in self.violations)] if self.violations else []
        return "\n".join(lines)

    def struck(self, part: Part) -> int:
        """Planned runs that a fault struck at this."""
        return sum(counts[part] for counts in self.parts.values())

    def _parts(self, name: str) -> str:
        counts = self.parts.get(name, Counter())
        return f" ({', '.join(f'{counts[part]} {part}' for part in PARTS)})"

    def _takeovers(self, name: str) -> str:
        seconds = self.takeovers.get(name)
        if not seconds:
            return ""
        return (
            f", {len(seconds)} taken over, after {statistics.median(seconds):.2f} s (median),"
            f" {max(seconds):.2f} s (longest)"
        )
