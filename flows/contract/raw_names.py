"""A header → the name of its RAW column: upper case, and legal without quotes."""

from __future__ import annotations

import re
import unicodedata

from flows.contract.sql import ident
from flows.errors import ConfigurationError


def words_of(header: str) -> list[str]:
    """`NomeDoMédico_2` → [nome, do, medico, 2]: the words of a header, lower case, without accents."""
    plain = unicodedata.normalize("NFKD", header).encode("ascii", "ignore").decode()
    return re.findall(r"[a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", plain).lower())


def raw_name(header: str, table: str) -> str:
    """`Nome do médico` → NOME_DO_MEDICO, `2nd` of table visits → VISITS_2ND; two headers may give one name."""
    plain = header.upper()
    name = plain if _is_legal(plain) else "_".join(words_of(header)).upper() or "COLUMN"
    return name if _is_legal(name) else f"{table.upper()}_{name}"


def _is_legal(name: str) -> bool:
    try:
        ident(name)
    except ConfigurationError:
        return False
    return True
