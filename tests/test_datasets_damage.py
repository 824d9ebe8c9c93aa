"""Image files that are damaged, hostile, deep, or not what their name says: refused by name, or decoded right."""

import io
import random
import struct
import tracemalloc
import warnings
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from kgpc.datasets import ImageError, formats, photographs, read_image, resizing
from kgpc.datasets.decoding import decode
from kgpc.datasets.formats import format_of, orientation_in
from kgpc.datasets.jpeg import JpegStream
from kgpc.datasets.resizing import fit

KINDS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
JPEG_OPTIONS = (
    {},
    {"optimize": True},
    {"progressive": True},
    {"restart": 5},
    {"restart": 19},
    {"subsampling": 0, "quality": 97},
    {"subsampling": 2, "quality": 30},
)


@pytest.fixture(scope="module")
def pixels():
    return photographs()[0].pixels[:200, :300]


def encode(pixels, kind="JPEG", **options):
    """`restart`: units of coding between restart markers, which older releases of PIL cannot write."""
    pixels = np.asarray(pixels)
    if restart := options.pop("restart", 0):
        colours = pixels[..., ::-1] if pixels.ndim == 3 else pixels
        return cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_RST_INTERVAL, restart])[1].tobytes()
    content = io.BytesIO()
    PIL.Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def image_data(content):
    """Where the data of the first pass over a JPEG image begin."""
    start = content.index(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


# JPEG


@pytest.mark.parametrize("options", JPEG_OPTIONS, ids=str)
@pytest.mark.parametrize("grey", [False, True])
def test_sound_jpeg_files_are_decoded_as_pil_does(pixels, options, grey):
    """Of many sizes, so that the data end in every way; with notes, with filling, and with something behind them."""
    for height, width in ((1, 1), (8, 8), (16, 17), (33, 31), (200, 300)):
        part = pixels[:height, :width]
        content = encode(part[:, :, 1] if grey else part, **options)
        expected = np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB"))
        noted = content[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0x") + segment(0xFE, b"me") + content[2:]
        filled = content[:-2] + bytes(100) + b"\xff\xff\xff\xd9"
        for variant in (content, noted, filled, content + b"thumbnail\xff\xd8", content[:2] + content):
            np.testing.assert_array_equal(decode(variant), expected)


def one_component_after_the_other(pixels):
    """A JPEG file with a pass for each of its components, put together from three grey ones with the same tables."""
    grey = [encode(pixels[..., channel]) for channel in range(3)]
    frame, scan = grey[0].index(b"\xff\xc0"), grey[0].index(b"\xff\xda")
    size = grey[0][frame + 5 : frame + 9]
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    content = grey[0][:frame] + segment(0xC0, b"\x08" + size + b"\x03" + components)
    content += grey[0][frame + 2 + 11 : scan]
    for number, each in enumerate(grey, start=1):
        content += segment(0xDA, bytes((1, number, 0, 0, 63, 0))) + each[image_data(each) : -2]
    return content + b"\xff\xd9"


def test_jpeg_files_with_one_component_after_the_other_are_decoded_and_looked_at(pixels):
    content = one_component_after_the_other(pixels)
    np.testing.assert_array_equal(decode(content), np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB")))
    middle = image_data(content) + 500
    for damage in (bytes(40), b"\xff" * 40, b""):
        with pytest.raises(ImageError, match="damaged"):
            decode(content[:middle] + damage + content[middle + 400 :])


@pytest.mark.parametrize("constant", [0, 128, 255])
@pytest.mark.parametrize("options", JPEG_OPTIONS, ids=str)
def test_plain_and_regular_images_are_not_taken_for_damaged(options, constant):
    """Their data are long rows of equal bits."""
    ramp = np.arange(256, dtype=np.uint8)[np.newaxis].repeat(64, 0)
    board = np.kron(np.indices((32, 32)).sum(0) % 2, np.ones((8, 8))).astype(np.uint8) * 255
    for picture in (np.full((256, 256), constant, np.uint8), ramp, ramp[:, ::-1], ramp.T, board):
        for image in (picture, np.stack([picture] * 3, axis=2)):
            content = encode(image, **options)
            assert decode(content).shape == (*picture.shape, 3)


@pytest.mark.parametrize("options", [options for options in JPEG_OPTIONS if "progressive" not in options], ids=str)
def test_forty_bytes_of_zeros_or_of_255_in_a_jpeg_file_are_noticed(pixels, options):
    content = encode(pixels, **options)
    for start in np.linspace(image_data(content), len(content) - 60, 25, dtype=int):
        for damage in (bytes(40), b"\xff" * 40):
            with pytest.raises(ImageError, match="the image is damaged"):
                decode(content[:start] + damage + content[start + 40 :])


@pytest.mark.parametrize(
    ("options", "least"), [({}, 0.4), ({"optimize": True}, 0.4), ({"progressive": True}, 0.3), ({"restart": 19}, 0.15)]
)
def test_some_other_damage_to_the_data_of_a_jpeg_file_is_noticed(pixels, options, least):
    """Not all of it can be: the codes have no checksum, and decoders fall into step again."""
    content, generator = encode(pixels, **options), random.Random(0)
    for zeros in (False, True):
        noticed = 0
        for _ in range(60):
            start = generator.randrange(image_data(content), len(content) - 60)
            try:
                decode(content[:start] + (bytes(40) if zeros else generator.randbytes(40)) + content[start + 40 :])
            except ImageError:
                noticed += 1
        assert noticed > least * 60


@pytest.mark.parametrize("lost", [100, 2000])
def test_jpeg_data_that_are_lost_in_the_middle_are_noticed(pixels, lost):
    content = encode(pixels)
    middle = (image_data(content) + len(content)) // 2
    with pytest.raises(ImageError, match="damaged"):
        decode(content[:middle] + content[middle + lost :])
    with pytest.raises(ImageError, match="damaged"):
        decode(content[: middle + lost] + content[middle:])


def test_lost_and_exchanged_parts_between_restart_markers_are_noticed(pixels):
    content = encode(pixels, restart=19)
    start = image_data(content)
    second, third = content.index(b"\xff\xd1", start), content.index(b"\xff\xd2", start)
    for damaged in (
        content[:second] + content[third:],
        content[:second] + b"\xff\xd2" + content[second + 2 :],
        encode(pixels)[:-2] + b"\xff\xd0\xff\xd9",
    ):
        with pytest.raises(ImageError, match="restart markers"):
            decode(damaged)


def test_the_decoder_sees_no_notes_of_a_jpeg_file(pixels):
    """PIL puts them together, and copies up to 64 MB a thousand times: that took 17 s."""
    content = encode(pixels[:16, :16])
    noted = content[:2] + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 1000 + content[2:]
    assert decode(noted).shape == (16, 16, 3)
    assert len(JpegStream(noted).getvalue()) < len(content) + 100


def test_passes_over_an_image_are_limited(pixels):
    """Each takes time for the whole image and next to no bytes."""
    content = encode(pixels, progressive=True)
    scan = content[content.index(b"\xff\xda") :]
    scan = scan[: scan.index(b"\xff", 20)]
    with pytest.raises(ImageError, match="more than 100 passes"):
        decode(content[:-2] + scan * 200 + content[-2:])


# Other formats


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_forty_bytes_of_zeros_in_files_without_loss_are_noticed(pixels, kind, options):
    content = encode(pixels[:100, :150], kind, **options)
    np.testing.assert_array_equal(decode(content).shape, (100, 150, 3))
    noticed = 0
    for start in np.linspace(1000, len(content) - 1000, 20, dtype=int):
        try:
            decode(content[:start] + bytes(40) + content[start + 40 :])
        except ImageError:
            noticed += 1
    # LZW has no checksum; what it decodes to may have the right length by chance.
    assert noticed >= (20 if kind == "PNG" or "deflate" in str(options) else 17)


# Orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_pil_turns_them(kind, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    picture = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((16, 16), np.uint8)) * 40
    content = encode(np.stack([picture] * 3, axis=2), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    expected = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content))).convert("RGB")
    np.testing.assert_array_equal(decode(content), np.asarray(expected))


def test_damaged_notes_of_a_camera_do_not_matter():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    note, generator = exif.tobytes(), random.Random(0)
    assert orientation_in(note) == 6
    assert orientation_in(b"") == orientation_in(b"Exif") == orientation_in(b"Exif\0\0XX*\0") == 1
    for _ in range(500):
        damaged = bytearray(note)
        damaged[generator.randrange(len(note))] = generator.randrange(256)
        assert 1 <= orientation_in(bytes(damaged[: generator.randint(0, len(note))])) <= 8


# More than 8 bits


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_rounded_to_eight(tmp_path, kind, channels):
    values = np.random.default_rng(0).integers(0, 65536, (40, 30, channels)).astype(np.uint16)
    values[0, :4, :] = np.array([0, 65535, 4000, 65407], np.uint16)[:, np.newaxis]
    path = tmp_path / f"deep{kind}"
    assert cv2.imwrite(str(path), values)
    colours = values[:, :, 2::-1] if channels > 1 else values.repeat(3, axis=2)
    expected = np.rint(colours / 65535 * 255).astype(np.uint8)
    assert expected[0, :4, 0].tolist() == [0, 255, 16, 255]
    np.testing.assert_array_equal(decode(path), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("value", "refused"), [(0, False), (1, True), (255, True), (4000, True), (4096, False)])
def test_deep_images_of_which_nothing_would_be_left_are_refused(tmp_path, channels, value, refused):
    path = tmp_path / "dark.png"
    cv2.imwrite(str(path), np.full((4, 4, channels), value, np.uint16))
    if refused:
        with pytest.raises(ImageError, match=rf"dark\.png has 16 bits .* only values up to {value} of 65535 are used"):
            decode(path)
    else:
        assert (decode(path) == round(value / 257)).all()


def test_grey_that_counts_from_white_is_turned_round():
    content = io.BytesIO()
    PIL.Image.fromarray(np.full((4, 4), 65535 - 40_000, np.uint16)).save(content, "TIFF", tiffinfo={262: 0})
    assert (decode(content.getvalue()) == round(40_000 / 257)).all()


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bits_are_refused(dtype):
    with pytest.raises(ImageError, match="more than 16 bits a channel|32 bits a channel"):
        decode(encode(np.ones((4, 4), dtype), "TIFF"))


# Names, pipes, folders


@pytest.mark.parametrize("name", ["leaf", "leaf.jfif", "leaf.png", "leaf.jpg?itok=a", "leaf.txt", "Blatt ä\n.x"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_content_of_a_file_decides_not_its_name(tmp_path, pixels, name, kind):
    (tmp_path / name).write_bytes(encode(pixels[:20, :20], kind))
    assert read_image(tmp_path / name, 20).shape == (20, 20, 3)


def test_texts_are_no_images():
    for text in (b"", b"BM", b"BMW and others: a list", b"RIFF1234WAVE", b"II*", b"GIF", b"\x89PNG\r\n", b"%!PS-Adobe"):
        assert format_of(text) is None


# What a file may cost


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded_in_every_format(kind, monkeypatch):
    content = encode(np.zeros((200, 300, 3), np.uint8), kind)
    monkeypatch.setattr(formats, "MAX_PIXELS", 59_999)
    monkeypatch.setattr(PIL.Image.Image, "load", None)
    with pytest.raises(ImageError, match="has 300x200 pixels, more than the 59999 allowed"):
        decode(content)


def webp_header(width, height):
    canvas = bytes((0x10, 0, 0, 0)) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", len(canvas)) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def bombs():
    """Headers that promise 40,000 x 40,000 pixels, in files of a few bytes."""
    png = bytearray(encode(np.zeros((8, 8, 3), np.uint8), "PNG"))
    png[16:24] = struct.pack(">II", 40_000, 40_000)
    png[29:33] = struct.pack(">I", zlib.crc32(bytes(png[12:29])))
    jpeg = bytearray(encode(np.zeros((8, 8, 3), np.uint8), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 40_000, 40_000)
    gif = bytearray(encode(np.zeros((8, 8, 3), np.uint8), "GIF"))
    gif[6:10] = struct.pack("<HH", 40_000, 40_000)
    bmp = bytearray(encode(np.zeros((8, 8, 3), np.uint8), "BMP"))
    bmp[18:26] = struct.pack("<ii", 40_000, 40_000)
    tiff = io.BytesIO()
    PIL.Image.new("1", (40_000, 4_000)).save(tiff, "TIFF", compression="group4")
    return {
        "PNG": bytes(png),
        "JPEG": bytes(jpeg),
        "GIF": bytes(gif),
        "BMP": bytes(bmp),
        "TIFF": tiff.getvalue(),
        "WEBP": webp_header(16_000, 16_000),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_small_files_of_huge_images_take_no_memory(kind):
    content = bombs()[kind]
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="more than the 120000000 |damaged"):
            decode(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(content) < 100_000 and peak < 10_000_000


def test_parts_of_a_tiff_file_that_lie_over_each_other_are_not_read_again_and_again():
    """2,000 notes of 300 kB each in a file of 324 kB would be 600 MB."""
    count, length = 2000, 300_000
    directory = struct.pack("<H", count) + b"".join(
        struct.pack("<HHII", 1000 + number, 7, length, 8) for number in range(count)
    )
    content = b"II*\0" + struct.pack("<I", length + 8) + bytes(length) + directory + bytes(4)
    tracemalloc.start()
    with pytest.raises(ImageError, match="its parts lie over each other|damaged"):
        decode(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def tiff_directory(*entries):
    """A TIFF file of 8x8 grey pixels whose directory has these entries `(tag, kind, length, value)` as well."""
    sizes = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries = sorted([*sizes, *entries])
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4 + 64)


def test_parts_of_a_tiff_image_are_limited(pixels):
    content = tiff_directory((273, 4, 10**6, 8), (279, 4, 10**6, 8)) + bytes(4 * 10**6)
    with pytest.raises(ImageError, match="it has 1000000 parts, more than the 131072 allowed"):
        decode(content)


def test_a_tiff_file_whose_notes_are_not_whole_is_named_without_a_warning(pixels):
    """PIL warns of what is missing, from where nobody sees which file it is."""
    note = PIL.Image.Exif()
    note[271] = "a camera with a long name"
    whole = encode(pixels[:20, :30], "TIFF", exif=note)
    directory = struct.unpack_from("<I", whole, 4)[0]
    behind = struct.pack("<HHII", 271, 2, 26, len(whole) - 20)  # 26 letters, 20 bytes before the end
    at = whole.index(struct.pack("<HHI", 271, 2, 26))
    changed = {
        "it ends within its directory": whole[: directory + 20],
        "it ends before the values of its tag 271": whole[:at] + behind + whole[at + len(behind) :],
        "it has no directory": whole[:4] + struct.pack("<I", 10**6) + whole[8:],
        "its tag 277 has 128 values and not one": tiff_directory((277, 3, 128, 8)) + bytes(400),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for message, content in changed.items():
            with pytest.raises(ImageError, match=f"leaf.tif is damaged: {message}"):
                decode(content, "leaf.tif")
        for length in range(8, len(whole), 97):
            try:
                decode(whole[:length], "leaf.tif")
            except ImageError as error:
                assert "leaf.tif" in str(error)
    assert not caught
    assert decode(whole).shape == (20, 30, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_of_very_many_parts_is_refused(kind, monkeypatch):
    monkeypatch.setattr(formats, "_READS", 5000)
    whole = encode(np.zeros((8, 8, 3), np.uint8), kind)
    if kind == "PNG":
        chunk = struct.pack(">I", 0) + b"abCd"
        content = whole[:33] + (chunk + struct.pack(">I", zlib.crc32(b"abCd"))) * 6000 + whole[33:]
    else:
        content = whole[:2] + segment(0xFE, b"") * 30_000 + whole[2:]
    with pytest.raises(ImageError, match="too many parts|more than 20000 segments"):
        decode(content)


def run_lengths(width, height, data):
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    palette = bytes(range(256)) * 4
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(data), 0, 0, 54 + 1024) + head + palette + data


def test_run_lengths_of_bmp_files_are_limited():
    """Four bytes may skip 255 lines of any width."""
    assert decode(run_lengths(4, 2, b"\4\x10\0\0\4\x20\0\1")).shape == (2, 4, 3)
    for width, height in ((60_000_000, 2), (100_000, 100), (5_000, 5_000)):
        with pytest.raises(ImageError, match=f"it has {width}x{height} pixels, with run lengths at most 16777216"):
            decode(run_lengths(width, height, b"\0\2\0\0\xff\xff" * 10))


def test_a_tile_of_a_tiff_file_may_not_be_larger_than_an_image(pixels):
    content = io.BytesIO()
    tags = {322: 40_000, 323: 40_000}
    PIL.Image.fromarray(pixels[:16, :16]).save(content, "TIFF", compression="tiff_deflate", tiffinfo=tags)
    try:
        shape = decode(content.getvalue()).shape
    except ImageError:
        return
    assert shape == (16, 16, 3)  # the library that writes leaves such tags out


@pytest.mark.parametrize("interpolation", ["area", "nearest", "nearest_center"])
@pytest.mark.parametrize(("height", "width"), [(70, 3), (3, 70), (61, 60), (50, 41)])
@pytest.mark.parametrize("size", [8, 13, 20])
def test_padding_of_long_images_is_computed_without_the_padded_square(monkeypatch, height, width, size, interpolation):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    expected = fit(image, size, interpolation=interpolation)
    monkeypatch.setattr(resizing, "_MAX_PADDED", 1)
    difference = np.abs(fit(image, size, interpolation=interpolation).astype(int) - expected)
    # OpenCV rounds means in its own way.
    assert difference.max() <= (1 if interpolation == "area" else 0)


def test_a_long_narrow_image_takes_little_memory():
    image = np.full((100_000, 2, 3), 255, np.uint8)
    tracemalloc.start()
    result = fit(image, 10, interpolation="area")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    # Two of 100,000 columns are white: 0.005 of 255 in the middle, which is 0.
    assert result.shape == (10, 10, 3) and result.max() == 0
    assert fit(image, 10, shape="crop").min() == fit(image, 10, shape="stretch").min() == 255


@pytest.mark.parametrize("kind", KINDS)
def test_any_damage_to_an_image_file_gives_pixels_or_an_image_error(kind, pixels):
    """A few seconds of random damage: nothing else is raised, whatever the first bytes say."""
    generator = random.Random(kind)
    whole, refused = encode(pixels[:40, :50], kind), 0
    for _ in range(250):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 3)):
            start = generator.choice((generator.randrange(min(len(content), 80)), generator.randrange(len(content))))
            content[start : start + generator.randint(1, 30)] = generator.choice(
                (b"", bytes(8), b"\xff" * 4, generator.randbytes(3), bytes(whole[:50]))
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result = decode(bytes(content), "fuzzed.img")
            except ImageError as error:
                assert "fuzzed.img" in str(error)
                refused += 1
            else:
                assert result.dtype == np.uint8 and result.ndim == 3 and result.shape[2] == 3
    assert refused > 50
