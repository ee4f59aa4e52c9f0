import hashlib
import io
import random

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from vlaa_ray.data import images
from vlaa_ray.data.images import encoded, load, reference
from vlaa_ray.errors import DataError
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


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif"])
def test_truncated_at_any_length_is_a_data_error(tmp_path, suffix):
    whole = saved(noise(), tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for length in range(0, len(whole) - 32, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load(reference(path))


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning", "ignore:Tag data:UserWarning")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif"])
def test_damaged_bytes_give_a_picture_or_a_data_error_and_nothing_else(tmp_path, suffix):
    exif = Image.Exif()
    exif[274] = 6
    options = {} if suffix == "gif" else {"exif": exif}
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
        except DataError:
            pass


def test_what_is_no_image_is_a_data_error(tmp_path):
    (tmp_path / "text.png").write_text("this is no image")
    saved(two_colours(), tmp_path / "a.bmp")  # an image, but of a format that web data doesn't use
    with pytest.raises(DataError, match="not an image of a known format"):
        reference(tmp_path / "text.png", "images/text.png")
    with pytest.raises(DataError, match="not an image of a known format"):
        reference(tmp_path / "a.bmp")
    with pytest.raises(DataError, match=r"can't read the image.*images/none\.png"):
        reference(tmp_path / "none.png", "images/none.png")
    with pytest.raises(DataError, match="can't read the image"):
        reference(tmp_path)


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
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES", path.stat().st_size - 1)
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
