"""The inventory as files, CSV and YAML: read, compared, entered as a whole or not at all, and written out.

    records = read(text, name)      what the file says, with lines            reading.py
    plan = make_plan(records)       what that would change, what is wrong     planning.py
    store(plan)                     all of it, in one transaction             storing.py
    export_csv(), export_yaml()     everything but passwords                  exporting.py

`uploads.py` keeps a file between its preview and its confirmation. The columns are in schema.py and docs/inventory.md.
"""

from machines.inventory.exporting import export_csv, export_yaml
from machines.inventory.plan import Plan
from machines.inventory.planning import make_plan
from machines.inventory.problems import InventoryProblem, Problem
from machines.inventory.reading import read
from machines.inventory.storing import Result, import_text, store

__all__ = [
    "InventoryProblem", "Plan", "Problem", "Result", "export_csv", "export_yaml", "import_text", "make_plan", "read",
    "store",
]  # fmt: skip
