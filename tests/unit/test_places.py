"""A source's files read alike from a folder and from an archive, packed or not; damaged ones are refused with the reason."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from flows import unpack
from flows.errors import DataError
from flows.generated import is_generated
from flows.places import Folder, is_archive, local, resolved
from flows.steps.land import checksum, inspect
from flows.unpack import Limits
from tests.unit.test_land import table

CONTENT = b"id,name,score\n" + b"".join(b'%d,"name, of %d",%d.5\n' % (n, n, n % 7) for n in range(20_000))


def zip_of_one(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kits.csv", data)
    return out.getvalue()


# A second gzip member and a second zstd frame: tools that append write such files.
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    ".zst": lambda data: zstandard.compress(data[:1000]) + zstandard.compress(data[1000:]),
    ".bz2": bz2.compress,
    ".zip": zip_of_one,
}


def in_folder(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder


def in_zip(folder: Path, name: str, data: bytes) -> Path:
    with zipfile.ZipFile(folder / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._" + name, b"\0")
        archive.writestr("readme.txt", b"about")
        archive.writestr("data/olist/" + name, data)
    return folder / "archive.zip"


def in_tar(mode: str) -> Callable[[Path, str, bytes], Path]:
    def make(folder: Path, name: str, data: bytes) -> Path:
        plain = folder / "archive.tar"
        with tarfile.open(plain, "w") as archive:
            for member, content in (("first.csv", b"x\n1\n"), ("data/" + name, data), ("last.csv", b"x\n1\n")):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        if mode:
            plain.write_bytes(PACKINGS[mode](plain.read_bytes()))
        return plain

    return make


PLACES = {"folder": in_folder, "zip": in_zip, "tar": in_tar(""), "tar.gz": in_tar(".gz"), "tar.zst": in_tar(".zst")}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("where", PLACES)
def test_a_file_is_the_same_wherever_it_is_and_however_it_is_packed(where: str, packing: str, tmp_path: Path) -> None:
    place = PLACES[where](tmp_path, "kits.csv" + packing, PACKINGS[packing](CONTENT))
    if packing == ".zip" and where != "folder":  # a zip is read from its end, which a stream does not have
        with pytest.raises(DataError, match="a zip within an archive"):
            inspect(place / "kits.csv", table())
        return
    facts = inspect(place / "kits.csv", table())
    assert (facts.records, facts.bytes, facts.sha256) == (20_000, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert checksum(place / "kits.csv") == facts.sha256
    with (local(place) / "kits.csv").open() as opened:
        assert opened.file.readline() == b"id,name,score\n"
        opened.file.seek(0)  # landing reads twice what only the csv module can judge
        assert opened.file.read() == CONTENT
    assert local(place).size_of("kits.csv") > 0
    assert "kits.csv" + packing in [entry.name for entry in local(place).entries()]
    assert is_archive(Folder(place.parent), place.name) == (where != "folder")


@pytest.mark.parametrize("packing", [p for p in PACKINGS if p != ".zip"])
def test_the_csv_module_judges_packed_files_too(packing: str, tmp_path: Path) -> None:
    """A quote within a field is not RFC 4180: the second reading begins at the file's start again."""
    place = in_zip(tmp_path, "kits.csv" + packing, PACKINGS[packing](b'id,name,score\n1,a"b,2\n2,c,3,4\n'))
    with pytest.raises(DataError) as caught:
        inspect(place / "kits.csv", table())
    path = place / "data/olist" / ("kits.csv" + packing)
    assert str(caught.value).startswith(f"{path}, line ")


