"""A process beside a running installation that answers questions about its tables and its store.

Reads one JSON string of Python a line (a body of a function that returns something JSON can hold), writes one
JSON line. Started by `installation.Desk`.
"""

import json
import sys
import textwrap
from pathlib import Path

from forestall.processes.setup import installation


def main() -> None:
    found = installation(Path(sys.argv[1]))
    from django.db import close_old_connections

    for line in sys.stdin:
        close_old_connections()
        body = textwrap.indent(textwrap.dedent(json.loads(line)), "    ")
        names = {"found": found}
        try:
            exec(f"def answer():\n{body}\n", names)
            said = {"answer": names["answer"]()}
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said, default=str), flush=True)


main()
