"""When a set of files is complete: each of many odd arrivals is started once, and none too early."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.arrivals import Look, Seen, is_loading, looks
from flows.contract.model import Source
from flows.contract.read import read_source
from flows.errors import DataError
from flows.places import Folder, PlaceEntry

SETTLE = timedelta(seconds=60)
START = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Inbox:
    """A place that is looked into every 30 s, and the sets that were started; the test sets time and files."""

    def __init__(self, source: Source, **options: Any) -> None:
        self.source, self.options = source, {"marker": "", **options}
        self.now, self.files, self.memory, self.started = (
            START,
            dict[str, PlaceEntry](),
            dict[str, Seen](),
            list[set[str]](),
        )

    def put(self, *names: str, size: int = 10) -> None:
        for name in names:
            self.files[name] = PlaceEntry(name, size, self.now, f"/in/{name}", str(self.now.timestamp()))

    def look(self, seconds: float = 30) -> Look | None:
        """Look once, record what was started, and return the last set."""
        self.now += timedelta(seconds=seconds)
        result = looks(self.source, list(self.files.values()), self.memory, self.now, SETTLE, **self.options)
        for look in result:
            self.memory[look.key] = look.seen
            if not look.waits:
                self.started.append({entry.name for entry in look.entries})
                self.memory[look.key] = replace(look.seen, run=f"run {len(self.started)}", loading=look.digests)
        return result[-1] if result else None

    def settled(self) -> None:
        for _ in range(4):
            self.look()


@pytest.fixture(scope="module")
def olist() -> Source:
    return read_source("olist")


@pytest.fixture
def names(olist: Source) -> list[str]:
    return [table.file for table in olist.tables]


@pytest.fixture
def inbox(olist: Source) -> Inbox:
    return Inbox(olist)


def test_a_set_that_lies_still_is_started_once(inbox: Inbox, names: list[str]) -> None:
    inbox.put(*names)
    first = inbox.look()
    assert first is not None
    assert "settles" in first.waits
    inbox.settled()
    assert inbox.started == [set(names)]


def test_a_late_file_is_waited_for_and_settles_with_the_others(inbox: Inbox, names: list[str]) -> None:
    inbox.put(*names[:-1])
    for _ in range(5):
        waiting = inbox.look()
    assert waiting is not None
    assert waiting.waits == f"waits for {names[-1]}"
    inbox.put(names[-1])
    inbox.look()
    assert not inbox.started
    inbox.settled()
    assert inbox.started == [set(names)]


def test_a_file_that_changes_while_the_set_settles_starts_the_clock_again(inbox: Inbox, names: list[str]) -> None:
    inbox.put(*names)
    for size in range(11, 16):  # it grows
        inbox.look()
        inbox.put(names[0], size=size)
    assert not inbox.started
    inbox.settled()
    assert inbox.started == [set(names)]


def test_the_same_set_twice_starts_nothing_and_a_new_delivery_does(inbox: Inbox, names: list[str]) -> None:
    inbox.put(*names)
    inbox.settled()
    before = dict(inbox.files)
    inbox.files.clear()
    inbox.look()
    inbox.files.update(before)  # put back as it was
    inbox.settled()
    assert len(inbox.started) == 1
    inbox.put(*names)  # the same names, delivered again
    inbox.settled()
    assert len(inbox.started) == 2


def test_a_marker_put_last_spares_the_settling(olist: Source, names: list[str]) -> None:
    inbox = Inbox(olist, marker="_SUCCESS")
    inbox.put(*names)
    for _ in range(5):
        waiting = inbox.look()
    assert waiting is not None
    assert waiting.waits == "waits for _SUCCESS"
    inbox.put("_SUCCESS")
    inbox.look()
    assert inbox.started == [set(names)]


def test_a_marker_that_came_first_vouches_for_nothing(olist: Source, names: list[str]) -> None:
    inbox = Inbox(olist, marker="_SUCCESS")
    inbox.put("_SUCCESS")
    inbox.look()
    inbox.put(*names)
    inbox.look()
    inbox.put(names[0], size=11)
    inbox.look()
    assert not inbox.started
    inbox.settled()
    assert inbox.started == [set(names)]


def test_a_wrong_letter_case_is_said_and_not_started(inbox: Inbox, names: list[str]) -> None:
    inbox.put(*names[:-1], names[-1].upper())
    for _ in range(5):
        waiting = inbox.look()
    assert waiting is not None
    assert waiting.waits == f"waits for {names[-1]} ({names[-1].upper()} differs in letter case)"
    assert not inbox.started


def test_an_empty_file_settles_and_is_for_the_run_to_refuse(inbox: Inbox, names: list[str]) -> None:
    inbox.put(*names)
    inbox.put(names[0], size=0)
    inbox.settled()
    assert inbox.started == [set(names)]


def test_an_extra_file_starts_nothing(inbox: Inbox, names: list[str]) -> None:
    inbox.put(*names)
    inbox.settled()
    inbox.put("notes.txt", ".hidden")
    inbox.settled()
    assert inbox.started == [set(names)]


def test_a_file_that_comes_after_its_set_joins_a_batch_of_its_own_or_waits(olist: Source, names: list[str]) -> None:
    optional = replace(olist, tables=(*olist.tables[:-1], replace(olist.tables[-1], optional=True)))
    for late, started in (("joins", 2), ("waits", 1)):
        inbox = Inbox(optional, late=late)
        inbox.put(*names[:-1])
        inbox.settled()
        assert inbox.started == [set(names[:-1])]
        inbox.put(names[-1])
        inbox.settled()
        assert len(inbox.started) == started, late
        inbox.put(*names[:-1])  # the next delivery takes it along
        inbox.settled()
        assert inbox.started[-1] == set(names)
        assert len(inbox.started) == started + 1


def test_each_day_is_a_set_of_its_own() -> None:
    source = read_source("synthetic")
    inbox = Inbox(source)
    for day in ("2018-03-02", "2018-03-01"):
        inbox.put(*(table.file.replace("{date}", day) for table in source.tables))
    inbox.put(source.tables[0].file.replace("{date}", "2018-03-03"))
    inbox.settled()
    assert [min(names)[-14:-4] for names in inbox.started] == ["2018-03-01", "2018-03-02"]
    last = inbox.look()
    assert last is not None
    assert "waits for" in last.waits


def test_a_file_of_two_tables_is_an_error(inbox: Inbox, names: list[str]) -> None:
    inbox.put(*names)
    twice = (replace(inbox.source.tables[0], file="olist_*.csv"), *inbox.source.tables[1:])
    inbox.source = replace(inbox.source, tables=twice)
    with pytest.raises(DataError):
        inbox.look()


def test_only_files_as_they_were_loaded_are_moved(tmp_path: Any) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x")
    place = Folder(tmp_path)
    loaded = place.entries()
    seen = Seen("", "", "run", "".join(sorted(look for look in map(_digest, loaded))))
    (tmp_path / "b.csv").write_text("written again")
    files = [entry for entry in place.entries() if is_loading(seen, entry)]
    assert [entry.name for entry in files] == ["a.csv"]
    assert place.dispose(loaded, "done/1") == 1
    assert place.dispose(loaded, "done/1") == 0  # done twice
    assert (tmp_path / "done" / "1" / "a.csv").exists()
    assert (tmp_path / "b.csv").read_text() == "written again"


def test_an_archive_is_moved_whole_and_the_next_one_is_found(tmp_path: Any) -> None:
    import zipfile

    from flows.places import Archive, local, resolved

    def arrive() -> Any:
        with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
            archive.writestr("in/a.csv", "x")
            archive.writestr("in/b.csv", "y")
        return resolved(local(tmp_path))

    place = arrive()
    assert place.dispose(place.entries()[:1], "done/1") == 1
    assert [p.name for p in (tmp_path / "done" / "1").iterdir()] == ["archive.zip"]
    assert isinstance(arrive(), Archive)


def _digest(entry: PlaceEntry) -> str:
    from flows.arrivals import digest

    return digest(entry)
