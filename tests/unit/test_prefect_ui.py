"""What Prefect shows of a run: names that a user chose stay, and progress bars show only while something takes long."""

from __future__ import annotations

import pytest
from prefect.utilities.names import generate_slug

from flows import prefect_ui


def test_a_name_that_prefect_drew_is_known_as_such() -> None:
    assert all(prefect_ui.is_drawn(generate_slug(2)) for _ in range(500))
    assert prefect_ui.is_drawn("Handmade-bear")  # the form in Prefect's UI


@pytest.mark.parametrize(
    "chosen", ["reload-orders", "month end", "friday", "olist-20261123_050000", "fix-2", "Orders-again", "-"]
)
def test_a_name_that_a_person_chose_is_not_taken_for_a_drawn_one(chosen: str) -> None:
    assert not prefect_ui.is_drawn(chosen)


def test_a_table_that_lands_quickly_leaves_no_bar_and_a_slow_one_leaves_none_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[float] = []
    moved: list[float] = []
    gone: list[str] = []

    class Client:
        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def delete_artifact(self, id: str) -> None:
            gone.append(id)

    clock = [0.0]
    monkeypatch.setattr(prefect_ui.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(prefect_ui, "create_progress_artifact", lambda percent, **_: made.append(percent) or "the-bar")
    monkeypatch.setattr(prefect_ui, "update_progress_artifact", lambda _, percent: moved.append(percent))
    monkeypatch.setattr(prefect_ui, "get_client", lambda sync_client: Client())
    with prefect_ui.Bar("olist-orders", "orders") as bar:
        for clock[0] in (0.5, 1.0, 1.9):
            bar("check", 1, 2)
    assert (made, moved, gone) == ([], [], [])
    clock[0] = 0.0
    with prefect_ui.Bar("olist-orders", "orders") as bar:
        for clock[0], phase in ((2.5, "check"), (2.9, "check"), (3.6, "upload")):
            bar(phase, 1, 2)
    assert (made, moved, gone) == ([25.0], [75.0], ["the-bar"])
