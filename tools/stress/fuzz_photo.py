"""Feed mutated pictures of every format to read_photo, and see that it only ever answers or refuses.

    python -m tools.stress.fuzz_photo --count 20000 --seed 0

The same seed gives the same files. They are read in child processes, so that a crash inside of a decoder costs one
batch and its file is kept. The exit status is 1 if anything was found: another exception than PhotoError, a picture
that breaks the promise of one, a crash, a file that takes more than 30 seconds of work, or more than 2 GB of memory.
"""

import argparse
import io
import json
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

from segmodels.inference.bounds import MAX_PIXELS, MIN_SIDE
from segmodels.inference.photo import PhotoError, read_photo
from segmodels.inference.reading.formats import kind_of

BATCH = 500
MAX_SECONDS = 30
"""Of processor time, so that a busy machine finds nothing."""
MAX_MEMORY = 2 * 2**30
"""Bytes. A 40-megapixel picture takes 160 MB as RGB, and a decoder may hold three or four of its kind at once."""

EDGE_VALUES = (0, 1, 0x7F, 0x80, 0xFF, 5000, 8000, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass
class Summary:
    """What a batch, or the whole run, came to."""

    files: int = 0
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    finds: list[str] = field(default_factory=list)
    peak_memory: int = 0  # bytes, beyond what the libraries take
    slowest: tuple[float, int] = (0.0, 0)  # seconds of work, the file's number
    stderr_lines: int = 0  # of the decoders' C libraries

    def add(self, batch: "Summary") -> None:
        self.files += batch.files
        self.read += batch.read
        self.refused += batch.refused
        self.finds += batch.finds
        self.peak_memory = max(self.peak_memory, batch.peak_memory)
        self.slowest = max(self.slowest, batch.slowest)
        self.stderr_lines += batch.stderr_lines


def seed_files() -> list[bytes]:
    """Small whole files of every format, mode and option that takes another way through a decoder."""
    ramp = np.add.outer(np.arange(40), np.arange(48))[..., None] * np.array([2, 1, 3])
    picture = Image.fromarray((ramp + np.random.default_rng(0).integers(0, 40, (40, 48, 3))).astype(np.uint8))
    turned = picture.rotate(180)
    alpha = picture.copy()
    alpha.putalpha(picture.convert("L"))
    palette, grey, deep = (
        picture.quantize(32),
        picture.convert("L"),
        Image.fromarray(ramp[..., 0].astype(np.uint16) * 700),
    )
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    more: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": profile}
    frames: dict[str, Any] = {"save_all": True, "append_images": [turned, picture], "duration": 50}
    variants: list[tuple[Image.Image, str, dict[str, Any]]] = [
        *((image, "JPEG", {}) for image in (picture, grey, picture.convert("CMYK"))),
        *((picture, "JPEG", option) for option in (more, {"progressive": True}, {"restart_marker_blocks": 2})),
        (picture, "MPO", {"save_all": True, "append_images": [turned]}),
        *(
            (image, "PNG", {})
            for image in (picture, grey, grey.convert("LA"), alpha, palette, deep, picture.convert("1"))
        ),
        *((picture, "PNG", option) for option in (more, frames, {"transparency": (40, 20, 60)})),
        *((alpha, "WEBP", option) for option in ({}, {"lossless": True}, more, frames)),
        (picture, "WEBP", {}),
        *((palette, "GIF", option) for option in ({}, frames, {"transparency": 3}, {"interlace": 0})),
        *((image, "BMP", {}) for image in (picture, palette, grey, picture.convert("1"), alpha)),
        *((image, "TIFF", {}) for image in (picture, palette, deep, grey.convert("F"), alpha, picture.convert("LAB"))),
        *((picture, "TIFF", option) for option in (more, frames, {"big_tiff": True})),
        *(
            (picture, "TIFF", {"compression": name})
            for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "zstd")
        ),
        (picture.convert("1"), "TIFF", {"compression": "group4"}),
        *((alpha, "AVIF", option) for option in ({}, more)),
        *((picture, "AVIF", option) for option in ({}, frames)),
    ]
    return [*(_encoded(*variant) for variant in variants), *_tiff_stacks(), *_heic_files(picture, alpha)]