def damaged(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Return file name → its content and words of its refusal."""
    secret = zip_of_one(CONTENT)
    # The flag of encryption, in the local header and in the central directory.
    at = secret.index(b"PK\x01\x02")
    secret = secret[:6] + b"\x01" + secret[7 : at + 8] + b"\x01" + secret[at + 9 :]
    two = io.BytesIO()
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", b"")
        archive.writestr("b.csv", b"")
    half = {name: pack(CONTENT)[: -len(pack(CONTENT)) // 2] for name, pack in PACKINGS.items() if name}
    wrong = bytearray(gzip.compress(CONTENT))
    wrong[-6] ^= 1  # the checksum
    return {
        "cut.gz": (half[".gz"], "ends early"),
        "cut.zst": (half[".zst"], "ends early"),
        "cut.bz2": (half[".bz2"], "ends early"),
        "cut.zip": (half[".zip"], "packed badly"),
        "checksum.gz": (bytes(wrong), "packed badly"),
        "noise.zst": (PACKINGS[".zst"](CONTENT)[:4] + os.urandom(500), "packed badly"),
        "secret.zip": (secret, "pack it without a password"),
        "two.zip": (two.getvalue(), "a zip of 2 files"),
        "other.gz": (b"\xfd7zXZ\0" + b"\0" * 20, "packed with xz"),
    }


@pytest.mark.parametrize("name", damaged(Path()))
def test_what_is_packed_badly_is_refused_with_its_path_and_what_to_do(name: str, tmp_path: Path) -> None:
    content, said = damaged(tmp_path)[name]
    path = tmp_path / f"kits.csv.{name.split('.')[1]}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        inspect(tmp_path / "kits.csv", table())
    assert str(caught.value).startswith(f"{path}: ")
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("packing", [p for p in PACKINGS if p])
def test_a_bomb_is_refused_before_it_is_unpacked(packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "FREE_BYTES", 1_000_000)
    bomb = b"id,name,score\n" + b"1,aaaaaaaaaaaaaaaaaaaaaaaaaaa,2\n" * 100_000
    (tmp_path / ("kits.csv" + packing)).write_bytes(PACKINGS[packing](bomb))

    def read(limits: Limits) -> int:
        with (local(tmp_path, limits) / "kits.csv").open() as opened:
            return sum(len(block) for block in iter(lambda: opened.file.read(100_000), b""))

    with pytest.raises(DataError, match=r"unpacks to more than 1,000,000 bytes from .*CXM_UNPACK_RATIO"):
        read(Limits(ratio=10))
    assert read(Limits(ratio=1_000_000)) == len(bomb)  # let through where the setting says so
    with pytest.raises(DataError, match=r"unpacks to more than 1,000 bytes"):
        read(Limits(ratio=1_000_000, bytes=1000))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    in_folder(tmp_path, "kits.csv", CONTENT)
    in_folder(tmp_path, "kits.csv.gz", gzip.compress(CONTENT))
    with pytest.raises(DataError, match=r"holds kits\.csv and kits\.csv\.gz; expected the CSV file of table kits once"):
        inspect(tmp_path / "kits.csv", table())
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("new/kits.csv", CONTENT)
        archive.writestr("old/kits.csv", CONTENT)
    with pytest.raises(DataError, match=r"holds new/kits\.csv and old/kits\.csv"):
        inspect(tmp_path / "archive.zip" / "kits.csv", table())


@pytest.mark.parametrize("where", PLACES)
def test_a_missing_file_is_told_from_one_in_another_letter_case(where: str, tmp_path: Path) -> None:
    place = PLACES[where](tmp_path, "Kits.CSV", CONTENT)
    with pytest.raises(DataError, match=r"no such file, but Kits\.CSV, which differs in letter case; .*rename it"):
        inspect(place / "kits.csv", table())
    with pytest.raises(DataError, match=r"absent\.csv: no such file; expected the file absent\.csv; put it there"):
        (local(place) / "absent.csv").open().__enter__()
    assert local(place).size_of("absent.csv") == 0
    assert checksum(place / "absent.csv") is None


def test_an_archive_that_somebody_writes_to_is_noticed(tmp_path: Path) -> None:
    place = in_zip(tmp_path, "kits.csv", CONTENT)
    with (local(place) / "kits.csv").open() as opened:
        opened.file.read(10)
        with place.open("ab") as file:
            file.write(b"more")
        with pytest.raises(DataError, match="changed while it was read"):
            opened.refuse_changed()


def test_an_archive_alone_in_a_folder_is_the_place(tmp_path: Path) -> None:
    """Kaggle's download, put into data/olist as it comes."""
    archive = in_zip(tmp_path, "kits.csv", CONTENT)
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert str(resolved(local(tmp_path))) == str(archive)
    in_folder(tmp_path, "kits.csv", CONTENT)
    assert resolved(local(tmp_path)) == Folder(tmp_path)
    assert resolved(local(tmp_path / "absent")) == Folder(tmp_path / "absent")


def test_generated_files_are_known_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr(".generated.json", b'{"files": {"kits.csv": {"bytes": %d}}}' % len(CONTENT))
        archive.writestr("kits.csv", CONTENT)
    assert is_generated(local(tmp_path / "archive.zip"), ["kits.csv"])
    assert not is_generated(local(in_tar("")(tmp_path, "kits.csv", CONTENT)), ["kits.csv"])
    assert local(tmp_path / "archive.zip").read_small("absent") is None
