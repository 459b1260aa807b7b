"""An uploaded image: its length is limited, its header is checked before it is decoded, and it is never written to disk."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from augury.data.decoding import codecs, dicom, fits, image_decoder
from augury.data.decoding.image_decoder import Header
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.reading import common_range_in
from augury.data.decoding.resize import Size
from augury.errors import DataError, shortened
from augury.images import Images
from augury.pipeline.run_folder import Run
from augury.settings import RunSettings
from augury.validation import validated

UPLOAD_LIMIT = 20 * 2**20
"""Most bytes of an uploaded image."""
USUAL = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WebP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "GIF": "image/gif",
}
"""Formats that every run reads, with their media types."""
SCIENTIFIC = {
    name: ",".join(sorted({"." + extension.rpartition(".")[2] for extension in module.EXTENSIONS}))
    for name, module in (("DICOM", dicom), ("FITS", fits))
}
"""Formats that a run of such images reads, with the ends of the names of their files."""


async def body_of(request: Request, limit: int, what: str) -> bytes:
    """The body of a request. Raises DataError when it is longer than `limit`, without reading the rest."""
    declared = request.headers.get("content-length", "")
    raw = bytearray()
    if not declared.isdecimal() or int(declared) <= limit:
        try:
            async for piece in request.stream():
                raw += piece
                if len(raw) > limit:
                    break
            else:
                return bytes(raw)
        except ClientDisconnect:  # the browser has gone, which is no failure of the explorer
            raise DataError(f"{what} did not arrive completely; send it again") from None
    raise DataError(f"{what} may have {limit / 2**20:g} MB at most, but this has more; give a smaller one")


@dataclass(frozen=True)
class Reading:
    """How a run reads its images, and so an uploaded one.

    Attributes
    ----------
    options
        Its options, with the range of values that was chosen for all images that declare none.
    scientific
        The scientific formats (`SCIENTIFIC`) among the images of the run; files of them are read in no other run.
    """

    options: LoadOptions
    scientific: tuple[str, ...]

    @classmethod
    def of(cls, run: Run) -> Reading:
        """The reading of a run's images."""
        chosen, notes = validated(RunSettings, run.settings).data, run.metadata["data"].get("notes", {})
        options = LoadOptions(
            fit=chosen.fit,
            window=chosen.window,
            stretch=chosen.stretch,
            transparency=chosen.transparency,
            value_range=common_range_in(notes.get("tones", ())),
        )
        modes = {mode.partition(" ")[0] for mode in notes.get("original_modes", ())}
        return cls(options, tuple(name for name in SCIENTIFIC if name in modes))

    @property
    def kinds(self) -> str:
        """The formats that are read, in words."""
        *first, last = *USUAL, *self.scientific
        return f"{', '.join(first)} or {last}"

    @property
    def accept(self) -> str:
        """What a page offers to choose, as the attribute `accept` of an input."""
        return ",".join([*USUAL.values(), *(SCIENTIFIC[name] for name in self.scientific)])

    def header(self, raw: bytes) -> Header:
        """What a file declares about its image. Raises DataError without the file's name."""
        return codecs.header(raw, self.options) if self.scientific else image_decoder.header(raw, self.options)

    def pixels(self, raw: bytes, size: Size, grey: bool) -> Images:
        """The image uint8 [1 or 3, H, W] of `size`. Raises DataError without the file's name."""
        if not self.scientific:
            return image_decoder.pixels(raw, size, self.options, grey)
        return image_decoder.planes(codecs.picture(raw, self.options, grey), size, self.options.fit)


def decoded(raw: bytes, name: str, shape: tuple[int, int, int], reading: Reading) -> Images:
    """Decode an uploaded image to uint8 [1, C, H, W] of `shape` (C, H, W).

    Parameters
    ----------
    raw
        The encoded image.
    name
        The name of the file, for messages.
    shape
        What the generator takes.
    reading
        How the run reads its images.

    Raises
    ------
    DataError
        For what is no image, is damaged, or declares more than 64 million pixels.
    """
    try:
        reading.header(raw)
        return reading.pixels(raw, shape[1:], shape[0] == 1)[None].copy()
    except DataError as error:
        raise DataError(f"{shortened(name) or 'the upload'}: {error}; give a {reading.kinds} image") from error


def changes(raw: bytes, shape: tuple[int, int, int], reading: Reading) -> tuple[str, ...]:
    """What `decoded` does to an image so that it has the size, mode and brightness of the generator's, in words."""
    known, (channels, height, width) = reading.header(raw), shape
    notes = []
    if known.size != (height, width):
        how = "padded" if reading.options.fit == "pad" else "cropped in the middle"
        how = "" if known.size[0] * width == known.size[1] * height else f"{how} and "
        notes.append(f"{known.size[1]} × {known.size[0]} px, {how}resized to {width} × {height}")
    if known.grey != (channels == 1):
        notes.append(f"converted to {'grey' if channels == 1 else 'colour'}")
    if known.tones not in ("", "as given"):
        notes.append(f"brightness: {known.tones}")
    if (own := image_decoder.common_range([known])) is not None:
        low, high = reading.options.value_range or own
        whose = "as in the training images" if reading.options.value_range else "chosen for this file alone"
        notes.append(f"{low:g} is black and {high:g} is white, {whose}")
    return tuple(notes)
