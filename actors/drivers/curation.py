"""The driver of a curation on Ray Data: blocks of samples go through the steps, many at the same time, in order.

The steps are in `vlaa_ray.curation`. One process asks the teachers and records their replies
(`vlaa_ray.curation.teacher_process`). Ray sends only block offsets and finished samples; each picture is read by the
process that sends it to a teacher.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from actors.process.causes import first_line, typed_cause
from actors.process.reaper import TOKEN
from vlaa_ray.config import CurationConfig
from vlaa_ray.curation.metadata import BLOCK, Collected, collect, read_block, with_sound_picture
from vlaa_ray.curation.outputs import Outputs
from vlaa_ray.curation.progress import CurationProgress
from vlaa_ray.curation.sample import Sample
from vlaa_ray.curation.steps import Steps
from vlaa_ray.curation.teacher_process import TeacherProcess, TeacherProxy
from vlaa_ray.data.reading_progress import report_progress
from vlaa_ray.errors import DataError, TeacherError
from vlaa_ray.run.repeating import repeating
from vlaa_ray.run.session import RunShell, open_shell
from vlaa_ray.storage.layout import DROPPED

_MOST_BLOCKS = 32
_ROOM = 2  # twice as many samples as calls in flight, because some samples wait before they try again


@contextlib.contextmanager
def curated(config: CurationConfig) -> Iterator[Outputs]:
    """Make the sets in the run's folder and yield the outputs; replies of an earlier attempt are used again.

    Raises:
        VlaaRayError: the curation failed.
        DataError: no sample is left; it is raised after the block.

    """
    steps = Steps(config)  # first, because it checks the templates
    with open_shell(config, CurationProgress()) as run:
        outputs = _run(config, steps, run)
        yield outputs
        if not any(counts.sft or counts.rl for counts in outputs.counts.sources.values()):
            fix = "see that file for the reason of each sample"
            raise DataError("no sample is left", file=str(run.path / DROPPED), fix=fix)


def _run(config: CurationConfig, steps: Steps, run: RunShell[CurationProgress]) -> Outputs:
    import ray

    from actors.drivers.perplexity import write_subsets
    from actors.fleet.placement import start_ray
    from vlaa_ray.planning.placement import plan

    run.note("Reading the sources")
    try:
        with report_progress(run.note):
            collected = collect(config, run.path)
        for line in collected.refusals.lines():
            run.note(line)
        outputs = Outputs(config, run.path)
        start_ray(config, plan(config))
        _log_to(run.log_dir / "ray_data.log")
        _stream(config, steps, collected, outputs, run)
        outputs.write()
        if config.perplexity:
            run.note("Measuring perplexities")
            outputs.subsets = write_subsets(config.perplexity, run.path)
    except ray.exceptions.RayError as error:
        raise typed_cause(error) or _failed(error) from error
    except OSError as error:
        fix = "free space there"
        raise DataError(f"can't write the run's files: {error}", folder=str(run.path), fix=fix) from error
    finally:
        ray.shutdown()
    return outputs


def _stream(
    config: CurationConfig, steps: Steps, collected: Collected, outputs: Outputs, run: RunShell[CurationProgress]
) -> None:
    """Start the teachers, run steps 2 to 5, and pass the samples to `outputs`."""
    from actors.drivers.teachers import served
    from actors.process.ray_metrics import health_exported, service_health

    progress = run.display
    with contextlib.ExitStack() as stack:
        urls = stack.enter_context(served(config, run.path, run.note))
        teachers = TeacherProcess(config, run.path, urls, outlives=TOKEN)
        stack.callback(teachers.close)
        progress.num_samples = collected.num_samples
        lock = threading.Lock()
        failing_s: dict[str, float] = {}
        stack.enter_context(health_exported(config.run.name, [lambda: service_health(failing_s)]))

        def show() -> None:
            with contextlib.suppress(TeacherError):  # it is gone: those who ask it say so
                calls = teachers.state()
                failing_s.update(calls["failing_s"])
                with lock:
                    progress.show(outputs.counts, calls)

        with repeating(show):
            for sample in _curated(config, steps, collected, teachers.address):
                with lock:
                    outputs.take(sample)
        outputs.calls = teachers.state()
        progress.show(outputs.counts, outputs.calls)


def _curated(config: CurationConfig, steps: Steps, collected: Collected, address: str) -> Iterator[Sample]:
    """Yield the samples after the last step, in their order."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    num_blocks = min(_MOST_BLOCKS, 1 + _ROOM * config.max_calls_in_flight // BLOCK)
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated", module=__name__)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.raise_original_map_exception = True
    context.execution_no_progress_timeout_s = -1  # teachers may be slow; each call has its own deadline
    offsets = [{"offset": offset} for offset in collected.offsets]
    done = ray.data.from_items(offsets, override_num_blocks=len(offsets)).map_batches(
        CuratedBlocks,
        fn_constructor_args=(steps, str(collected.file), address),
        batch_size=1,
        compute=ActorPoolStrategy(
            size=1, max_tasks_in_flight_per_actor=num_blocks, max_concurrent_calls_per_actor=num_blocks
        ),
        num_cpus=0,  # it waits for replies
        label_selector={"ray.io/node-id": ray.get_runtime_context().get_node_id()},  # where the caller's socket is
        max_restarts=0,  # a run that is started again loses nothing; Ray warns that a restart may fail
    )
    for batch in done.iter_batches(batch_size=None, prefetch_batches=1, batch_format="numpy"):
        for line in batch["sample"]:
            yield Sample.from_json(line)


def _log_to(file: Path) -> None:
    """Send Ray Data's log to a file: on the terminal its full traces would hide this project's messages."""
    import ray.data  # it makes its handlers when it is imported

    logger = logging.getLogger(ray.data.__name__)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.addHandler(logging.FileHandler(file))
    logger.propagate = False


class CuratedBlocks:
    """A worker of the pool: it takes blocks of samples through all steps, the samples of a block at the same time."""

    def __init__(self, steps: Steps, file: str, address: str) -> None:
        self._file = Path(file)
        self._steps = steps
        self._client = TeacherProxy(address)

    async def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        samples = await asyncio.to_thread(self._read, batch["offset"])
        done = await asyncio.gather(*(self._steps.run(sample, self._client.ask) for sample in samples))
        return {"sample": [sample.to_json() for sample in done]}

    def _read(self, offsets: Iterable[int]) -> list[Sample]:
        images = self._file.parent / "images"
        samples = (sample for offset in offsets for sample in read_block(self._file, int(offset)))
        return [with_sound_picture(sample, images) for sample in samples]


def _failed(error: BaseException) -> TeacherError:
    """Return the error for a worker that failed without a VlaaRayError."""
    fix = "run the same command again to continue"
    return TeacherError(f"the pipeline failed: {first_line(error)}", fix=fix)
