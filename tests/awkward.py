"""Ten CSV files with oddities that real files have and nobody documents, for the tests of `cxm contract draft`."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from pathlib import Path

DAY = date(2024, 5, 1)
ROWS = 120


def write(folder: Path) -> list[Path]:
    """Write the ten files into `folder`; the name of the function that makes a file says what is awkward in it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "accents.csv": accents_spaces_and_marks(),
        "reserved.csv": words_of_sql(),
        "twins.csv": headers_that_differ_by_case_and_marks(),
        "digits.csv": headers_without_a_letter(),
        "numbers.csv": numbers_in_every_spelling(),
        "nulls.csv": values_that_are_not_there(),
        "texts.csv": quotes_line_ends_and_templates(),
        "single.csv": one_column(),
        "hollow.csv": a_header_alone(),
        f"people_{DAY}.csv": personal_data_and_a_key_of_two_columns(),
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in made]


def _csv(header: list[str], rows: list[list[str]], ends: str = "\n") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=ends)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def accents_spaces_and_marks() -> bytes:
    header = [
        "Visit Id",
        "Nome do Médico",
        "Total (R$)",
        "100 % sure?",
        "état",
        "ÄÖÜ ß",
        "a:b",
        "x # y",
        "- z",
        "{{ name }}",
    ]
    return _csv(
        header, [[f"V{n}", f"Ana {n}", f"{n}.25", "yes", "é", "ß", "1", "#", "-", "{{ 1 }}"] for n in range(ROWS)]
    )


def words_of_sql() -> bytes:
    header = [
        "id",
        "select",
        "order",
        "Group",
        "TABLE",
        "user",
        "from",
        "current_date",
        "null",
        "true",
        "_batch_id",
        "loaded_at",
    ]
    return _csv(header, [[str(n), *"abcdefghij", "k"][: len(header)] for n in range(ROWS)])


def headers_that_differ_by_case_and_marks() -> bytes:
    return _csv(["Key", "key", "KEY", "a b", "a-b", "a_b", "A B"], [[f"k{n}", *"123456"] for n in range(ROWS)])


def headers_without_a_letter() -> bytes:
    return _csv(["2nd", "1", "_", "%", "日本語", "🙂", "'", '"'], [[str(n), *"abcdefg"] for n in range(ROWS)])


def numbers_in_every_spelling() -> bytes:
    header = [
        "no",
        "scientific",
        "signed",
        "code",
        "wide",
        "too_wide",
        "deep",
        "not_quite",
        "day",
        "no_day",
        "at",
        "flag",
        "Flag_2",
        "no_date",
    ]
    rows = [
        [
            str(n), "1e5" if n % 2 else "2.5", f"{'+' if n % 2 else '-'}{n}", f"{n:05}", "9" * 38, "9" * 39, f"0.{n:012}",
            "n/a" if n == 7 else f"{n}.5", f"{date(2024, 1, 1) + timedelta(n)}", "2024-02-30" if n == 9 else "2024-02-28",
            f"2024-02-29 23:59:{n % 60:02}", ["true", "false"][n % 2], ["True", "FALSE", "yes"][n % 3],
            "0001-01-01" if n % 2 else "2024-01-01",
        ]
        for n in range(ROWS)
    ]  # fmt: skip
    return _csv(header, rows)


def values_that_are_not_there() -> bytes:
    header = ["id", "never", "null_word", "NULL_word", "blank", "few", "spaced"]
    rows = [
        [f"{n}", "", "null" if n % 2 else "", "NULL" if n % 2 else "x", "  ", ["", "a", "b"][n % 3], f" v{n % 3} "]
        for n in range(ROWS)
    ]
    return _csv(header, rows)


def quotes_line_ends_and_templates() -> bytes:
    texts = ['say "hi"', "one, two", "line\nbreak", "\\N", "it's", "{{ 7 * 7 }}", "{% raw %}", "--x", "$1", "ends \\"]
    rows = [[f"t{n}", texts[n % len(texts)], texts[n % 5]] for n in range(ROWS)]
    return b"\xef\xbb\xbf" + _csv(["text id", "words", "kind"], rows, ends="\r\n")


def one_column() -> bytes:
    return _csv(["word"], [[f"w{n}"] for n in range(ROWS)])


def a_header_alone() -> bytes:
    return _csv(["id", "opened_at", "narrative"], [])


def personal_data_and_a_key_of_two_columns() -> bytes:
    header = ["visit_no", "line_no", "text id", "E-mail", "Telefone", "CPF", "patient name", "CEP", "state"]
    rows = [
        [
            str(n // 3), str(n % 3), f"t{n}", f"p{n}@example.org", f"(11) 9{n:04}-{n:04}", f"{n:03}.{n:03}.{n:03}-{n % 100:02}",
            f"Ana {n}", f"{n:05}", ["SP", "RJ", "O'B"][n % 3],
        ]
        for n in range(ROWS)
    ]  # fmt: skip
    return _csv(header, rows)
