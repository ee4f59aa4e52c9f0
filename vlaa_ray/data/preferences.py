"""Answers and which of them are better, that reward models learn from.

    open_preferences("builtin:train", data, None)[0]
    -> Preference(prompt=…, answers=("a red circle at the top left", "a circle", …), worths=(3.0, 1.0, …))

The built-in answers describe the built-in pictures: rightly, coarsely, wrongly in one thing or more, and as a policy
might that tries to please without looking.
"""

from __future__ import annotations

from collections.abc import Sequence

from vlaa_ray.config import DataSection, Source
from vlaa_ray.data.builtin import BUILTIN, BuiltinData
from vlaa_ray.data.builtin_preferences import BuiltinPreferences
from vlaa_ray.data.dataset import first, leave_out
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.readers import open_pairs
from vlaa_ray.errors import DataError
from vlaa_ray.records import Defect, Preference


def open_preferences(
    source: Source, data: DataSection, limit: int | None, quarantine: list[Defect] | None = None
) -> Sequence[Preference]:
    """The first `limit` items of a source of the config: `builtin:SPLIT`, or files of `chosen` and `rejected`.

    A record that can't be read is a DataError, or with `quarantine` left out as by `open_dataset`.
    """
    assert isinstance(source, str)  # the config sees to it
    if source.startswith(BUILTIN):
        return first(BuiltinPreferences(BuiltinData(source.removeprefix(BUILTIN), ["open_ended"])), limit)
    pairs: list[Preference] = []
    for file in record_files(source):
        opened = open_pairs(file, data.image_root, data.fetch)
        leave_out(opened, data.max_bad_share, quarantine)
        pairs += opened.items
    if not pairs:
        raise DataError("no pair is left", file=source, fix="look at the file")
    return first(pairs, limit)
