"""Where prompts come from, and what they share: the dataset and the prefix."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, model_validator

from tidemark.plan.base import Name, Path, PlanModel, Real, Whole
from tidemark.plan.problems import Problem, refusals
from tidemark.plan.scenario import MAX_TOKENS

__all__ = ["Dataset", "Prefix"]

# What the engine opens as a file; everything else it takes for the name of a hub dataset.
_FILE_FORMATS = (".txt", ".csv", ".json")
_OTHER_FORMATS = (
    ".jsonl",
    ".ndjson",
    ".parquet",
    ".tsv",
    ".arrow",
    ".gz",
    ".zip",
    ".yaml",
    ".yml",
    ".xlsx",
)
_HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


class Dataset(PlanModel):
    """The texts or images that requests are made of, instead of the engine's own lines."""

    path: Path | None = Field(
        default=None,
        title="Path or name",
        description="A .txt, .csv or .json (list) file, from / on or relative to where the run "
        "starts; or the name of a dataset on the Hugging Face hub.",
        examples=["/data/prompts.txt", "squad"],
    )
    config: Path | None = Field(
        default=None,
        title="Configuration file",
        description="Path of a .json file in the load engine's own dataset format, "
        "instead of path.",
        examples=["/data/vision-dataset.json"],
    )
    prompt_column: Name | None = Field(
        default=None,
        title="Prompt column",
        description="Column that holds the prompts; needed for .csv files and hub datasets.",
        examples=["question"],
    )
    image_column: Name | None = Field(
        default=None,
        title="Image column",
        description="Column that holds the images; needed for tasks with images.",
        examples=["image"],
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None,
        title="SHA-256",
        description="64 hexadecimal digits: the digest of the file. Checked before the first "
        "cell, and part of each cell's identity.",
        examples=["0123456789abcdef" * 4],
    )

    @property
    def is_file(self) -> bool:
        """Whether `path` is a file by its ending, not the name of a hub dataset."""
        return self.path is not None and self.path.lower().endswith(_FILE_FORMATS)

    @property
    def is_hub(self) -> bool:
        """Whether `path` is the name of a dataset on the Hugging Face hub."""
        return self.path is not None and not self.is_file

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise refusals("dataset", problems)
        return self

    def _problems(self) -> list[Problem]:
        if self.path is None and self.config is None:
            return [Problem(("path",), "no dataset is named", "Give path, or config")]
        if self.path is not None and self.config is not None:
            return [Problem(("config",), "is given beside path", "Keep one of the two")]
        if self.config is not None:
            return self._config_problems()
        problems = self._path_problems()
        if not problems and self.prompt_column is None and self.image_column is None:
            if self.path is not None and self.path.lower().endswith(".csv"):
                problems.append(_needs_column("a .csv file"))
            elif self.is_hub:
                problems.append(_needs_column("a hub dataset"))
        return problems

    def _config_problems(self) -> list[Problem]:
        problems = []
        if self.config is not None and not self.config.endswith(".json"):
            problems.append(
                Problem(("config",), "is not a .json file", "Give the path of a .json file")
            )
        problems.extend(
            Problem(
                (name,),
                "has no effect beside config",
                f"Write {name} into the configuration file",
            )
            for name in ("prompt_column", "image_column")
            if getattr(self, name) is not None
        )
        return problems

    def _path_problems(self) -> list[Problem]:
        path = self.path or ""
        where = ("path",)
        if "://" in path:
            return [
                Problem(
                    where,
                    "is a URI, which the load engine cannot open",
                    "Download the dataset and give the path of the file",
                )
            ]
        if path.lower().endswith(_OTHER_FORMATS):
            return [
                Problem(
                    where,
                    "has a format that the load engine cannot read",
                    "Convert it to .txt (a prompt per line), .csv or .json (a list)",
                )
            ]
        if path.startswith("~"):
            return [Problem(where, "~ is not expanded", "Write the path from / on")]
        if not self.is_file and not _HUB_NAME.fullmatch(path):
            return [
                Problem(
                    where,
                    "is neither a .txt, .csv or .json file nor the name of a hub dataset",
                    "Give a file with one of these endings or a name such as org/name; "
                    "for a directory, a configuration file in config",
                )
            ]
        return []


def _needs_column(kind: str) -> Problem:
    return Problem(
        ("prompt_column",), f"is missing, and {kind} has columns", "Name the column of the prompts"
    )


class Prefix(PlanModel):
    """The same beginning for all prompts, to measure a server with prefix caching."""

    length: Whole | None = Field(
        default=None,
        title="Length",
        description=f"Tokens of the shared prefix, from 1 to {MAX_TOKENS}, at most the shortest "
        "input of any scenario.",
        examples=[1000],
        ge=1,
        le=MAX_TOKENS,
    )
    ratio: Real | None = Field(
        default=None,
        title="Ratio",
        description="Share of each input that is the prefix, above 0 and at most 1; "
        "for D scenarios only.",
        examples=[0.5],
        gt=0,
        le=1,
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.length is None) == (self.ratio is None):
            found = Problem(
                ("length",),
                "either length or ratio must be given, and not both",
                "Give length in tokens, or ratio as a share",
            )
            raise refusals("prefix", [found])
        return self
