"""What a plan names on this machine: can it be read, before anything is started?"""

from __future__ import annotations

from pathlib import Path

from tidemark.errors import PlanError
from tidemark.plan.sweep import SweepPlan

__all__ = ["check_dataset", "check_inputs", "check_tokenizer"]


def check_inputs(plan: SweepPlan) -> None:
    """See that the tokenizer and the dataset can be read. Raises PlanError."""
    check_tokenizer(plan)
    check_dataset(plan)


def check_tokenizer(plan: SweepPlan) -> None:
    """See that a tokenizer that lies here can be read and gives tokens. Raises PlanError."""
    name = plan.tokenizer
    if name is None:
        return  # what a plan lacks before it can run is `check_runnable`'s to say
    path = Path(name)
    if not path.is_absolute():
        return
    if not path.is_dir():
        raise PlanError("no such directory", f"tokenizer: {name}", "Correct the path")
    known = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
    if not any((path / file).exists() for file in known):
        raise PlanError(
            f"holds no tokenizer (none of {', '.join(known)})",
            f"tokenizer: {name}",
            "Point to the directory that the model's tokenizer was saved in",
        )
    if (path / "tokenizer.json").exists():
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        except Exception as error:  # the library raises bare Exception
            raise PlanError(
                f"tokenizer.json cannot be read ({error})", f"tokenizer: {name}", "Save it again"
            ) from error
        if not tokenizer.encode("a tide comes in").ids:
            raise PlanError(
                "the tokenizer gives no tokens", f"tokenizer: {name}", "Check tokenizer.json"
            )


def check_dataset(plan: SweepPlan) -> None:
    """See that a dataset that lies here is there. Raises PlanError."""
    if plan.dataset is None:
        return
    for field in ("path", "config"):
        value = getattr(plan.dataset, field)
        if value and Path(value).is_absolute() and not Path(value).exists():
            raise PlanError("no such file", f"dataset.{field}: {value}", "Correct the path")
