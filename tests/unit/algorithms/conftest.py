"""Every shape annotation of `vlaa_ray.algorithms` is checked while these tests run."""

import importlib
import sys
from pathlib import Path

from jaxtyping import install_import_hook

_FOLDERS = ("advantages", "losses")
_PACKAGE = Path(__file__).parents[3] / "vlaa_ray" / "algorithms"
MODULES = [
    "vlaa_ray.algorithms.kl",
    *(
        f"vlaa_ray.algorithms.{folder}" + ("" if file.stem == "__init__" else f".{file.stem}")
        for folder in _FOLDERS
        for file in sorted((_PACKAGE / folder).glob("*.py"))
    ),
]

# Modules that another test file imported first are imported again, now checked; this folder is collected as a whole
# before any of its tests run.
for name in MODULES:
    sys.modules.pop(name, None)
with install_import_hook("vlaa_ray.algorithms", "beartype.beartype"):
    for name in MODULES:
        importlib.import_module(name)
