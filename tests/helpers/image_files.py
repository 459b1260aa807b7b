"""A small valid set of every format, six images of two classes, made without Augury's own writers."""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("cat", "dog", "dog", "cat", "dog", "cat")
GREY = np.random.default_rng(5).integers(0, 256, (6, 9, 8), np.uint8)
CODES = np.array([0, 1, 1, 0, 1, 0], np.uint8)


def png(i: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(GREY[i]).save(file, "PNG")
    return file.getvalue()


def packed(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, raw in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(raw)
            archive.addfile(header, io.BytesIO(raw))
    return path


def written(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, raw in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)
    return root


def pictures(prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}{label}/{i}.png": png(i) for i, label in enumerate(LABELS)}


def rows(path: Path, header: list[str], table: list[list[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *table])
    return path


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def folder(root: Path) -> Path:
    return written(root, pictures())


def npz(root: Path) -> Path:
    root.mkdir()
    np.savez(root / "set.npz", images=GREY, labels=np.array(LABELS))
    return root / "set.npz"


def idx_folder(root: Path) -> Path:
    return written(root, {"train-images-idx3-ubyte": idx(GREY), "train-labels-idx1-ubyte": idx(CODES)})


def idx_packed(root: Path) -> Path:
    files = {"train-images-idx3-ubyte.gz": idx(GREY), "train-labels-idx1-ubyte.gz": idx(CODES)}
    return written(root, {name: gzip.compress(raw) for name, raw in files.items()}) / "train-images-idx3-ubyte.gz"


def cifar(root: Path) -> Path:
    colour = np.random.default_rng(1).integers(0, 256, (6, 3072), np.uint8)
    records = np.concatenate([CODES[:, None], colour], axis=1)
    files = {"data_batch_1.bin": records[:4].tobytes(), "test_batch.bin": records[4:].tobytes()}
    return written(root, {**files, "batches.meta.txt": b"cat\ndog\n\n"})


def table(root: Path) -> Path:
    written(root, pictures("images/"))
    names = [f"images/{label}/{i}.png" for i, label in enumerate(LABELS)]
    return rows(root / "labels.csv", ["path", "label"], [[n, label] for n, label in zip(names, LABELS, strict=True)])


def pixels(root: Path) -> Path:
    header = [f"{r}x{c}" for r in range(1, 10) for c in range(1, 9)]
    return rows(root / "set.csv", ["label", *header], [[c, *x.ravel()] for c, x in zip(LABELS, GREY, strict=True)])


def imagefolder(root: Path) -> Path:
    written(root, {f"{i}.png": png(i) for i in range(6)})
    lines = [json.dumps({"file_name": f"{i}.png", "label": label}) for i, label in enumerate(LABELS)]
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return root


def tar(root: Path) -> Path:
    root.mkdir()
    return packed(root / "set.tar", pictures())


def tar_packed(root: Path) -> Path:
    root.mkdir()
    return packed(root / "set.tgz", pictures("pets/"), "w:gz")


def webdataset(root: Path) -> Path:
    root.mkdir()
    members: dict[str, bytes] = {}
    for i, label in enumerate(LABELS):
        members |= {f"s{i}.png": png(i), f"s{i}.cls": str(CODES[i]).encode()}
        members |= {f"s{i}.json": json.dumps({"label": label, "id": i}).encode()}
    return packed(root / "shard-000.tar", members)


def parquet(root: Path) -> Path:
    import pyarrow
    import pyarrow.parquet

    root.mkdir()
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    cells = pyarrow.table(
        {"image": [{"bytes": png(i), "path": f"{i}.png"} for i in range(6)], "label": [int(c) for c in CODES]}
    )
    cells = cells.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pyarrow.parquet.write_table(cells, root / "set.parquet")
    return root / "set.parquet"


def dicom_file(values: np.ndarray, **facts: object) -> bytes:
    """An uncompressed DICOM file of uint8 or uint16 [H, W]."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    bits = values.dtype.itemsize * 8
    attributes = {
        "SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": "1.2.3", "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "Rows": values.shape[0], "Columns": values.shape[1],
        "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 0,
        "PixelData": values.tobytes(),
    }  # fmt: skip
    for name, value in {**attributes, **facts}.items():
        setattr(data, name, value)
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def dicom(root: Path) -> Path:
    facts = {"WindowCenter": 128.0, "WindowWidth": 256.0}
    return written(root, {f"{c}/{i}.dcm": dicom_file(GREY[i], **facts) for i, c in enumerate(LABELS)})


def fits_file(values: np.ndarray) -> bytes:
    from astropy.io import fits

    file = io.BytesIO()
    fits.PrimaryHDU(values).writeto(file)
    return file.getvalue()


def fits(root: Path) -> Path:
    return written(root, {f"{c}/{i}.fits": fits_file(GREY[i].astype(np.float32)) for i, c in enumerate(LABELS)})


def fits_gzipped(root: Path) -> Path:
    return written(
        root, {f"{c}/{i}.fits.gz": gzip.compress(fits_file(GREY[i].astype(np.float32))) for i, c in enumerate(LABELS)}
    )


def fits_tiled(root: Path) -> Path:
    from astropy.io import fits

    files = {}
    for i, c in enumerate(LABELS):
        file = io.BytesIO()
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(GREY[i].astype(np.int16))]).writeto(file)
        files[f"{c}/{i}.fits.fz"] = file.getvalue()
    return written(root, files)


def stylegan(root: Path) -> Path:
    """StyleGAN's numbered folders are shards, not classes."""
    names = [f"{i // 2:05d}/img{i:08d}.png" for i in range(6)]
    labels = [[name, int(code)] for name, code in zip(names, CODES, strict=True)]
    files = {name: png(i) for i, name in enumerate(names)}
    return written(root, {**files, "dataset.json": json.dumps({"labels": labels}).encode()})


MAKERS: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "folder": ("folder", folder, ""),
    "npz": ("npz", npz, ""),
    "idx": ("idx", idx_folder, ""),
    "idx.gz": ("idx", idx_packed, ""),
    "cifar": ("cifar", cifar, ""),
    "csv": ("csv", table, ""),
    "pixels": ("pixels", pixels, ""),
    "imagefolder": ("imagefolder", imagefolder, ""),
    "tar": ("tar", tar, ""),
    "tar.gz": ("tar", tar_packed, ""),
    "webdataset": ("webdataset", webdataset, ""),
    "parquet": ("parquet", parquet, "pyarrow"),
    "dicom": ("folder", dicom, "pydicom"),
    "fits": ("folder", fits, "astropy"),
    "fits.gz": ("folder", fits_gzipped, "astropy"),
    "fits.fz": ("folder", fits_tiled, "astropy"),
    "stylegan": ("stylegan", stylegan, ""),
}
"""Name -> the format it is read as, who makes it, the package that it needs."""
