"""Snowflake's SQL format models of numbers: '$99.0' and -12.391 → '-$12.4', '9,999.99' and '3,741.72' → 3741.72.

format ──models──▶ its elements ──write(number)──▶ text; `number_reading` goes the other way

https://docs.snowflake.com/en/sql-reference/sql-format-models
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext
from functools import lru_cache
from typing import Literal

from flows.embedded.warehouse.text import errors

_TOKENS = re.compile(
    r'"((?:[^"]|"")*)"|(FM|FX|TM9|TME|TM|MI|E{2,7})|([.,$%0-9DGSBX_;:\-=/()| ])', re.I | re.S
)  # fmt: skip
EXACT = Context(prec=80, rounding=ROUND_HALF_UP)
_MOST_DIGITS_OF_EXPONENT = {3: 1, 4: 2, 5: 3, 6: 4, 7: 5}

Kind = Literal["text", "sign", "dollar", "digits"]


@dataclass
class Model:
    """A format without alternatives. `parts` are its pieces in their order: (kind, what it is)."""

    parts: list[tuple[Kind, str]] = field(default_factory=list)
    before: str = ""  # the digits before the point, with their separators: "9,990"
    after: str = ""  # the digits after the point
    point: bool = False
    hexadecimal: str = ""  # X or x
    exponent: str = ""  # EE, EEE … as written
    minimal: str = ""  # TM, TM9, TME as written
    blank_zero: bool = False
    compact: bool = False
    percent: bool = False

    @property
    def signed(self) -> str:
        """S or MI, if the format says where the sign goes."""
        return next((what for kind, what in self.parts if kind == "sign"), "")


@lru_cache(maxsize=512)
def models(format_: str) -> tuple[Model, ...]:
    """Parse the alternatives of a format, any of which may match a text. Raises 000002 for an unsupported element."""
    return tuple(_model(part, format_) for part in _alternatives(format_))


def _alternatives(format_: str) -> list[str]:
    parts, quoted = [""], False
    for character in format_:
        quoted ^= character == '"'
        if character == "|" and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return ["TM" if part.strip().upper() == "AUTO" else part for part in parts]


def _model(text: str, whole: str) -> Model:
    made, at = Model(), 0
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            raise errors.unsupported(f"'{text[at]}' in the format '{whole}' of a number")
        at = match.end()
        literal, word, character = match.groups()
        if literal is not None:
            made.parts.append(("text", literal.replace('""', '"')))
        elif word is not None:
            _word(made, word, whole)
        else:
            _character(made, character, whole)
    if not (made.minimal or made.before or made.after):
        raise errors.unsupported(f"the format '{whole}' of a number without digits")
    if made.minimal and (made.before or made.after):
        raise errors.unsupported(f"the format '{whole}' of a number, with TM and digits")
    if made.exponent and (made.hexadecimal or made.blank_zero):
        raise errors.unsupported(f"the exponent in the format '{whole}'")
    return made


def _word(made: Model, word: str, whole: str) -> None:
    name = word.upper()
    if name == "FM":
        made.compact = not made.compact
        if made.before or made.after or made.minimal:
            raise errors.unsupported(f"FM behind the digits of the format '{whole}'")
    elif name == "FX":
        raise errors.unsupported(f"FX in the format '{whole}'")
    elif name == "MI":
        _once(made, "sign", "MI", whole)
    elif name.startswith("TM"):
        made.minimal = word
        _once(made, "digits", "", whole)
    else:
        made.exponent = word


def _character(made: Model, character: str, whole: str) -> None:
    name = character.upper()
    started = bool(made.before or made.after)
    if name == "S":
        _once(made, "sign", "S", whole)
    elif name == "$":
        _once(made, "dollar", "$", whole)
    elif name == "B":
        made.blank_zero = True
    elif name == "%":
        made.percent = True
        made.parts.append(("text", "%"))
    elif name == "_":
        raise errors.unsupported(f"'_' in the format '{whole}'")
    elif name in "09X":
        if not any(kind == "digits" for kind, _ in made.parts):
            made.parts.append(("digits", ""))
        elif made.parts[-1][0] != "digits":
            raise errors.unsupported(f"digits in two places in the format '{whole}'")
        if name == "X":
            made.hexadecimal = character
        if made.point:
            made.after += name
        else:
            made.before += name
    elif name in ".D" and (started or name == "D"):
        if made.point or made.hexadecimal:
            raise errors.unsupported(f"a second point in the format '{whole}'")
        made.point = True
    elif name in ",G" and (started or name == "G"):
        if made.point:
            raise errors.unsupported(f"a separator behind the point in the format '{whole}'")
        made.before += ","
    elif name == "." and not started:
        made.point = True
        made.parts.append(("digits", ""))
    elif name.isdigit():
        raise errors.unsupported(f"'{character}' in the format '{whole}' of a number")
    else:
        made.parts.append(("text", character))


def _once(made: Model, kind: Kind, what: str, whole: str) -> None:
    if any(k == kind for k, _ in made.parts):
        raise errors.unsupported(f"two {what or 'numbers'} in the format '{whole}'")
    made.parts.append((kind, what))


# ---- number out


def write(format_: str, number: str, floating: bool) -> str:
    """Write a number, given as text, in a format. Raises 000002 where Snowflake's page does not say what the result is."""
    model = models(format_)[0]
    with localcontext(EXACT):
        try:
            value = Decimal(number)
        except InvalidOperation:
            raise errors.unsupported(f"TO_CHAR of '{number}' with the format '{format_}'") from None
        if model.percent:
            value = value.scaleb(2)
        if model.minimal:
            if floating:
                raise errors.unsupported(f"TO_CHAR of a FLOAT with the format '{format_}'")
            return _assembled(model, value < 0, _minimal(model, abs(value)))
        if not value.is_finite():
            return _assembled(model, False, _overflown(model))
        return _fixed(model, value, format_)


