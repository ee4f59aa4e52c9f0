import hashlib
import io
import os
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from vlaa_ray.errors import DataError
from vlaa_ray.images import decode
from vlaa_ray.images.decode import encoded, load, mime_type, reference, reference_of
from vlaa_ray.records import ImageRef

RED, GREEN = (255, 0, 0), (0, 255, 0)


def two_colours(width=30, height=20):
    """Left half red, right half green."""
    image = Image.new("RGB", (width, height), GREEN)
    image.paste(RED, (0, 0, width // 2, height))
    return image


def saved(image, path, **options):
    image.save(path, **options)
    return path


def noise(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8))


def test_a_reference_by_hand(tmp_path):
    path = saved(two_colours(), tmp_path / "a.png")
    ref = reference(path, "shown/a.png")
    assert (ref.width_px, ref.height_px, ref.path) == (30, 20, str(path))
    assert ref.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(ref).getpixel((0, 0)) == RED and load(ref).getpixel((29, 0)) == GREEN
    inline = ImageRef.from_bytes(path.read_bytes(), width_px=30, height_px=20)
    assert encoded(inline) == encoded(ref) and load(inline).tobytes() == load(ref).tobytes()


@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [
        (1, (30, 20), "left"),
        (2, (30, 20), "right"),
        (3, (30, 20), "right"),
        (6, (20, 30), "top"),
        (8, (20, 30), "bottom"),
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_orientation_is_applied_to_size_and_pixels(tmp_path, suffix, orientation, size, red_at):
    exif = Image.Exif()
    exif[274] = orientation
    ref = reference(saved(two_colours(), tmp_path / f"a.{suffix}", exif=exif))
    assert (ref.width_px, ref.height_px) == size
    picture = load(ref)
    assert picture.size == size
    width, height = size
    inside = {
        "left": (2, height // 2),
        "right": (-3 + width, height // 2),
        "top": (width // 2, 2),
        "bottom": (width // 2, height - 3),
    }
    red, green, _ = picture.getpixel(inside[red_at])
    assert red > 200 > 60 > green


def test_exif_after_the_pixels_of_a_png_counts_as_well(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    two_colours().save(buffer, "PNG")
    data, chunk = buffer.getvalue(), io.BytesIO()
    PngImagePlugin.putchunk(chunk, b"eXIf", exif.tobytes()[6:])
    end = data.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(data[:end] + chunk.getvalue() + data[end:])
    ref = reference(tmp_path / "a.png")
    assert (ref.width_px, ref.height_px) == load(ref).size == (20, 30)


def test_every_mode_becomes_rgb(tmp_path):
    palette = two_colours().convert("P", palette=Image.Palette.ADAPTIVE)
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))  # full magenta and yellow: red
    grey = Image.new("L", (4, 4), 128)
    see_through = Image.new("RGBA", (4, 4), (0, 255, 0, 255))
    cases = {
        "palette.png": (palette, RED),
        "palette.gif": (palette, RED),
        "cmyk.jpg": (cmyk, RED),
        "grey.png": (grey, (128, 128, 128)),
        "alpha.png": (see_through, GREEN),
        "bits.png": (Image.new("1", (4, 4), 1), (255, 255, 255)),
    }
    for name, (image, expected) in cases.items():
        picture = load(reference(saved(image, tmp_path / name)))
        assert picture.mode == "RGB"
        assert np.abs(np.array(picture.getpixel((1, 1))) - expected).max() <= 3, name


def test_sixteen_bits_of_grey_are_scaled_not_cut_off(tmp_path):
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    picture = load(reference(saved(Image.fromarray(values), tmp_path / "a.png")))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def by_hand(colour, alpha):
    """A colour seen through on white: c·a/255 + 255·(1 - a/255)."""
    return tuple(round(channel * alpha / 255 + 255 - alpha) for channel in colour)


def test_what_lies_behind_transparency_is_white(tmp_path):
    half_red = Image.new("RGBA", (2, 2), (255, 0, 0, 128))
    hidden_red = Image.new("P", (2, 2), 1)
    hidden_red.putpalette([0, 255, 0, 255, 0, 0])
    keyed = Image.new("RGB", (2, 2), (9, 8, 7))
    cases = {
        "alpha.png": (half_red, {}, by_hand((255, 0, 0), 128)),
        "alpha.webp": (half_red, {"lossless": True}, by_hand((255, 0, 0), 128)),
        "grey.png": (Image.new("LA", (2, 2), (100, 51)), {}, by_hand((100, 100, 100), 51)),
        "palette.gif": (hidden_red, {"transparency": 1}, (255, 255, 255)),
        "palette.png": (hidden_red, {"transparency": 1}, (255, 255, 255)),
        "levels.png": (hidden_red, {"transparency": bytes([255, 64])}, by_hand((255, 0, 0), 64)),
        "key.png": (keyed, {"transparency": (9, 8, 7)}, (255, 255, 255)),
        "other key.png": (keyed, {"transparency": (1, 2, 3)}, (9, 8, 7)),
    }
    assert by_hand((255, 0, 0), 128) == (255, 127, 127) and by_hand((100, 100, 100), 51) == (224, 224, 224)
    for name, (image, options, expected) in cases.items():
        assert load(reference(saved(image, tmp_path / name, **options))).getpixel((1, 1)) == expected, name


def test_cmyk_of_a_jpeg_is_inverted_with_and_without_the_name_of_adobe():
    # by hand: red = 255·(1 - cyan)(1 - key) and so on; stored inverted, as OpenCV and browsers take it too
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16), (20, 200, 100, 30)).save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()
    start = data.index(b"\xff\xee")
    nameless = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
    expected = [(255 - ink) * (255 - 30) / 255 for ink in (20, 200, 100)]
    for bytes_ in (data, nameless):
        pixel = load(reference_of(bytes_)).getpixel((8, 8))
        assert np.abs(np.array(pixel) - expected).max() <= 2
    assert b"Adobe" in data and b"Adobe" not in nameless


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_picture_is_seen(tmp_path, suffix):
    frames = [Image.new("RGB", (6, 4), colour) for colour in (GREEN, RED, (0, 0, 255))]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(frames[1], tmp_path / f"a.{suffix}", save_all=True, append_images=[frames[0], frames[2]], **options)
    assert load(reference(path)).getpixel((3, 2)) == RED


def test_sixteen_bits_of_colour_keep_the_upper_eight():
    row = b"\0" + np.array([0x80FF, 0x0100, 0xFFFF], dtype=">u2").tobytes()  # one pixel behind the filter's number
    data = io.BytesIO()
    data.write(b"\x89PNG\r\n\x1a\n")
    PngImagePlugin.putchunk(data, b"IHDR", (1).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0]))
    PngImagePlugin.putchunk(data, b"IDAT", zlib.compress(row))
    PngImagePlugin.putchunk(data, b"IEND", b"")
    assert load(reference_of(data.getvalue())).getpixel((0, 0)) == (0x80, 0x01, 0xFF)


def test_bitmaps_are_read(tmp_path):
    for mode in ("RGB", "P", "L", "1"):
        ref = reference(saved(two_colours().convert(mode), tmp_path / f"{mode}.bmp"))
        assert (ref.width_px, ref.height_px) == (30, 20)
        assert load(ref).tobytes() == two_colours().convert(mode).convert("RGB").tobytes()


def test_a_jpeg_with_several_pictures_is_a_jpeg(tmp_path):
    path = saved(two_colours(), tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[noise()])
    assert mime_type(path.read_bytes()) == "image/jpeg"
    assert load(reference(path)).getpixel((2, 2))[0] > 200


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (20, 5000)])
def test_odd_sizes_are_read(tmp_path, size):
    ref = reference(saved(Image.new("RGB", size, (1, 2, 3)), tmp_path / "a.png"))
    assert load(ref).size == (ref.width_px, ref.height_px) == size


