"""Which files count as generated, and where a run looks for files."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.generated import is_generated, source_place
from flows.places import local
from flows.settings import Settings
from flows.synthetic.olist import FILES, generate


@pytest.fixture
def made(tmp_path: Path) -> Path:
    generate(tmp_path / "home" / "generated" / "0.05" / "olist", scale=0.0001)
    return tmp_path / "home" / "generated" / "0.05" / "olist"


def test_a_folder_is_generated_by_its_marker_also_after_an_edit(made: Path) -> None:
    files = list(FILES.values())
    assert is_generated(local(made), files)
    (made / "olist_sellers_dataset.csv").write_text("seller_id\nx\n")
    assert is_generated(local(made), files)


def test_real_files_that_were_put_over_generated_ones_are_real(made: Path) -> None:
    """The category names are the same bytes in the real set, so one unchanged file does not make the others generated."""
    for name in FILES.values():
        if name != "product_category_name_translation.csv":
            (made / name).write_text("the user's own\n")
    assert not is_generated(local(made), FILES.values())


def test_no_marker_or_a_broken_one_means_the_files_are_the_users_own(made: Path) -> None:
    (made / ".generated.json").write_text("[]")
    assert not is_generated(local(made), FILES.values())


def test_generated_files_are_read_only_while_the_sources_folder_is_empty(tmp_path: Path, made: Path) -> None:
    settings = Settings(home=tmp_path / "home", data=tmp_path / "data")
    own = tmp_path / "data" / "olist"
    assert source_place(settings, "olist") == str(made)
    own.mkdir(parents=True)
    (own / ".gitkeep").touch()
    assert source_place(settings, "olist") == str(made)
    (own / "OLIST_ORDERS_DATASET.CSV").touch()
    assert source_place(settings, "olist") == str(own)
    (own / "OLIST_ORDERS_DATASET.CSV").unlink()
    assert source_place(settings.model_copy(update={"target": "snowflake"}), "olist") == str(own)


@pytest.mark.parametrize(
    ("target", "there"),
    [
        ("snowflake", None),
        ("snowflake", "archive.zip"),
        ("embedded", "archive.zip"),
        ("embedded", "OLIST_ORDERS_DATASET.CSV"),
    ],
)
def test_no_rows_are_generated_for_an_account_nor_beside_any_file(
    target: str, there: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXM_TARGET", target)
    monkeypatch.setenv("CXM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CXM_DATA", str(tmp_path / "data"))
    own = tmp_path / "data" / "olist"
    own.mkdir(parents=True)
    if there:
        (own / there).touch()
    result = CliRunner().invoke(main, ["run"])
    assert result.exit_code == 2, result.output
    assert f"{own}: expected the CSV files of olist, got {there or 'no file'}" in result.output
    assert "name" in result.output
    assert "--data" in result.output
    assert not (tmp_path / "home" / "generated").exists()


def test_generated_files_that_are_named_are_refused_by_an_account(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import tasks
    from flows.errors import ConfigurationError
    from flows.ledger import RunInfo

    monkeypatch.setenv("CXM_TARGET", "snowflake")
    with pytest.raises(ConfigurationError, match=r"made by `cxm generate`.*embedded target only"):
        tasks.open_batch.fn("olist", str(made), RunInfo("20260101_000000"), (), False)
