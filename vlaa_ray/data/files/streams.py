"""Opens the text of data files, plain or compressed (.gz, .zst), in the encoding that its first bytes show.

    with open_text(Path("train.jsonl.gz")) as stream:
        for line in stream: ...

UTF-8 with and without a byte-order mark and UTF-16 are read. A Git LFS pointer is refused in words.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from vlaa_ray.errors import DataError

UNREADABLE = (OSError, EOFError, UnicodeDecodeError)
"""What a damaged file raises while it is read; `explained` makes a DataError of it."""
_LFS = b"version https://git-lfs.github.com/spec/"
_ENCODINGS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def kind_of(file: Path) -> str:
    """Return the ending of a file's name that says how its records are written, without a compression: `.jsonl`."""
    suffix = file.suffix.lower()
    return Path(file.stem).suffix.lower() if suffix in (".gz", ".zst") else suffix


def open_bytes(file: Path) -> IO[bytes]:
    """Return a stream of the file's bytes, decompressed. Raises OSError if the file can't be opened."""
    suffix = file.suffix.lower()
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(file, "rb"))
    if suffix == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.OSFile(str(file)), "zstd"))
    return file.open("rb")


def open_text(file: Path, errors: str = "strict") -> IO[str]:
    r"""Return a stream of the file's text; its lines end at "\n" alone, as JSON Lines wants it.

    Raises OSError if the file can't be opened.
    """
    encoding = encoding_of(file)
    kept = errors if encoding.startswith("utf-8") else "strict"  # other encodings keep no stray bytes
    return io.TextIOWrapper(open_bytes(file), encoding=encoding, errors=kept, newline="\n")


def encoding_of(file: Path) -> str:
    """Return the encoding that the first bytes of a file show: utf-8, utf-8-sig, utf-16, utf-16-le or -be, utf-32."""
    with open_bytes(file) as stream:
        start = stream.read(4)
    for mark, encoding in _ENCODINGS:
        if start.startswith(mark):
            return encoding
    if len(start) >= 2 and not (start[0] and start[1]):  # text that begins with ASCII, as JSON does
        return "utf-16-le" if start[0] else "utf-16-be"
    return "utf-8"


def is_pointer(file: Path) -> bool:
    """Return whether the file is a Git LFS pointer, which stands in for data that was not downloaded."""
    with file.open("rb") as stream:
        return stream.read(len(_LFS)) == _LFS


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Raise DataError in place of the errors of reading, for the `with` block, and for a Git LFS pointer."""
    import zlib

    try:
        if is_pointer(file):
            fix = "run `git lfs pull` in the folder, or download the file from its page"
            raise DataError("the file is a Git LFS pointer, not the data itself", file=str(file), fix=fix)
        yield
    except (*UNREADABLE, zlib.error) as error:
        cause = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"can't read the data: {cause}", file=str(file)) from error
