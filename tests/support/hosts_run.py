"""The quickstart's run on hosts in a box, as a user starts it; and what of it can be seen from outside."""

import json
import signal
import sys

import psutil
from hosts import until
from quickstart import PROGRAM, command


class HostsRun:
    """A run whose driver is on `host`."""

    def __init__(self, host, folder, *options, program=PROGRAM):
        self.path, self._output = folder / "quickstart", folder / "output.txt"
        words = command(folder, "ray.address=auto", *options, program=program)
        self._entered, self._driver = host.popen(words, self._output)

    def rows(self):
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def output(self):
        return self._output.read_text()

    def until_row(self, what, reached, timeout_s):
        """Wait until the last row of the metrics is as asked for; return it and the seconds that it took."""

        def last():
            rows = self.rows()
            return rows[-1] if rows and reached(rows[-1]) else None

        return self.until(what, last, timeout_s)

    def until(self, what, reached, timeout_s):
        def reached_in_time():
            if value := reached():
                return value
            assert self._entered.poll() is None, f"the run ended before {what}:\n{self.output()[-4000:]}"
            return None

        try:
            value, seconds = until(reached_in_time, what, timeout_s)
        except TimeoutError:
            print(self.output()[-4000:])
            raise
        print(f"{what}: after {seconds:.1f} s", flush=True)
        return value, seconds

    def freeze_until_awaited(self, process, seconds=5.0):
        """Freeze the actor of an engine, and return its processes when the run waits for its answers."""
        family = [process, *process.children(recursive=True)]
        for member in family:
            member.send_signal(signal.SIGSTOP)
        last = -1

        def stands_still():
            nonlocal last
            before, last = last, len(self.rows())
            return before == last

        until(stands_still, "the run waits", 120, every_s=seconds)
        return family

    def end(self, timeout_s):
        """Let the run end by itself; return its exit code."""
        return self._entered.wait(timeout_s)

    def stop(self, timeout_s=60):
        """Ask the run to save and to end; return its exit code."""
        self._driver.send_signal(signal.SIGTERM)
        return self._entered.wait(timeout_s)

    def kill(self):
        """End the driver at once."""
        self._driver.kill()
        self._entered.wait(30)


def kill(processes):
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def write(path, seen):
    path.write_text(json.dumps(seen))
    print(json.dumps(seen))
    sys.stdout.flush()
