"""Copies of a run's metrics for TensorBoard and W&B, written by background threads: a tracker can never stop a run."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vlaa_ray.errors import VlaaRayError

if TYPE_CHECKING:
    from PIL.Image import Image

LOG = logging.getLogger(__name__)


class SamplePicture(NamedTuple):
    """The picture of a sampled rollout, with its boxes drawn."""

    verifier_type: str
    picture: Image
    caption: str

    @property
    def name(self) -> str:
        """The name under which a tracker shows the pictures of one verifier type."""
        return f"samples/{self.verifier_type}"


MakePictures = Callable[[], Sequence[SamplePicture]]


class Sink(ABC):
    """A place that metrics are copied to."""

    @abstractmethod
    def write(self, row: dict[str, Any]) -> None:
        """Write one step: `row` holds `step` and the metrics by name; a value that is not finite is None or nan."""

    def show(self, step: int, pictures: Sequence[SamplePicture]) -> None:
        """Write pictures of some rollouts of the step, in a place that can show them."""
        return

    def beat(self) -> None:
        """Do what is to be done between steps; it is called several times a second, by the thread that writes."""
        return

    def close(self) -> None:
        """Finish the copy."""
        return


class BackgroundSink:
    """A sink that is made and fed by its own daemon thread, through a bounded queue.

    After the sink's first failure nothing more is written to it; pictures that fail cost only the pictures after them.
    `finish` is set to end the thread.
    """

    def __init__(self, name: str, make: Callable[[], Sink], capacity: int = 1000) -> None:
        self._name, self._make = name, make
        self._queue: queue.Queue[Callable[[Sink], None]] = queue.Queue(capacity)
        self.finish, self._told, self._shows = threading.Event(), False, True
        self._thread = threading.Thread(target=self._serve, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def put(self, row: dict[str, Any]) -> None:
        """Hand over the row of a step without waiting; a full queue drops it, with one warning."""
        self._put(lambda sink: sink.write(row))

    def put_pictures(self, step: int, make: MakePictures) -> None:
        """Hand over pictures of the step, which the sink's thread makes; a full queue drops them as it does a row."""
        self._put(lambda sink: self._show(sink, step, make))

    def _put(self, work: Callable[[Sink], None]) -> None:
        if not self._thread.is_alive():
            return
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            if not self._told:
                LOG.warning("%s is too slow and misses steps; metrics.jsonl has every step", self._name)
            self._told = True

    def join(self, deadline: float) -> None:
        """Wait for the thread until `deadline` (by `time.monotonic`); after that it is left alone, with a warning."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            LOG.warning("%s did not finish in time and may lack steps; metrics.jsonl has every step", self._name)
            if self._name == "W&B":
                undo = threading.Thread(target=_kill_wandb_service, daemon=True)
                undo.start()
                undo.join(5.0)

    def end(self, within_s: float) -> None:
        """Let the thread write what it has, and wait for its end as `join` does."""
        self.finish.set()
        self.join(time.monotonic() + within_s)

    def _show(self, sink: Sink, step: int, make: MakePictures) -> None:
        if not self._shows:
            return
        try:
            sink.show(step, make())
        except Exception as error:  # noqa: BLE001 - as in _serve
            self._shows = False
            LOG.warning("%s gets no more pictures in this run: %s: %s", self._name, type(error).__name__, error)

    def _serve(self) -> None:
        try:
            sink = self._make()
            while not (self.finish.is_set() and self._queue.empty()):
                try:
                    work = self._queue.get(timeout=0.2)
                except queue.Empty:
                    sink.beat()
                else:
                    work(sink)
            sink.close()
        except Exception as error:  # noqa: BLE001 - trackers raise errors of any type, and no error may stop a run
            LOG.warning("%s is switched off for this run: %s: %s", self._name, type(error).__name__, error)


class TensorBoardSink(Sink):
    """A sink for TensorBoard's event files, written in the calling thread (SummaryWriter would start another one).

    `next_step` is the first step of a resumed run, None for a new run.
    """

    def __init__(self, run_dir: Path, next_step: int | None) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder = run_dir / "tensorboard"
        folder.mkdir(exist_ok=True)
        self._event = Event
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        if next_step is not None:  # hides the steps that a resumed run makes again
            start = SessionLog(status=SessionLog.START)
            self._writer.write_event(Event(wall_time=time.time(), step=next_step, session_log=start))

    def write(self, row: dict[str, Any]) -> None:
        """Write the finite metrics of one step as scalars."""
        from tensorboardX.summary import scalar

        for name, value in row.items():
            if name != "step" and value is not None:
                event = self._event(wall_time=time.time(), step=row["step"], summary=scalar(name, value))
                self._writer.write_event(event)
        self._writer.flush()

    def show(self, step: int, pictures: Sequence[SamplePicture]) -> None:
        """Write the pictures as JPEG, each with its caption as a text of the same name."""
        from tensorboardX.proto.summary_pb2 import Summary
        from tensorboardX.summary import text

        for sample in pictures:
            file = io.BytesIO()
            sample.picture.save(file, "jpeg", quality=90)
            width, height = sample.picture.size
            image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=file.getvalue())
            shown = Summary(value=[Summary.Value(tag=sample.name, image=image)])
            for summary in (shown, text(sample.name, sample.caption)):
                self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class WandbSink(Sink):
    """A sink for a W&B run that prints nothing, never asks for a key and can't interrupt the training.

    Its files are in the run folder. A resumed run continues the same W&B run.

    Raises:
        VlaaRayError: the mode needs an API key, and W&B knows of no key.

    """

    def __init__(self, run_dir: Path, mode: Any, project: str, name: str, config: dict[str, Any]) -> None:
        import wandb

        # By default W&B interrupts the main thread when a run is stopped on its page or an upload fails.
        settings = wandb.Settings(
            silent=True, console="off", stop_fn=lambda: None, init_timeout=60, finish_timeout=10, root_dir=str(run_dir),
            disable_git=True, save_code=False, x_disable_stats=True, x_save_requirements=False,
        )  # fmt: skip
        wandb.setup(settings)
        online = mode not in ("offline", "dryrun")
        if online and not wandb.login(prompt=False, verify=False):
            raise VlaaRayError("no W&B key", fix="run `wandb login`, or set tracking.wandb=offline")
        id_file = run_dir / "wandb" / "run_id"
        id_file.parent.mkdir(exist_ok=True)
        if not id_file.exists():
            id_file.write_text(os.urandom(6).hex())
        self._wandb = wandb
        self._run = wandb.init(
            project=project, name=name, config=config, dir=str(run_dir), mode=mode, id=id_file.read_text(),
            resume="allow" if online else None, settings=settings,
        )  # fmt: skip
        self._run.define_metric("*", step_metric="step")  # steps of a resumed run may come again

    def write(self, row: dict[str, Any]) -> None:
        """Log the finite metrics of one step."""
        self._run.log({name: value for name, value in row.items() if value is not None})

    def show(self, step: int, pictures: Sequence[SamplePicture]) -> None:
        """Log the pictures with their captions."""
        images = {
            sample.name: self._wandb.Image(sample.picture, caption=sample.caption, file_type="jpg")
            for sample in pictures
        }
        self._run.log({"step": step, **images})

    def close(self) -> None:
        """End the W&B run and its service process."""
        self._run.finish()
        self._wandb.teardown()  # removes the exit hook, which waits for the service without a limit


def _kill_wandb_service() -> None:
    """End W&B's service process and remove its exit hook, which would wait for that process without a limit."""
    import psutil
    import wandb

    for child in psutil.Process().children():
        if child.name() == "wandb-core":
            child.kill()
    with contextlib.suppress(OSError):
        wandb.teardown()
