"""The frame of the coordinates that a model was trained to answer with, from its run or its export."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from vlaa_ray.config import parse_yaml
from vlaa_ray.records import GROUNDING_TYPES
from vlaa_ray.rewards.verifiers.frames import Frame, known_frame
from vlaa_ray.run.model_source import ModelSource
from vlaa_ray.run.reader import RecordedRun
from vlaa_ray.storage.layout import CONFIG, EXPORTED
from vlaa_ray.storage.mapping_file import as_mapping, read_mapping


def trained_frame(source: ModelSource) -> Frame | None:
    """Return the frame of the model's boxes and points; None if nothing says it.

    It is that of the run's verifiers, else that of most grounding prompts among the run's last rollouts. For a folder
    it is the one that `vlaa-ray export` recorded.
    """
    if source.kind == "folder":
        return known_frame(read_mapping(Path(source.path) / EXPORTED, json.loads)[0].get("frame"))
    if source.checkpoint is None:
        return None
    config = read_mapping(source.checkpoint / CONFIG, parse_yaml)[0]
    verifiers = as_mapping(as_mapping(config.get("rewards")).get("verifiers"))
    params = [as_mapping(as_mapping(verifiers.get(name)).get("params")) for name in GROUNDING_TYPES]
    if source.run_dir is not None and not any("frame" in of_type for of_type in params):
        rows = RecordedRun.read(source.run_dir).rollouts(late=True)
        params = [as_mapping(row.get("verifier_params")) for row in rows]
    named = [frame for of_type in params if (frame := known_frame(of_type.get("frame")))]
    return Counter(named).most_common(1)[0][0] if named else None
