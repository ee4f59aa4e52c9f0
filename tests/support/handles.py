"""Fake actor handles: `handle.method.remote(...)` gives an awaitable, as Ray's do, and fails when it is told to."""

import asyncio

from ray.exceptions import ActorDiedError


class Method:
    """One method of a handle. `answers` are values, exceptions or functions of the arguments; the last one stays."""

    def __init__(self, calls, name, answers):
        self._calls, self._name, self._answers = calls, name, list(answers)

    async def remote(self, *args):
        self._calls.append((self._name, *args))
        await asyncio.sleep(0)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if asyncio.iscoroutinefunction(answer):
            return await answer(*args)
        return answer(*args) if callable(answer) else answer


class Handle:
    """An actor whose methods have lists of answers; every other method answers None. `calls` lists all calls."""

    def __init__(self, name="actor", **methods):
        self.name, self.calls = name, []
        self._ended = asyncio.Event()
        self._methods = {name: Method(self.calls, name, answers) for name, answers in methods.items()}

    @property
    def stay(self):
        """The call that fails when the actor ends; it is not listed."""
        return Method([], "stay", [self.end])

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self._methods.setdefault(name, Method(self.calls, name, [None]))

    async def end(self):
        await self._ended.wait()
        raise ActorDiedError()

    def die(self):
        """End, also without a call."""
        self._ended.set()

    def __repr__(self):
        return self.name

    def called(self):
        """The names of the methods that were called, in order."""
        return [call[0] for call in self.calls]
