"""The emulated warehouse's layers, as `make lint` checks them."""

from __future__ import annotations

import tomllib

from flows.settings import PROJECT


def test_the_emulated_warehouse_may_import_no_module_of_flows_but_its_own() -> None:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [c for c in contracts if c["name"] == "The emulated warehouse knows nothing of flows"]
    flows = PROJECT / "flows"
    modules = {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        for folder in (flows, flows / "embedded")
        for path in folder.iterdir()
        if path.name not in ("__init__.py", "embedded", "warehouse")
        and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert sorted(contract["forbidden_modules"]) == sorted(modules)
