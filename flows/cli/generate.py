"""`cxm generate`: writes Olist-shaped files, or the files of the MedTech systems around the shipments."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from flows.cli.app import current_settings, json_option, main, make_console, plain, show
from flows.errors import ConfigurationError

DAY = click.DateTime(formats=["%Y-%m-%d"])


@main.command()
@click.option(
    "--source",
    type=click.Choice(["olist", "synthetic"]),
    default="olist",
    show_default=True,
    help="The source to imitate.",
)
@click.option(
    "--scale",
    type=float,
    default=1.0,
    show_default=True,
    help="olist: 1 is the size of the real data set, 1.55 million rows, 120 MB. synthetic: 1 is about 318 rows a working day.",
)
@click.option("--seed", type=int, default=20180101, show_default=True, help="The same seed gives the same bytes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--from", "first", type=DAY, help="Synthetic: the first day, YYYY-MM-DD.")
@click.option("--to", "last", type=DAY, help="Synthetic: the last day.  [default: the first]")
@click.option(
    "--olist",
    type=click.Path(path_type=Path),
    help="Synthetic: folder with the Olist files whose ids are used.  [default: the files that `cxm run` uses]",
)
@click.option(
    "--defects",
    type=float,
    default=0.0,
    show_default=True,
    help="Synthetic: share of wrong rows, to see quarantine work.",
)
@json_option
def generate(
    source: str,
    scale: float,
    seed: int,
    out: Path,
    first: datetime | None,
    last: datetime | None,
    olist: Path | None,
    defects: float,
    as_json: bool,
) -> None:
    """Generate files like those of a source; the same seed gives the same files. Free text has line breaks and quotes.

    olist: its nine files. synthetic: support tickets, NPS surveys, visits and device complaints, one file of each per day,
    about shipments in the Olist files.
    """
    console = make_console(as_json)
    if source == "olist":
        if first or last or olist or defects:
            raise ConfigurationError(
                "--from, --to, --olist, --defects: olist has no days; expected them with --source synthetic"
            )
        from flows.synthetic.olist import generate as make_olist

        files = [plain(f) for f in make_olist(out, scale, seed)]
    else:
        if first is None:
            raise ConfigurationError("--from: got none, expected the first day: --from 2018-03-01 --to 2018-03-31")
        files = _days(out, first.date(), (last or first).date(), seed, scale, olist, defects, as_json)
    show(console, as_json, f"Generated in {out}", files)


def _days(
    out: Path, first: date, last: date, seed: int, scale: float, olist: Path | None, defects: float, as_json: bool
) -> list[dict[str, object]]:
    """Generate the files of each day; returns for each table the number of files, and their total rows and bytes."""
    from flows.cli.run import data_place
    from flows.generated import FIRST_RUN_SCALE
    from flows.places import Folder, is_remote, local, resolved
    from flows.synthetic.medtech import generate as make
    from flows.synthetic.shipments import read_shipments

    console = make_console(as_json)
    text = data_place(current_settings(), "olist", str(olist) if olist else None, FIRST_RUN_SCALE, console)
    place = None if is_remote(text) else resolved(local(Path(text)))
    if not isinstance(place, Folder):
        raise ConfigurationError(
            f"{place or text}: no folder of this machine; expected one with the Olist files; name it with --olist"
        )
    with console.status("generating data") as status:
        made = make(
            out,
            read_shipments(place.path),
            first,
            last,
            seed,
            scale,
            defects,
            lambda day, table, rows: status.update(f"generating {table} of {day}: {rows:,} rows"),
        )
    tables = dict.fromkeys(f.table for f in made)
    of = {t: [f for f in made if f.table == t] for t in tables}
    return [
        {"table": t, "days": len(fs), "rows": sum(f.rows for f in fs), "bytes": sum(f.bytes for f in fs)}
        for t, fs in of.items()
    ]
