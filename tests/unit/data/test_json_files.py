"""JSON read an item at a time gives what `json.loads` gives, wherever the text is cut."""

import json
import math
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.data.files import json_rows as json_rows_module
from vlaa_ray.data.files.json_rows import json_rows
from vlaa_ray.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ARRAYS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), max_size=5)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "data.json"


def rows(file, text, chunk=None):
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows_module, "_CHUNK_CHARS", chunk or json_rows_module._CHUNK_CHARS)
        return list(json_rows(file))


@settings(deadline=None)
@given(ARRAYS, st.integers(1, 30), st.sampled_from([None, 0, 3]), st.booleans())
def test_an_array_is_what_json_makes_of_it(file, values, chunk, indent, ascii_only):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character is no UTF-8
        text = json.dumps(values, indent=indent)
    assert repr(rows(file, text, chunk)) == repr(json.loads(text))  # repr: NaN, and 1 is not 1.0 or True


@settings(deadline=None, max_examples=300)
@given(ARRAYS.filter(bool), st.integers(1, 30), st.data())
def test_what_json_refuses_is_refused_and_nothing_else(file, values, chunk, data):
    text = list(json.dumps(values))
    place = data.draw(st.integers(1, len(text) - 1))
    text[place : place + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from(["", ",", "]", "x", '"', "1", "\\"]))
    text = "".join(text)
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    if expected is None:
        with pytest.raises(DataError, match=r"the JSON array is broken.*row="):
            rows(file, text, chunk)
    else:
        got = rows(file, text, chunk)
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert repr(one) == repr(other) or (isinstance(one, DataError) and not isinstance(other, dict))


def test_numbers_keep_their_kind_and_the_last_of_equal_keys_counts(file):
    text = '[{"a": NaN, "b": -Infinity, "c": 3, "d": 3.0, "e": 12345678901234567890, "f": 1, "f": "3"}]'
    for form in (text, text[1:-1] + "\n"):
        (row,) = rows(file, form, 7)
        assert math.isnan(row["a"]) and row["b"] == -math.inf
        assert [type(row[key]) for key in "cdef"] == [int, float, int, str]
        assert row["e"] == 12345678901234567890 and row["f"] == "3"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "a line is not JSON"),
        ("[1", "a line is not JSON"),
        ('{"a": ' + "[" * 100_000, "recursion"),
        ('{"a": ' + "9" * 5_000 + "}", "digits"),
        ("3", "must be a JSON object"),
        ("\ufeff{}", "BOM"),
    ],
    ids=lambda text: text[:9],
)
def test_a_bad_line_is_one_bad_row(file, line, says):
    first, bad, last = rows(file, '{"a": 1}\n\n' + line + '\n{"a": 2}')
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert isinstance(bad, DataError) and bad.facts["row"] == 2 and says in bad.message


def test_a_line_that_is_no_text_is_one_bad_row(file):
    file.write_bytes(b'{"a": 1}\n{"a": "\xe9"}\n{"a": 2}\n')
    first, bad, last = json_rows(file)
    assert (first, last) == ({"a": 1}, {"a": 2}) and "utf-8" in bad.message


def test_an_array_breaks_where_it_is_broken(file):
    file.write_text('[{"a": 1}, {"a": 2}, {"a" 3}, {"a": 4}]')
    read = json_rows(file)
    assert [next(read), next(read)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(DataError, match=r"Expecting ':' delimiter, at '3}.*row=3"):
        next(read)
    file.write_text('[{"a": ' + "[" * 100_000 + "]")
    with pytest.raises(DataError, match=r"recursion.*row=1"):
        list(json_rows(file))


@pytest.mark.parametrize("form", ["array", "lines"])
def test_memory_doesnt_grow_with_the_file(tmp_path, form):
    def most_bytes(count):
        texts = (json.dumps({"id": number, "text": "x" * 10_000}) for number in range(count))
        joined = "[" + ",\n".join(texts) + "]" if form == "array" else "\n".join(texts)
        (tmp_path / "data.json").write_text(joined)
        del joined
        tracemalloc.start()
        try:
            assert sum(1 for _ in json_rows(tmp_path / "data.json")) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_bytes(10)
    assert most_bytes(4_000) < 1.2 * most_bytes(400) + 100_000  # of 40 MB and of 4 MB