def _minimal(model: Model, value: Decimal) -> str:
    plain = f"{value:f}"
    digits = "".join(map(str, value.as_tuple().digits)).strip("0") or "0"
    first = value.adjusted() if value else 0
    scientific = (
        digits[0]
        + ("." + digits[1:] if len(digits) > 1 else "")
        + ("E" if model.minimal[0] == "T" else "e")
        + str(first)
    )
    kind = model.minimal.upper()
    shown = plain if kind == "TM9" else scientific if kind == "TME" else min(plain, scientific, key=len)
    return "" if model.blank_zero and not value else shown


def _fixed(model: Model, value: Decimal, format_: str) -> str:
    tail = ""
    if model.exponent:
        value, tail = _normalized(model, value, format_)
    rounded = value.quantize(Decimal(1).scaleb(-len(model.after)))
    if model.hexadecimal:
        return _hexadecimal(model, value, format_)
    plain = f"{abs(rounded):f}"
    whole, _, fraction = plain.partition(".")
    whole = whole.lstrip("0")
    places = model.before.replace(",", "")
    if len(whole) > len(places):
        return _assembled(model, value < 0, _overflown(model))
    zeros = len(places) - places.index("0") if "0" in places else 0
    if not whole and not zeros and places and not model.blank_zero:
        whole = "0"
    before = _grouped(model.before, whole.zfill(max(zeros, len(whole))) if zeros else whole)
    least = model.after.rfind("0") + 1
    trimmed = fraction.rstrip("0") if len(fraction.rstrip("0")) > least else fraction[:least]
    after = ("." if model.point else "") + trimmed + " " * (len(fraction) - len(trimmed))
    return _assembled(model, rounded < 0, before + after + tail)


def _normalized(model: Model, value: Decimal, format_: str) -> tuple[Decimal, str]:
    """Return a number with one digit before the point, and its exponent as text."""
    if len(model.before.replace(",", "")) != 1:
        raise errors.unsupported(f"an exponent behind several digits in the format '{format_}'")
    exponent = value.adjusted() if value else 0
    scaled = value.scaleb(-exponent).quantize(Decimal(1).scaleb(-len(model.after)))
    if abs(scaled) >= 10:
        exponent += 1
        scaled = value.scaleb(-exponent)
    letter, size = model.exponent[0], len(model.exponent)
    if size == 2:
        if not model.compact:
            raise errors.unsupported(f"EE without FM in the format '{format_}'")
        return scaled, f"{letter}{exponent}"
    width = _MOST_DIGITS_OF_EXPONENT[size]
    digits = str(abs(exponent)).zfill(width)
    return scaled, letter + ("-" if exponent < 0 else "+") + (digits if len(digits) <= width else "#" * width)


def _grouped(places: str, digits: str) -> str:
    """Put digits in their places, from the right; a separator is written if it has digits on both sides."""
    made: list[str] = []
    left = list(digits)
    for place in reversed(places):
        if place == ",":
            made.append("," if left and made and made[-1] != " " else " ")
        else:
            made.append(left.pop() if left else " ")
    return "".join(reversed(made))


def _hexadecimal(model: Model, value: Decimal, format_: str) -> str:
    whole = int(value)
    if int(value.to_integral_value()) != whole:
        raise errors.unsupported(f"a number with a fraction of one half or more in the format '{format_}'")
    places = model.before
    if "," in places:
        raise errors.unsupported(f"a separator in the format '{format_}'")
    if whole < 0 and not model.signed:
        if -whole > 16 ** len(places) // 2:
            return _assembled(model, False, "#" * len(places), bare=True)
        whole += 16 ** len(places)
    digits = f"{abs(whole):x}" if model.hexadecimal == "x" else f"{abs(whole):X}"
    if len(digits) > len(places):
        digits = "#" * len(places)
    zeros = len(places) - places.index("0") if "0" in places else 0
    return _assembled(model, whole < 0, digits.zfill(zeros).rjust(len(places)), bare=not model.signed)


def _overflown(model: Model) -> str:
    point = "." if model.point else ""
    return re.sub(r"[09X]", "#", model.before) + point + "#" * len(model.after)


def _assembled(model: Model, negative: bool, number: str, bare: bool = False) -> str:
    """Return the number with its sign and currency; padding on the left comes before them."""
    padding = " " * (len(number) - len(number.lstrip(" "))) if number.strip() else ""
    number = number[len(padding) :]
    kinds = [kind for kind, _ in model.parts]
    at = kinds.index("digits")
    sign = ""
    if model.signed == "S":
        sign = "-" if negative else "+"
    elif model.signed == "MI":
        sign = "-" if negative else " "
    elif model.minimal:
        sign = "-" if negative else ""
    elif not bare:
        sign = "-" if negative else " "
    made: list[str] = []
    dollar = "$" if "dollar" in kinds and kinds.index("dollar") < at else ""
    floating = sign if model.signed != "MI" and not (model.signed and kinds.index("sign") > at) else ""
    for kind, what in model.parts:
        if kind == "text":
            made.append(what)
        elif kind == "digits":
            made.append(_compacted(model, padding + floating + dollar + number))
        elif kind == "sign" and not floating:
            made.append(sign.strip() if model.compact else sign)
        elif kind == "dollar" and not dollar:
            made.append("$")
    return "".join(made)


def _compacted(model: Model, text: str) -> str:
    return text.replace(" ", "") if model.compact else text
