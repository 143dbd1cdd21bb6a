"""Scripts that the README prints, to be run as a reader would."""

import re
from pathlib import Path

_README = Path(__file__).parents[2] / "README.md"


def script(name: str) -> str:
    """Return the Python script that begins with the comment `# NAME`."""
    for block in re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL):
        if block.startswith(f"# {name}"):
            return str(block)
    raise AssertionError(f"the README prints no script {name}")
