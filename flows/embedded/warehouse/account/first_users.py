"""The first users of an account: reads the `--users` file and creates its users, with the passwords of that file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.embedded.warehouse.account.account import Account
from flows.embedded.warehouse.account.objects import ACCOUNTADMIN, AccountObject, Grant


class FirstUsers:
    """The users that an account begins with: `{"home": mark, "users": {NAME: {"password": …, "roles": […]}}}`, the first of them
    its administrator.

    They are users of the account like others; their passwords are read from the file at each login, so a changed password
    takes effect at once. A role of theirs that is created later is granted at their next login.

    Raises OSError or ValueError when the file cannot be read.
    """

    def __init__(self, path: Path, account: Account) -> None:
        self._path, self._account = path, account
        for name in self._read()["users"]:
            self.enter(name)

    def _read(self) -> Any:
        document = json.loads(self._path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or not document.get("users"):
            raise ValueError(
                f'{self._path}: no users; expected {{"home": …, "users": {{NAME: {{"password": …, "roles": […]}}}}}}'
            )
        return document

    @property
    def administrator(self) -> str:
        """The first user. It may take on every role: holding ACCOUNTADMIN, it could grant itself any."""
        return str(next(iter(self._read()["users"])))

    @property
    def mark(self) -> str:
        """The text before the dot in this home's passwords."""
        return str(self._read().get("home", ""))

    def enter(self, name: str) -> str | None:
        """Return a first user's password, None for everyone else; registers the user and grants its roles if they are missing."""
        entry = self._read()["users"].get(name)
        if entry is None:
            return None
        if self._account.find("USER", name) is None:
            properties = {"LOGIN_NAME": name, "DEFAULT_ROLE": entry["roles"][0], "DEFAULT_SECONDARY_ROLES": []}
            self._account.create(
                AccountObject("USER", name, ACCOUNTADMIN, "came with the account", properties=properties)
            )
        held = (role for role in entry["roles"] if self._account.find("ROLE", role))
        self._account.grant([Grant("USAGE", "ROLE", role, "USER", name) for role in held])
        return str(entry["password"])
