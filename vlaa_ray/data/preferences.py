"""Opens the answers from which reward models learn, with numbers that say which answer is better.

For example:

    open_preferences("builtin:train", data, None)[0]
    -> Preference(prompt=…, answers=("a red circle at the top left", "a circle", …), worths=(3.0, 1.0, …))
"""

from __future__ import annotations

from collections.abc import Sequence

from vlaa_ray.config import DataSection, Source
from vlaa_ray.config.base_folder import BUILTIN
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.data.builtin_preferences import BuiltinPreferences
from vlaa_ray.data.dataset import first, leave_out
from vlaa_ray.data.files.sources import record_files
from vlaa_ray.data.readers import open_pairs
from vlaa_ray.errors import DataError
from vlaa_ray.records import Defect, Preference


def open_preferences(
    source: Source, data: DataSection, limit: int | None, quarantine: list[Defect] | None = None
) -> Sequence[Preference]:
    """Return the first `limit` preferences of a source of the config, or all if `limit` is None.

    The source is `builtin:SPLIT`, or files whose records have `chosen` and `rejected`. Bad records are left out, or
    raise DataError, as in `open_dataset`. Raises DataError, too, if no pair is left.
    """
    assert isinstance(source, str)  # the config of a reward model allows no list
    if source.startswith(BUILTIN):
        return first(BuiltinPreferences(BuiltinData(source.removeprefix(BUILTIN), ["open_ended"])), limit)
    pairs: list[Preference] = []
    for file in record_files(source):
        opened = open_pairs(file, data.image_root, data.fetch)
        leave_out(opened, data.max_bad_share, quarantine)
        pairs += opened.items
    if not pairs:
        raise DataError("no pair is left", file=source, fix="check that its records have `chosen` and `rejected`")
    return first(pairs, limit)
