"""python3 charts.py DATA ANALYSIS [DIRECTORY]: runs an analysis of a file of data, and saves what it displays.

DATA is a file, such as a CSV, which the analysis finds beside it under the same name. ANALYSIS is a file of Python; each
block of it that a line `# %%` begins is run as a cell. Tables are saved as HTML, figures as PNG, and the data of charts
as JSON.
"""

import base64
import json
import os
import re
import sys
from pathlib import Path

from sandbar import Result, Sandbox, get_sandbox


def save(result: Result, directory: Path, name: str) -> list[Path]:
    """Writes the forms of a displayed value to files. Returns their paths."""
    forms: dict[str, bytes] = {}
    if "png" in result.data:
        forms["png"] = base64.b64decode(result["png"])
    if "chart" in result.data:
        forms["json"] = json.dumps(result["chart"], indent=2).encode()
    if "html" in result.data:
        forms["html"] = str(result["html"]).encode()
    paths = [directory / f"{name}.{suffix}" for suffix in forms]
    for path, data in zip(paths, forms.values(), strict=True):
        path.write_bytes(data)
    return paths


def analyze(sandbox: Sandbox, data: Path, analysis: Path, directory: Path) -> bool:
    """Runs the cells in one context, whose variables stay. Returns whether all succeeded."""
    sandbox.write_file(f"/workspace/{data.name}", data.read_bytes())
    context = sandbox.create_code_context(language="python", cwd="/workspace")
    cells = [cell for cell in re.split(r"^# %%.*\n", analysis.read_text(), flags=re.MULTILINE) if cell.strip()]
    for number, cell in enumerate(cells, 1):
        run = sandbox.run_code(cell, context=context, timeout=120, on_stdout=lambda text: print(text, end=""))
        saved = 0
        for result in run.results:
            paths = save(result, directory, f"cell-{number}-{saved + 1}")
            saved += bool(paths)
            print("\n".join(f"saved {path}" for path in paths) or result.data.get("text", ""))
        if run.error:
            print("\n".join(run.error.traceback), file=sys.stderr)
            return False
    return True


def main(data: str, analysis: str, directory: str = "charts") -> int:
    Path(directory).mkdir(parents=True, exist_ok=True)
    with get_sandbox(os.environ["SANDBOX_URL"], os.environ["SANDBOX_API_KEY"], f"data-{os.urandom(8).hex()}") as box:
        try:
            return 0 if analyze(box, Path(data), Path(analysis), Path(directory)) else 1
        finally:
            box.destroy()


sys.exit(main(*sys.argv[1:]))
