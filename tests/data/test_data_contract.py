"""What every format promises: it is recognised, read with one call, decoded by one policy, and fails with our errors."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augury.data import FORMATS, load
from augury.errors import AuguryError, DataError, MissingExtraError, SettingsError
from augury.images import LabelledImages
from tests.helpers import image_files

FUZZ = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


def write(kind: str, root: Path) -> Path:
    package = image_files.MAKERS[kind][2]
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed: this format is an extra")
    return image_files.MAKERS[kind][1](root)


@pytest.mark.parametrize("kind", image_files.MAKERS)
def test_each_format_reads_with_one_call(tmp_path: Path, kind: str) -> None:
    data = load(write(kind, tmp_path / "set"))
    assert len(data) == 6 and len(data.classes) == 2 and sorted(data.counts.tolist()) == [3, 3]
    assert data.notes["format"].split()[0] == image_files.MAKERS[kind][0] and len(data.names) == 6
    assert len(data.fingerprint) == 16 and load(tmp_path / "set" if kind == "idx" else data.notes["source"]).fingerprint
    if kind != "cifar":
        order = [
            image_files.LABELS[i] if data.classes == ("cat", "dog") else str(image_files.CODES[i]) for i in range(6)
        ]
        expected = {(label, image_files.GREY[i].tobytes()) for i, label in enumerate(order)}
        if not kind.startswith("fits"):  # whose brightness is stretched
            assert {(data.classes[c], x.tobytes()) for c, x in zip(data.labels, data.images, strict=True)} == expected


@pytest.mark.parametrize("kind", image_files.MAKERS)
def test_size_and_fit_hold_everywhere(tmp_path: Path, kind: str) -> None:
    path = write(kind, tmp_path / "set")
    assert load(path, size=(20, 12), fit="pad").shape[1:] == (20, 12)
    assert load(path, size=5).notes["size"] == [5, 5]


@pytest.mark.parametrize("kind", [kind for kind in image_files.MAKERS if kind not in ("npz", "pixels")])
def test_pixels_are_mapped_from_the_cache(tmp_path: Path, kind: str) -> None:
    path = write(kind, tmp_path / "set")
    first, second = load(path), load(path)
    assert isinstance(second.images, np.memmap) and first.fingerprint == second.fingerprint
    assert np.array_equal(first.images, second.images) and first.notes == second.notes


def test_every_entry_of_the_table_is_made_here() -> None:
    names = {format.name for format in FORMATS}
    assert names <= {name for name, _, _ in image_files.MAKERS.values()}


def test_format_by_name(tmp_path: Path) -> None:
    path = image_files.imagefolder(tmp_path / "set")
    image_files.written(path, image_files.pictures())
    assert load(path).notes["format"] == "imagefolder"
    assert load(path, format="folder").notes["format"] == "folder"
    with pytest.raises(SettingsError, match="format is 'zip'; choose npz, idx"):
        load(path, format="zip")


def test_an_unknown_path_lists_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.xyz").write_text("?")
    for path in (tmp_path / "x.xyz", tmp_path / "nowhere"):
        with pytest.raises(DataError) as raised:
            load(path)
        assert all(format.looks in str(raised.value) for format in FORMATS)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("x.pkl", "unpickling can run code"),
        ("x.pt", "unpickling can run code"),
        ("x.npy", "no labels"),
        ("x.h5", "npz"),
    ],
)
def test_other_kinds_name_their_remedy(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(DataError, match=remedy):
        load(tmp_path / name)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, 7, {"a": 1}.keys()])
def test_things_that_are_no_path(path: object) -> None:
    with pytest.raises(DataError):
        load(path)  # type: ignore[arg-type]


def test_arrays_are_read_too() -> None:
    assert load((image_files.GREY, list(image_files.LABELS)), size=4).shape == (1, 4, 4)


@pytest.mark.parametrize("kind", ["folder", "npz", "idx", "cifar"])
def test_a_format_without_columns_says_so(tmp_path: Path, kind: str) -> None:
    path = write(kind, tmp_path / "set")
    with pytest.raises(SettingsError, match="has no columns"):
        load(path, columns={"label": "x"})
    with pytest.raises(SettingsError, match="knows no root"):
        load(path, root=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"window": (1, 0)}, "width above 0"), ({"window": "soft"}, "window = 'soft'"), ({"stretch": "log"}, "asinh"),
     ({"columns": {"colour": "x"}}, "columns = .*the roles are image, label, group, split")],
)  # fmt: skip
def test_settings_out_of_range(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(tmp_path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [("parquet", "pyarrow", "hf"), ("dicom", "pydicom", "medical"), ("fits", "astropy", "astro")],
)
def test_a_missing_extra_tells_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str, extra: str
) -> None:
    raw = {"parquet": b"PAR1", "dicom": bytes(128) + b"DICM", "fits": b"SIMPLE  = "}[kind]
    path = tmp_path / "x.parquet"
    path.write_bytes(raw)
    if kind != "parquet":
        path = image_files.written(tmp_path / "in", {"a/x.dcm": raw, "b/y.dcm": raw})
    for module in (package, "pyarrow.parquet", "pydicom.pixels", "astropy.io.fits"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"needs the package {package}.*pip install 'augury\[{extra}\]'"):
        load(path, on_bad="skip")


def fails_well(path: Path) -> None:
    """Reading gives images or one of our errors that names a file, whatever on_bad is."""
    for on_bad in ("error", "skip"):
        try:
            assert isinstance(load(path, on_bad=on_bad), LabelledImages)  # type: ignore[arg-type]
        except MissingExtraError as error:
            assert "pip install" in str(error)
        except AuguryError as error:
            assert str(path.parent) in str(error) and len(str(error)) > 40


@pytest.mark.parametrize("kind", image_files.MAKERS)
@given(seed=st.integers(0, 2**32))
@FUZZ
def test_damaged_files_never_end_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int) -> None:
    """Bits flipped, bytes cut out, put in or zeroed, ends cut off: in any of the files of a set."""
    root = tmp_path_factory.mktemp("fuzz")
    path = write(kind, root / "set")
    draw = random.Random(seed)
    files = sorted(file for file in (root / "set").rglob("*") if file.is_file())
    for file in draw.sample(files, min(2, len(files))):
        raw = bytearray(file.read_bytes())
        for _ in range(draw.randint(1, 8)):
            offset, length = draw.randrange(len(raw) or 1), draw.choice((1, 2, 8, 300))
            damage = draw.randrange(5)
            if damage == 0 and raw:
                raw[offset % len(raw)] ^= 1 << draw.randrange(8)
            elif damage == 1:
                del raw[offset : offset + length]
            elif damage == 2:
                raw[offset:offset] = draw.randbytes(length)
            elif damage == 3:
                raw[offset : offset + length] = bytes(min(length, len(raw) - offset))
            else:
                raw[offset : offset + length] = draw.choice((b"\xff", b"-", b"9", b",", b'"', b"\n", b"/")) * min(
                    length, 4
                )
        if draw.randrange(4) == 0:
            del raw[draw.randrange(len(raw) + 1) :]
        file.write_bytes(raw)
    fails_well(path)
    shutil.rmtree(root)


NAMES = ("x.npz", "x.tar", "x.tar.gz", "x.csv", "x.parquet", "a/train-images-idx3-ubyte.gz", "a/metadata.csv",
         "a/metadata.jsonl", "a/c/x.png", "a/c/x.dcm", "a/c/x.fits", "a/data_batch_1.bin")  # fmt: skip
MAGIC = (b"", b"PK\x03\x04", b"PAR1", b"\x1f\x8b\x08\0", b"\0\0\x08\x03", bytes(128) + b"DICM", b"SIMPLE  =", b"\x89PNG",
         b"file_name,label\n", b"path,label\n", b"{", b"BM", bytes(257) + b"ustar\x0000")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(start=st.sampled_from(MAGIC), body=st.binary(max_size=700))
@FUZZ
def test_random_bytes_never_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, name: str, start: bytes, body: bytes
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    made_at = image_files.written(root, {name: start + body, "a/batches.meta.txt": b"x\ny"})
    fails_well(made_at / ("a" if "/" in name else name))
    shutil.rmtree(root)
