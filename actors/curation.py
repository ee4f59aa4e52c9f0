"""The data pipeline on Ray Data: blocks of samples stream through the steps, many at once, in their order.

The steps themselves are in `vlaa_ray.curation`; replies of teachers come from one process that records them
(`vlaa_ray.curation.process`). Only block offsets and finished samples travel; pictures are read where they are sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actors.reaper import TOKEN
from vlaa_ray.config import CurationConfig
from vlaa_ray.curation.metadata import BLOCK, Collected, collect, read_block
from vlaa_ray.curation.outputs import Outputs
from vlaa_ray.curation.process import CallerClient, CallerProcess
from vlaa_ray.curation.progress import CurationProgress
from vlaa_ray.curation.sample import Sample
from vlaa_ray.curation.steps import Steps
from vlaa_ray.errors import TeacherError, VlaaRayError
from vlaa_ray.locked_folder import LockedFolder, run_path

_SHOW_EVERY_S = 1.0
_MOST_BLOCKS = 32
_ROOM = 2  # blocks for every block's worth of calls that may be on their way: some samples wait to try again


def run_curation(config: CurationConfig) -> Outputs:
    """Make the sets in the run's folder; what was made before is used again. Ends with one typed cause if it fails."""
    from actors.signals import signals_as_errors

    folder = LockedFolder(run_path(config))
    try:
        Steps(config)  # templates are looked at before anything starts
        folder.refuse_other_kind(config)
        folder.begin(config)
        with signals_as_errors("the same command goes on where it was"):
            outputs = _run(config, folder.path)
    except BaseException as error:
        folder.fail(error)
        raise
    folder.finish()
    return outputs


def _run(config: CurationConfig, folder: Path) -> Outputs:
    import ray

    from actors.perplexity import write_subsets
    from actors.placement import start_ray
    from vlaa_ray.placement import Placement

    collected = collect(config, folder)
    outputs = Outputs(config, folder)
    try:
        start_ray(config, Placement({"curation": [{"CPU": 1.0}]}))
        _stream(config, folder, collected, outputs)
        outputs.write()
        if config.perplexity:
            outputs.subsets = write_subsets(config, config.perplexity, folder)
    except ray.exceptions.RayError as error:
        raise _cause(error) from error
    finally:
        ray.shutdown()
    return outputs


def _stream(config: CurationConfig, folder: Path, collected: Collected, outputs: Outputs) -> None:
    """Steps 2 to 5, with the teachers at hand."""
    from actors.teachers import served

    with contextlib.ExitStack() as stack:
        urls = stack.enter_context(served(config, folder))
        caller = CallerProcess(config, folder, urls, outlives=TOKEN)
        stack.callback(caller.close)
        progress = stack.enter_context(CurationProgress(collected.num_samples))
        shown_at = 0.0
        for sample in _curated(config, collected, caller.address):
            outputs.take(sample)
            if time.monotonic() - shown_at > _SHOW_EVERY_S:
                progress.show(outputs.counts, caller.state())
                shown_at = time.monotonic()
        outputs.calls = caller.state()
        progress.show(outputs.counts, outputs.calls)


def _curated(config: CurationConfig, collected: Collected, address: str) -> Iterator[Sample]:
    """The samples after the last step, in their order, as they are done."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    in_flight = sum(teacher.concurrency for teacher in config.teachers.values())
    num_blocks = min(_MOST_BLOCKS, 1 + _ROOM * in_flight // BLOCK)
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it warns that it shows no bars
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated", module=__name__)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    offsets = [{"offset": offset} for offset in collected.offsets]
    done = ray.data.from_items(offsets, override_num_blocks=len(offsets)).map_batches(
        CuratedBlocks,
        fn_constructor_args=(config, str(collected.file), address),
        batch_size=1,
        compute=ActorPoolStrategy(
            size=1, max_tasks_in_flight_per_actor=num_blocks, max_concurrent_calls_per_actor=num_blocks
        ),
        num_cpus=1,
        label_selector={"ray.io/node-id": ray.get_runtime_context().get_node_id()},  # where the caller's socket is
        max_restarts=0,  # a run that is begun again loses nothing; Ray says that it may not manage a restart
    )
    for batch in done.iter_batches(batch_size=None, prefetch_batches=1, batch_format="numpy"):
        for line in batch["sample"]:
            yield Sample.from_json(line)


class CuratedBlocks:
    """A worker of the pool: blocks of samples through all steps, the samples of a block side by side."""

    def __init__(self, config: CurationConfig, file: str, address: str) -> None:
        self._file = Path(file)
        self._steps = Steps(config)
        self._client = CallerClient(address)

    async def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        samples = [sample for offset in batch["offset"] for sample in read_block(self._file, int(offset))]
        done = await asyncio.gather(*(self._steps.run(sample, self._client.ask) for sample in samples))
        return {"sample": [sample.to_json() for sample in done]}


def _cause(error: BaseException) -> VlaaRayError:
    """The typed error that a worker raised, under all that Ray has put round it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, VlaaRayError):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    first = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return TeacherError(f"the pipeline failed: {first}")
