"""Every shape annotation of `vlaa_ray.algorithms` is checked while these tests run."""

import importlib
import sys

from jaxtyping import install_import_hook

MODULES = ("vlaa_ray.algorithms.advantages", "vlaa_ray.algorithms.kl", "vlaa_ray.algorithms.losses")

# Modules that another test file imported first are imported again, now checked; this folder is collected as a whole
# before any of its tests run.
for name in MODULES:
    sys.modules.pop(name, None)
with install_import_hook("vlaa_ray.algorithms", "beartype.beartype"):
    for name in MODULES:
        importlib.import_module(name)
