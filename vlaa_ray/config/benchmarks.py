"""The section that names a benchmark and its files, for evaluations during and after training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vlaa_ray.config.base_folder import DataPath, InputPath
from vlaa_ray.config.sections import Section
from vlaa_ray.records import VERIFIER_TYPE_PATTERN

Style = Literal["kit", "paper"]


class BenchmarkSection(Section):
    """A benchmark, or records of your own, and where its questions are."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the benchmark: MathVista, MathVision, MathVerse, DynaMath, WeMath or LogicVista; with `records: true` any
    name, for tables and files."""
    data: DataPath
    """The TSV file of VLMEvalKit, the official file, or a folder with either; with `records: true` any source that
    `data.train` takes."""
    records: bool = False
    """Score each question by the verifier that its record names, instead of a benchmark's rules."""
    num_rows: int | None = Field(None, ge=1)
    """Ask the first N rows; null for all."""
    image_root: InputPath | None = None
    """Folder that the image paths of records are relative to; nothing outside it is read."""
    verifier_type: str | None = Field(None, pattern=f"^{VERIFIER_TYPE_PATTERN}$")
    """Verifier of records that don't name one; null for what their format's documentation says."""