def test_a_smaller_picture_is_made_where_that_is_quicker(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    ref = reference(saved(two_colours(1600, 800), tmp_path / "a.jpg", exif=exif))
    small = load(ref, near_px=100)
    assert small.size == (100, 200) and small.getpixel((50, 10))[0] > 200 > 60 > small.getpixel((50, 190))[0]
    whole = (tmp_path / "a.jpg").read_bytes()
    with pytest.raises(DataError, match="damaged"):
        load(reference_of(whole[: len(whole) // 2]), near_px=100)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp"])
def test_truncated_at_any_length_is_a_data_error(tmp_path, suffix):
    whole = saved(noise(), tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for length in range(0, len(whole) - 32, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load(reference(path))


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning", "ignore:Tag data:UserWarning", "ignore:Image size:Warning")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp"])
def test_damaged_bytes_give_a_picture_or_a_data_error_and_nothing_else(tmp_path, suffix):
    exif = Image.Exif()
    exif[274] = 6
    options = {} if suffix in ("gif", "bmp") else {"exif": exif}
    whole = saved(noise(), tmp_path / f"whole.{suffix}", **options).read_bytes()
    path, rng = tmp_path / "bad", random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(3):
            data[rng.randrange(len(data))] = rng.randrange(256)
            data[rng.randrange(100)] = rng.randrange(256)
        path.write_bytes(bytes(data))
        try:
            ref = reference(path)
            assert load(ref).size == (ref.width_px, ref.height_px)
            assert load(reference_of(bytes(data))).tobytes() == load(ref).tobytes()
        except DataError:
            pass


def test_what_is_no_image_is_a_data_error(tmp_path):
    (tmp_path / "text.png").write_text("this is no image")
    with pytest.raises(DataError, match="not an image of a known format"):
        reference(tmp_path / "text.png", "images/text.png")
    with pytest.raises(DataError, match=r"can't read the image.*images/none\.png"):
        reference(tmp_path / "none.png", "images/none.png")
    with pytest.raises(DataError, match="can't read the image"):
        reference(tmp_path)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the file is empty"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "it is SVG"),
        (b"%PDF-1.7", "it is PDF"),
    ],
)
def test_what_is_refused_is_called_by_its_name(data, what):
    with pytest.raises(DataError, match=f"not an image of a known format: {what}"):
        reference_of(data)


def test_tiff_is_refused(tmp_path):
    for number, endian in enumerate(("<", ">")):
        header = struct.pack(f"{endian}2sHI", b"II" if endian == "<" else b"MM", 42, 8)
        (tmp_path / f"{number}.png").write_bytes(header + bytes(30))
        with pytest.raises(DataError, match="it is TIFF"):
            reference(tmp_path / f"{number}.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="not a file"):
        reference(tmp_path / "a.png")


BOMBS = {
    "bomb.png": "too many pixels",
    "bomb.jpg": "too many pixels",
    "bomb.webp": "too many pixels",
    "bomb.gif": "too many pixels",
    "bomb.bmp": "too many pixels",
    "large.png": "too large",
    "texts.png": "Too much memory used in text chunks",
}
REFUSED = """
import resource, sys
from pathlib import Path
from PIL import Image
from vlaa_ray.images.decode import reference
from vlaa_ray.errors import DataError
Image.init()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    reference(Path(sys.argv[1]))
except DataError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error.message)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_refusing_a_bomb_takes_little_memory(tmp_path, name):
    path, side = tmp_path / name, 13_000
    if name == "large.png":
        with path.open("wb") as file:
            file.truncate(2_000_000_000)  # a hole: it takes no room on the disk
    elif name == "texts.png":
        texts = PngImagePlugin.PngInfo()
        for number in range(70):
            texts.add_text(f"t{number}", "x" * 1_000_000, zip=True)
        Image.new("L", (64, 48)).save(path, pnginfo=texts)
    elif name == "bomb.bmp":  # only its header: the whole file would be too large
        path.write_bytes(b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0))
    else:
        Image.new("1" if name == "bomb.png" else "L", (side, side)).save(path, method=0)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REFUSED, str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    grown_kib, message = done.stdout.strip().split(" ", 1)
    assert BOMBS[name] in message
    assert int(grown_kib) * 1024 < 20_000_000


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    # 30,000 x 30,000 pixels of one colour are 110 kB of PNG and 2.7 GB of RGB: only the header is made here
    header = io.BytesIO()
    header.write(b"\x89PNG\r\n\x1a\n")
    PngImagePlugin.putchunk(header, b"IHDR", (30_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0]))
    PngImagePlugin.putchunk(header, b"IDAT", b"")
    PngImagePlugin.putchunk(header, b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(header.getvalue())
    with pytest.raises(DataError, match=r"bomb|too many pixels"):
        reference(tmp_path / "bomb.png")
    wide = Image.new("1", (8_001, 8_000))  # 64,008,000 pixels: above the limit of 64,000,000, below Pillow's own
    with pytest.raises(DataError, match="too many pixels"):
        reference(saved(wide, tmp_path / "wide.png"))


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    path = saved(noise(), tmp_path / "a.png")
    monkeypatch.setattr(decode, "MAX_IMAGE_BYTES", path.stat().st_size - 1)
    with pytest.raises(DataError, match="too large"):
        reference(path)


def test_an_image_that_changed_or_went_away_is_noticed(tmp_path):
    path = saved(two_colours(), tmp_path / "a.png")
    ref = reference(path)
    saved(noise(), path)
    with pytest.raises(DataError, match="has changed"):
        load(ref)
    path.unlink()
    with pytest.raises(DataError, match="can't read the image"):
        load(ref)
