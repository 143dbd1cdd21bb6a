"""Whether the installed packages hold what their authors released, as far as a look at the files tells.

litellm's stolen releases of 2026 ran through a `.pth` file: Python executes such a file's `import` lines at
every start, whatever program is started. So each one is looked at, and litellm's own files are compared with
the hashes in its list of files.
"""

import base64
import hashlib
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from chatvault.core.check import Check

_NAME = "Packages"
# What setuptools, virtualenv, namespace packages, editable installs and coverage put there.
_KNOWN_STARTERS = (
    "distutils-precedence.pth",
    "_virtualenv.pth",
    "__editable__*.pth",
    "_editable_impl_*.pth",
    "*-nspkg.pth",
    "a1_coverage.pth",
)
_KNOWN_WORDS = (
    "_distutils_hack",
    "import _virtualenv",
    "__editable___",
    "_editable_impl_",
    "importlib.util",
    "coverage",
)
_STARTERS = ("sitecustomize.py", "usercustomize.py")
_RUNNABLE = (".py", ".pth", ".so")
_MOST_SHOWN = 3
_MEND = "install everything anew in a fresh environment, and change every key this machine has held"


def check_packages(folders: Sequence[Path] | None = None, package: str = "litellm") -> Check:
    """Look for files that don't belong, in `folders` (by default where packages are), and in `package`."""
    if folders is None:
        folders = [
            path for each in sys.path if (path := Path(each)).name in ("site-packages", "dist-packages")
        ]
    try:
        found = distribution(package)
    except PackageNotFoundError:
        return Check(_NAME, "skip", f"{package} is not installed")
    strange = [*_strange_starters(folders), *_strange_files(found)]
    if strange:
        more = f" and {len(strange) - _MOST_SHOWN} more" if len(strange) > _MOST_SHOWN else ""
        return Check(_NAME, "fail", f"{'; '.join(strange[:_MOST_SHOWN])}{more}", _MEND)
    custom = [str(folder / name) for folder in folders for name in _STARTERS if (folder / name).exists()]
    if custom:
        return Check(
            _NAME, "warn", f"{custom[0]} runs at every start of Python", "see whether you put it there"
        )
    return Check(
        _NAME, "pass", f"nothing runs that doesn't belong; {package}'s files are those of its release"
    )


def _strange_starters(folders: Sequence[Path]) -> Iterator[str]:
    for folder in folders:
        for path in sorted(folder.glob("*.pth")):
            try:
                lines = path.read_text("utf-8", "replace").splitlines()
            except OSError as exc:
                yield f"{path} can't be read: {exc.strerror}"
                continue
            code = [line for line in lines if line.startswith(("import ", "import\t"))]
            is_known = any(fnmatch(path.name, name) for name in _KNOWN_STARTERS)
            if code and not (is_known and all(any(word in line for word in _KNOWN_WORDS) for line in code)):
                yield f"{path} runs code at every start of Python"


def _strange_files(package: Distribution) -> Iterator[str]:
    """Yield what differs from the package's own list of files."""
    known: set[Path] = set()
    top: set[Path] = set()
    for file in package.files or ():
        path = Path(str(package.locate_file(file)))
        known.add(path)
        if file.suffix in _RUNNABLE and len(file.parts) > 1 and ".dist-info" not in file.parts[0]:
            top.add(Path(str(package.locate_file(file.parts[0]))))
        if file.suffix == ".pth":
            yield f"{path} came with {package.name}"
        if file.hash is None or file.suffix not in _RUNNABLE:
            continue
        try:
            digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
        except FileNotFoundError:
            continue
        except OSError as exc:
            yield f"{path} can't be read: {exc.strerror}"
            continue
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            yield f"{path} is not what was released"
    for folder in sorted(top):
        for path in sorted(folder.rglob("*")):
            if path.suffix in _RUNNABLE and path not in known:
                yield f"{path} doesn't belong to {package.name}"
