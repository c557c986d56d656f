"""What the processes of the drill are forked from has all of this imported: they would each import
it again, which takes longer than what they do."""

import gc
import importlib

import dlc_cases  # noqa: F401  (with all that the drill itself imports)

# Prefect, pyarrow and the ledger import these when a run comes to them.
for _name in (
    "anyio._backends._asyncio",
    "dateutil.easter",
    "encodings.idna",
    "fastapi",
    "graphviz",
    "pandas",
    "prefect.task_engine",
    "pyarrow.pandas_compat",
    "sqlalchemy.dialects.sqlite",
    "tarfile",
    "zoneinfo",
):
    importlib.import_module(_name)

# Processes that are forked share it all, as long as nobody counts its references anew.
gc.collect()
gc.freeze()
