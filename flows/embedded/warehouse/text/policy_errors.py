"""Snowflake's errors about masking policies.

The texts: https://docs.snowflake.com/en/user-guide/security-column-ext-token-intro#error-messages. None of the numbers is
documented; 003531 was seen on accounts.
"""

from __future__ import annotations

from snowflake.connector.errors import ProgrammingError

from flows.embedded.warehouse.text.errors import compilation


def policy_in_use(name: str) -> ProgrammingError:
    """003531: a policy that is set on a column or a tag cannot be dropped or replaced."""
    return ProgrammingError(
        msg=f"SQL compilation error:\nPolicy {name} cannot be dropped/replaced as it is associated with one or more entities.",
        errno=3531,
        sqlstate="23001",
    )


def has_policy() -> ProgrammingError:
    """003545: a second policy on a column."""
    return compilation(
        "Specified column already attached to another masking policy. A column cannot be attached to multiple masking "
        "policies. Please drop the current association in order to attach a new masking policy.",
        3545,
        "23001",
    )


def policy_types(type_: str, masks: str) -> ProgrammingError:
    """003551: a policy whose type is not the column's."""
    return compilation(f"COLUMN data type {type_} does not match with masking policy data type {masks}.", 3551, "42601")


def policy_signature() -> ProgrammingError:
    """003549: a policy whose return type is not that of its first argument."""
    return compilation("Masking policy function argument and return type mismatch.", 3549, "42601")


def lost_policy(name: str) -> ProgrammingError:
    """003548: a column whose policy was dropped with its schema."""
    return ProgrammingError(
        msg="SQL execution error:\nColumn already attached to a masking policy that does not exist. Please contact the policy "
        f"administrator. ({name})",
        errno=3548,
        sqlstate="02000",
    )


def several_policies(column: str) -> ProgrammingError:
    """003574: tags give one column several policies."""
    return compilation(f"Column {column} is mapped to multiple masking policies by tags.", 3574, "23001")


def tag_has_policy(tag: str, masks: str) -> ProgrammingError:
    """003573: a second masking policy of a tag for the same data type
    (https://docs.snowflake.com/en/user-guide/tag-based-masking-policies#overview)."""
    return compilation(f"Tag {tag} already has a masking policy for data type {masks}.", 3573, "23001")
