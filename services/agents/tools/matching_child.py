"""A process of its own that holds lines against a regular expression: what Python's can take for ever, and cannot be
stopped in, is killed with its process.

It is started by its path, and knows nothing of the rest. Its input is a line of JSON, {"pattern": …, "seconds": …,
"bytes": …}, and then for each file a line with the number of its bytes, and the bytes. Each is answered by a line of
JSON: {"error": …} of the pattern, null for none, then for each file [[line number, column], …], both from 0 on.
"""

import json
import re
import resource
import sys


def main() -> None:
    """Answer until the input ends."""
    read, written = sys.stdin.buffer, sys.stdout
    asked = json.loads(read.readline())
    # Its parent kills it. This is for when that dies first, and for patterns that take memory instead of time.
    resource.setrlimit(resource.RLIMIT_CPU, (asked["seconds"], asked["seconds"]))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (asked["bytes"], asked["bytes"]))
    try:
        pattern = re.compile(asked["pattern"])
    except (re.error, OverflowError, RecursionError) as error:
        print(json.dumps({"error": str(error)}), file=written, flush=True)
        return
    print(json.dumps({"error": None}), file=written, flush=True)
    while size := read.readline():
        lines = read.read(int(size)).decode(errors="replace").split("\n")
        matches = ((number, pattern.search(line.removesuffix("\r"))) for number, line in enumerate(lines))
        print(json.dumps([(number, match.start()) for number, match in matches if match]), file=written, flush=True)


if __name__ == "__main__":
    main()