def _tiff_stacks() -> Iterator[bytes]:
    """TIFFs as microscopes and maps have them: stacks with axes, planes, tiles, differences, other numbers."""
    values = (np.add.outer(np.arange(40), np.arange(48)) * 40 + np.arange(6)[:, None, None]).astype(np.uint16)
    stack = values.reshape(1, 2, 3, 40, 48)
    options: list[tuple[Any, dict[str, Any]]] = [
        (stack, {"imagej": True, "metadata": {"axes": "TZCYX", "min": 100.0, "max": 900.0}}),
        (stack, {"ome": True, "metadata": {"axes": "TCZYX"}}),
        (stack[0, 0], {"ome": True, "metadata": {"axes": "CYX"}, "tile": (16, 16), "compression": "zlib"}),
        (values, {"photometric": "minisblack"}),
        (values, {"photometric": "minisblack", "metadata": None, "bigtiff": True, "byteorder": ">"}),
        (values[:3], {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 8}),
        (values[:3].transpose(1, 2, 0), {"photometric": "rgb", "compression": "zlib", "predictor": True}),
        (values[0].astype(np.float32), {"extratags": [(42113, "s", 0, "-9999", True)], "byteorder": ">"}),
        (values[0].astype(np.int32) - 99, {"photometric": "miniswhite", "tile": (32, 32)}),
        (
            values[:5],
            {"photometric": "minisblack", "planarconfig": "separate", "compression": "zlib", "metadata": None},
        ),
    ]
    for data, option in options:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, data, **option)
        yield buffer.getvalue()


def _encoded(picture: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    if "append_images" in options:
        options = options | {"append_images": [frame.copy() for frame in options["append_images"]]}
    picture.copy().save(buffer, kind, **options)  # a copy, for saving leaves settings behind in the picture
    return buffer.getvalue()


def _heic_files(*pictures: Image.Image) -> Iterator[bytes]:
    try:
        import pillow_heif
    except ImportError:
        return
    for picture in pictures:
        buffer = io.BytesIO()
        pillow_heif.from_pillow(picture).save(buffer, quality=70)
        yield buffer.getvalue()


# --- Mutations: (data, rng, another file) -> data -----------------------------------------------------------------


def _flip_bits(data: bytearray, rng: np.random.Generator, _: bytes) -> bytearray:
    for position in rng.integers(0, len(data), rng.integers(1, 9)):
        data[position] ^= 1 << int(rng.integers(8))
    return data


def _set_number(data: bytearray, rng: np.random.Generator, _: bytes) -> bytearray:
    """A telling value over 1, 2 or 4 bytes, mostly in the header."""
    size, order = int(rng.choice([1, 2, 4])), str(rng.choice(["little", "big"]))
    reach = len(data) if rng.random() < 0.4 else min(len(data), 200)
    start = int(rng.integers(0, max(1, reach - size)))
    value = int(rng.choice(EDGE_VALUES)) if rng.random() < 0.7 else int(rng.integers(2**32))
    data[start : start + size] = (value % 256**size).to_bytes(size, "big" if order == "big" else "little")
    return data


def _cut(data: bytearray, rng: np.random.Generator, _: bytes) -> bytearray:
    return data[: int(rng.integers(1, len(data) + 1))]


def _delete(data: bytearray, rng: np.random.Generator, _: bytes) -> bytearray:
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 64))]
    return data


def _repeat(data: bytearray, rng: np.random.Generator, _: bytes) -> bytearray:
    start = int(rng.integers(len(data)))
    piece = data[start : start + int(rng.integers(1, 200))]
    return data[:start] + piece * int(rng.integers(2, 6)) + data[start:]


def _randomize(data: bytearray, rng: np.random.Generator, _: bytes) -> bytearray:
    start = int(rng.integers(len(data)))
    size = min(int(rng.integers(1, 64)), len(data) - start)
    data[start : start + size] = rng.bytes(size)
    return data


def _splice(data: bytearray, rng: np.random.Generator, other: bytes) -> bytearray:
    start, end = int(rng.integers(len(data))), int(rng.integers(len(other)))
    return data[:start] + bytearray(other[end : end + int(rng.integers(1, 400))]) + data[start:]


def _blank(data: bytearray, rng: np.random.Generator, _: bytes) -> bytearray:
    start = int(rng.integers(len(data)))
    return data[:start] + bytes(len(data) - start)


MUTATIONS: tuple[Callable[[bytearray, np.random.Generator, bytes], bytearray], ...] = (
    _flip_bits,
    _set_number,
    _set_number,
    _cut,
    _delete,
    _repeat,
    _randomize,
    _splice,
    _blank,
)


def mutated(seeds: list[bytes], seed: int, number: int) -> bytes:
    """The file of that number: a seed file after one to four mutations."""
    rng = np.random.default_rng((seed, number))
    data, other = bytearray(seeds[rng.integers(len(seeds))]), seeds[rng.integers(len(seeds))]
    for _ in range(rng.integers(1, 5)):
        data = MUTATIONS[rng.integers(len(MUTATIONS))](data, rng, other) or bytearray(1)
    return with_right_checksums(bytes(data)) if rng.random() < 0.8 else bytes(data)


