"""Makes the folder photographs: colour photographs without copyright restrictions that are shipped with kgpc.

    python -m pip download --no-deps --dest WHEELS scikit-image==0.26.0
    python data/make_photographs.py WHEELS/scikit_image-*.whl

The pictures are test images of scikit-image, whose documentation (`skimage.data`) says of each that it is in the public
domain or dedicated to it (CC0). They are cropped and made smaller here, and stored without loss. The script refuses
pictures that are not byte for byte those it knows. Another version of zlib may compress the results into other bytes;
the pixels stay the same.
"""

import argparse
import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np

FOLDER = "photographs"
HEIGHT = 300
MAX_BYTES = 1_300_000
# More than the largest of the originals, so that not everything has to be unpacked to see that it is another file.
MAX_ORIGINAL_BYTES = 2**21
SCIKIT_IMAGE = "scikit-image 0.26.0, skimage.data.{}; originally {}"

# One entry for each photograph. `crop` is (top, left, height, width) in pixels of the original, done before resizing.
PHOTOGRAPHS = (
    {
        "name": "cat",
        "title": "Chelsea the cat",
        "author": "Stefan van der Walt",
        "licence": "CC0-1.0",
        "function": "chelsea",
        "origin": "by the photographer",
        "original": "chelsea.png",
        "original_sha256": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "crop": (0, 0, 300, 451),
    },
    {
        "name": "coffee",
        "title": "Coffee cup",
        "author": "Rachel Michetti, courtesy of Pikolo Espresso Bar",
        "licence": "CC0-1.0",
        "function": "coffee",
        "origin": "by the photographer",
        "original": "coffee.png",
        "original_sha256": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "crop": (0, 0, 400, 600),
    },
    {
        "name": "astronaut",
        "title": "The astronaut Eileen Collins",
        "author": "NASA",
        "licence": "public domain",
        "function": "astronaut",
        "origin": "https://flic.kr/p/r9qvLn, NASA Great Images",
        "original": "astronaut.png",
        "original_sha256": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "crop": (0, 0, 512, 512),
    },
    {
        "name": "rocket",
        "title": "Falcon 9 with DSCOVR before its launch",
        "author": "SpaceX",
        "licence": "public domain",
        "function": "rocket",
        "origin": "https://www.flickr.com/photos/spacexphotos/16511594820",
        "original": "rocket.jpg",
        "original_sha256": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "crop": (0, 0, 427, 640),
    },
    {
        "name": "retina",
        "title": "Fundus of a normal left eye (centre)",
        "author": "Mikael Häggström",
        "licence": "CC0-1.0",
        "function": "retina",
        "origin": "https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg",
        "original": "retina.jpg",
        "original_sha256": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        # Inside the disc: the black surround would say nothing of the eye.
        "crop": (225, 225, 960, 960),
    },
    {
        "name": "galaxies",
        "title": "Hubble eXtreme Deep Field (part)",
        "author": "NASA",
        "licence": "public domain",
        "function": "hubble_deep_field",
        "origin": "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
        "original": "hubble_deep_field.jpg",
        "original_sha256": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        # Half the side is used: made smaller any further, galaxies would be dots.
        "crop": (100, 200, 600, 600),
    },
)


def originals_in(wheel):
    """The bytes of the pictures in a wheel of scikit-image, by file name; each is checked."""
    if not zipfile.is_zipfile(wheel):
        raise SystemExit(f"{wheel} is damaged or no wheel.")
    contents = {}
    with zipfile.ZipFile(wheel) as archive:
        for photograph in PHOTOGRAPHS:
            name = photograph["original"]
            try:
                with archive.open(f"skimage/data/{name}") as file:
                    content = file.read(MAX_ORIGINAL_BYTES + 1)
            except KeyError:
                raise SystemExit(f"{wheel} is not the wheel of scikit-image: it has no skimage/data/{name}.") from None
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                raise SystemExit(f"{wheel} is damaged: {name} cannot be read from it ({error}).") from None
            if len(content) > MAX_ORIGINAL_BYTES:
                raise SystemExit(f"{name} in {wheel} is another picture: it has more than {MAX_ORIGINAL_BYTES} bytes.")
            actual = hashlib.sha256(content).hexdigest()
            if actual != photograph["original_sha256"]:
                raise SystemExit(
                    f"{name} in {wheel} is another picture: SHA-256 {actual}, expected {photograph['original_sha256']}."
                )
            contents[name] = content
    return contents


def shrink(content, crop):
    """Decodes a picture, cuts the crop out and makes it HEIGHT rows high; colours in OpenCV's order."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    top, left, height, width = crop
    picture = picture[top : top + height, left : left + width]
    if height == HEIGHT:
        return picture
    return cv2.resize(picture, (round(width * HEIGHT / height), HEIGHT), interpolation=cv2.INTER_AREA)


def write_file(path, content):
    """Writes beside the file and renames, so that a file with this name is always a whole one."""
    # A new file of its own name: nobody else writes it, and it is no link that somebody put there.
    handle, part = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(part, 0o644)
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def main(arguments=None):
    """Runs the command line; returns the path of the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the wheel of scikit-image 0.26.0, of any platform")
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=Path(__file__).parent / FOLDER)
    options = parser.parse_args(arguments)
    if not options.wheel.is_file():
        parser.error(f"the wheel must be an existing file. Received: {options.wheel}")

    originals = originals_in(options.wheel)
    pictures, entries = {}, []
    for photograph in PHOTOGRAPHS:
        pixels = shrink(originals[photograph["original"]], photograph["crop"])
        content = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
        pictures[f"{photograph['name']}.png"] = content
        entries.append(
            {
                "name": photograph["name"],
                "file": f"{photograph['name']}.png",
                "title": photograph["title"],
                "author": photograph["author"],
                "licence": photograph["licence"],
                "source": SCIKIT_IMAGE.format(photograph["function"], photograph["origin"]),
                "crop_top_left_height_width": photograph["crop"],
                "height": pixels.shape[0],
                "width": pixels.shape[1],
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    total = sum(map(len, pictures.values()))
    if total > MAX_BYTES:
        raise SystemExit(f"The photographs take {total} bytes, more than the {MAX_BYTES} they may have.")
    options.output.mkdir(exist_ok=True)
    for name, content in pictures.items():
        write_file(options.output / name, content)
    manifest = options.output / "manifest.json"
    write_file(manifest, (json.dumps(entries, indent=2, ensure_ascii=False) + "\n").encode())
    print(f"{options.output}: {len(entries)} photographs, {total} bytes")
    return manifest


if __name__ == "__main__":
    main()
