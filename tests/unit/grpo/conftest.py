"""Every shape annotation of `vlaa_ray.grpo` is checked while these tests run."""

import importlib
import sys

from jaxtyping import install_import_hook

MODULES = ("vlaa_ray.grpo.advantages", "vlaa_ray.grpo.kl", "vlaa_ray.grpo.loss")

# Modules that another test file imported first are imported again, now checked; this folder is collected as a whole
# before any of its tests run.
for name in MODULES:
    sys.modules.pop(name, None)
with install_import_hook("vlaa_ray.grpo", "beartype.beartype"):
    for name in MODULES:
        importlib.import_module(name)