def with_right_checksums(data: bytes) -> bytes:
    """A PNG whose chunks are taken for whole, so that their contents are looked at; other files as they are."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    fixed, start = bytearray(data), 8
    while start + 12 <= len(data):
        end = start + 8 + struct.unpack_from(">I", data, start)[0]
        if end + 4 > len(data):
            break
        fixed[end : end + 4] = struct.pack(">I", zlib.crc32(data[start + 4 : end]))
        start = end + 4
    return bytes(fixed)


# --- Running ------------------------------------------------------------------------------------------------------


def run_batch(seeds: list[bytes], seed: int, numbers: range, keep: Path) -> Summary:
    """Read the files of those numbers in a child process, and wait for it."""
    report, current = keep / "report.json", keep / "current"
    report.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            _be_child(seeds, seed, numbers, keep)
        finally:
            os._exit(1)  # it never returns into its parent's work
    _, status = os.waitpid(child, 0)
    summary = Summary()
    if report.exists():
        fields = json.loads(report.read_text())
        summary = Summary(**fields | {"refused": Counter(fields["refused"]), "slowest": tuple(fields["slowest"])})
    if status != 0:
        number = current.read_text() if current.exists() else "?"
        summary.finds.append(f"file {number}: the process ended with status {status}")
    if summary.peak_memory > MAX_MEMORY:
        summary.finds.append(
            f"files {numbers.start} to {numbers.stop - 1}: {summary.peak_memory / 2**20:.0f} MB of memory"
        )
    return summary


def _be_child(seeds: list[bytes], seed: int, numbers: range, keep: Path) -> None:
    """Read the files, leave a report, and end this process."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * MAX_MEMORY, 4 * MAX_MEMORY))
    with (keep / "stderr").open("w+") as captured:
        os.dup2(captured.fileno(), 2)
        summary, before = Summary(), _peak_memory()
        for number in numbers:
            (keep / "current").write_text(str(number))
            _read_one(mutated(seeds, seed, number), number, keep, summary)
        summary.peak_memory = _peak_memory() - before
        summary.stderr_lines = (keep / "stderr").read_bytes().count(b"\n")
    (keep / "report.json").write_text(json.dumps(vars(summary)))
    os._exit(0)


def _peak_memory() -> int:
    """Bytes this process has ever held at once; of a child, since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _read_one(data: bytes, number: int, keep: Path, summary: Summary) -> None:
    path = keep / "mutated"
    path.write_bytes(data)
    start = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)  # unhandled, its signal ends the process: a find
    try:
        image = read_photo(path).image
        if image.mode != "RGB" or min(image.size) < MIN_SIDE or image.width * image.height > MAX_PIXELS or image.info:
            raise AssertionError(f"a photo of {image.mode} {image.size}")
        summary.read += 1
    except PhotoError as error:
        summary.refused[_without_numbers(str(error))] += 1
    except BaseException:
        summary.finds.append(f"file {number}: {traceback.format_exc(limit=-3)}")
        path.replace(keep / f"find-{number}")
    signal.setitimer(signal.ITIMER_PROF, 0)
    summary.files += 1
    summary.slowest = max(summary.slowest, (time.process_time() - start, number))


def _without_numbers(sentence: str) -> str:
    return " ".join("#" if any(letter.isdigit() for letter in word) else word for word in sentence.split())


def run(
    seeds: list[bytes],
    count: int,
    seed: int,
    keep: Path,
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Read ``count`` files that are mutated from ``seeds``."""
    keep.mkdir(parents=True, exist_ok=True)
    total = Summary()
    for start in range(0, count, BATCH):
        total.add(run_batch(seeds, seed, range(start, min(start + BATCH, count)), keep))
        progress(total)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=20_000, help="how many files (20000)")
    parser.add_argument("--kind", help="only files of that kind, such as TIFF (all)")
    parser.add_argument("--seed", type=int, default=0, help="of the random mutations (0)")
    parser.add_argument("--write", type=int, metavar="NUMBER", help="only write that file, as 'mutated', into --keep")
    parser.add_argument("--keep", type=Path, help="where finds are written (a temporary folder)")
    args = parser.parse_args()
    keep = args.keep or Path(tempfile.mkdtemp(prefix="fuzz-photo-"))
    seeds = [data for data in seed_files() if args.kind in (None, kind_of(data))]
    if args.write is not None:
        (keep / "mutated").write_bytes(mutated(seeds, args.seed, args.write))
        return 0
    begin = time.perf_counter()
    total = run(seeds, args.count, args.seed, keep, lambda so_far: print(f"\r{so_far.files}", end="", file=sys.stderr))
    print(file=sys.stderr)
    print(
        f"{total.files} files in {time.perf_counter() - begin:.0f} s: {total.read} read, {sum(total.refused.values())} refused"
    )
    for sentence, times in total.refused.most_common():
        print(f"{times:7} {sentence}")
    print(
        f"peak memory {total.peak_memory / 2**20:.0f} MB beyond the libraries' own, slowest {total.slowest[0]:.2f} s (file {total.slowest[1]})"
    )
    print(f"{total.stderr_lines} lines on stderr by the decoders' libraries")
    print(f"{len(total.finds)} finds", *total.finds, sep="\n")
    if total.finds:
        print(f"kept in {keep}")
    return 1 if total.finds else 0


if __name__ == "__main__":
    sys.exit(main())
