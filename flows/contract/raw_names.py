"""Makes the name of a RAW column from a header: upper case, and valid without quotes."""

from __future__ import annotations

import re
import unicodedata

from flows.contract.sql import ident
from flows.errors import ConfigurationError


def words_of(header: str) -> list[str]:
    """Split a header into words, in lower case and without accents: `NomeDoMédico_2` → [nome, do, medico, 2]."""
    plain = unicodedata.normalize("NFKD", header).encode("ascii", "ignore").decode()
    return re.findall(r"[a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", plain).lower())


def raw_name(header: str, table: str) -> str:
    """Make the RAW name of a header: `Nome do médico` → NOME_DO_MEDICO, `2nd` of table visits → VISITS_2ND. Not always unique."""
    plain = header.upper()
    name = plain if _is_legal(plain) else "_".join(words_of(header)).upper() or "COLUMN"
    return name if _is_legal(name) else f"{table.upper()}_{name}"


def _is_legal(name: str) -> bool:
    try:
        ident(name)
    except ConfigurationError:
        return False
    return True
