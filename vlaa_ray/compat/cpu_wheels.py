"""Makes transformers and vLLM importable where a CPU torch sits beside CUDA builds of its companions.

PyPI has torchvision, torchaudio and torchcodec only as builds that are linked against CUDA; beside a CPU torch
their C++ libraries don't load. Image preprocessing needs torchvision but none of those operators: its
import only fails while it describes two of them, so declaring their signatures is enough. Nothing here
needs audio or video: empty modules stand in for those two. (Hiding them is not enough: transformers may
have looked for them before torch was imported, and then insists.)

torch calls `adapt` at the end of `import torch`, in every process (entry point group `torch.backends`), and so
also in those that vLLM spawns, before anything else is imported. Wheels made for the CPU are left alone.
In the working folder of a Ray job nothing is installed: `register` makes torch find the entry point there too.
"""

import importlib.machinery
import importlib.metadata
import os
import sys
import types
from pathlib import Path

_FOLDER = Path(__file__).parent
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_library = None  # the declarations live as long as this object


def adapt() -> None:
    """Adapt the CUDA builds of torch's companions to a CPU torch; does nothing elsewhere."""
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
        for name in ("AudioDecoder", "VideoDecoder"):  # datasets asks of every value whether it is one
            setattr(codec.decoders, name, type(name, (), {}))


def register() -> None:
    """Have torch call `adapt` in this process and those it starts, where the project runs without being installed."""
    installed = importlib.metadata.entry_points(group="torch.backends")
    if any(entry.value == f"{__name__}:{adapt.__name__}" for entry in installed):
        return
    folders = [str(_FOLDER / "uninstalled"), str(_FOLDER.parents[1])]
    sys.path += folders
    os.environ["PYTHONPATH"] = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *folders])
    if "torch" in sys.modules:
        adapt()


class _Empty(types.ModuleType):
    """In the place of a package that can't be loaded."""

    decoders: types.ModuleType


def _empty(name: str) -> _Empty:
    module = _Empty(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []  # a package without submodules
    return module


def _is_cuda_build(name: str) -> bool:
    try:
        return not importlib.metadata.version(name).endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
