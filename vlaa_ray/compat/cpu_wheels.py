"""Makes transformers and vLLM importable where torch is a CPU build but torchvision and others are CUDA builds.

PyPI has torchvision, torchaudio and torchcodec only as builds for CUDA. With a CPU build of torch their C++ libraries
don't load.

- Image preprocessing needs torchvision, but none of its C++ operators. Its import fails only where it describes two
  of them, so it is enough to declare the signatures of these two.
- Nothing here needs audio or video: empty modules replace torchaudio and torchcodec. (To hide them would not be
  enough: transformers may have found them before torch was imported, and then imports them.)

torch calls `adapt` at the end of `import torch` in every process (entry point group `torch.backends`), also in the
processes that vLLM spawns, and before anything else is imported. CPU builds are left as they are. In the working
folder of a Ray job nothing is installed; there `register` makes torch find the entry point.
"""

import importlib.machinery
import importlib.metadata
import os
import sys
import types
from pathlib import Path

_FOLDER = Path(__file__).parent
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library = None  # the declarations exist as long as this object


def adapt() -> None:
    """Make CUDA builds of torchvision, torchaudio and torchcodec importable beside a CPU torch; else do nothing."""
    global _library
    import torch

    if _library is not None or torch.version.cuda is not None or torch.version.hip is not None:
        return
    if _is_cuda_build("torchvision"):
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            _library.define(name + _SCHEMA)
    for name in ("torchaudio", "torchcodec"):
        if name not in sys.modules and _is_cuda_build(name):
            sys.modules[name] = _empty(name)
    if isinstance(codec := sys.modules.get("torchcodec"), _Empty):
        codec.decoders = sys.modules["torchcodec.decoders"] = _empty("torchcodec.decoders")
        for name in ("AudioDecoder", "VideoDecoder"):  # datasets tests whether a value is one of these
            setattr(codec.decoders, name, type(name, (), {}))


def register() -> None:
    """Make torch call `adapt` in this process and in those that it starts, where the project is not installed.

    Changes `sys.path` and the environment variable PYTHONPATH. Does nothing where the project is installed.
    """
    installed = importlib.metadata.entry_points(group="torch.backends")
    if any(entry.value == f"{__name__}:{adapt.__name__}" for entry in installed):
        return
    folders = [str(_FOLDER / "uninstalled"), str(_FOLDER.parents[1])]
    sys.path += folders
    os.environ["PYTHONPATH"] = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *folders])
    if "torch" in sys.modules:
        adapt()


class _Empty(types.ModuleType):
    """An empty module in the place of a package that can't be loaded."""

    decoders: types.ModuleType


def _empty(name: str) -> _Empty:
    """Return an empty package of this name."""
    module = _Empty(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []  # makes it a package, without submodules
    return module


def _is_cuda_build(name: str) -> bool:
    """Return whether the package is installed as something else than a CPU build."""
    try:
        return not importlib.metadata.version(name).endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
