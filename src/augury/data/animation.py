"""Write pictures as an animation: GIF with Pillow, MP4 with an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augury.data.decoding.safety import extra
from augury.errors import SettingsError
from augury.files import atomic_path

ANIMATIONS = (".gif", ".mp4")
STILL = ".png"


def is_animation(path: Path) -> bool:
    """Whether a path names an animation; raises SettingsError when it names neither that nor a PNG picture."""
    ending = path.suffix.lower()
    if ending not in (*ANIMATIONS, STILL):
        raise SettingsError(
            f"{path}: pictures are written as {STILL}, and animations as {' or '.join(ANIMATIONS)}; choose such a name"
        )
    return ending in ANIMATIONS


def ready_to_animate(path: Path) -> None:
    """Raises MissingExtraError when an animation of this ending needs a package that is not installed."""
    if path.suffix.lower() == ".mp4":
        extra("imageio_ffmpeg", "writing MP4", "video")


def write_animation(path: Path, frames: Sequence[Image.Image], *, seconds: float = 0.1, comment: str = "") -> None:
    """Write RGB pictures as an animation that runs there and back, atomically.

    Parameters
    ----------
    path : Path
        Ends in .gif or .mp4.
    frames : sequence of PIL.Image.Image
        All of one size, at least 2.
    seconds : float
        Time of each picture.
    comment : str
        Stored in the file, such as `augury.provenance.comment`.

    Raises
    ------
    SettingsError
        For another ending.
    MissingExtraError
        For an MP4 without the package imageio-ffmpeg.
    """
    if not is_animation(path):
        raise SettingsError(f"{path}: an animation ends in {' or '.join(ANIMATIONS)}; choose such a name")
    there_and_back = [*frames, *frames[-2:0:-1]]
    if path.suffix.lower() == ".gif":
        with atomic_path(path) as temporary:
            there_and_back[0].save(
                temporary, format="GIF", save_all=True, append_images=there_and_back[1:], duration=round(1000 * seconds),
                loop=0, comment=comment.encode(),
            )  # fmt: skip
        return
    ffmpeg: Any = extra("imageio_ffmpeg", "writing MP4", "video")
    width, height = (side + side % 2 for side in frames[0].size)  # H.264 needs even sides
    with atomic_path(path) as temporary:
        video = temporary.with_suffix(".mp4")
        try:
            writer = ffmpeg.write_frames(
                str(video),
                (width, height),
                fps=1 / seconds,
                codec="libx264",
                quality=8,
                macro_block_size=2,
                output_params=["-metadata", f"comment={comment}"],
            )
            writer.send(None)
            for frame in there_and_back:
                canvas = Image.new("RGB", (width, height), "white")
                canvas.paste(frame, (0, 0))
                writer.send(np.ascontiguousarray(canvas))
            writer.close()
            video.replace(temporary)
        finally:
            video.unlink(missing_ok=True)
