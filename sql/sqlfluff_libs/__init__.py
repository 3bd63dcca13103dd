"""The templates' own filters, for sqlfluff: what is linted is what is sent."""

from flows.contract.sql import ident, literal

SQLFLUFF_JINJA_FILTERS = {"ident": ident, "literal": literal}
