"""A saved result store: where results go, and by which references it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from prefect.blocks.core import Block
from pydantic import AfterValidator, Field, HttpUrl, model_validator

from blocks.kept import DOCUMENTATION, LOGOS, without_block_type
from blocks.store_settings import SCHEMES, settings_field, settings_of
from tidemark.errors import StoreError
from tidemark.plan.base import PlanModel
from tidemark.plan.problems import Problem, refusal, refusals
from tidemark.results.locations import parse_location
from tidemark.results.options import check_together, sort_parameters

__all__ = ["ResultStore"]

_S3 = settings_of("s3")
_OSS = settings_of("oss")
_OCI = settings_of("oci")
_AZURE = settings_of("az")
_GCS = settings_of("gs")
_GITHUB = settings_of("github")
_PVC = settings_of("pvc")


def _location(uri: str) -> str:
    try:
        return str(parse_location(uri))
    except StoreError as error:
        raise refusal(error.what, error.remedy or "Correct it") from None


class ResultStore(Block, PlanModel):
    """
    A place for results: a folder, a bucket, a release, a volume. It holds no secret: credentials
    are references, or are left to the environment, a profile or a role.

    Example:
        Keep the results of a sweep in a saved store:
        ```python
        from blocks import ResultStore
        from flows.sweep import sweep

        saved = ResultStore.load("BLOCK_NAME")
        asyncio.run(sweep(plan, result_store=saved))
        ```
    """

    _block_type_name = "Result Store"
    _block_type_slug = "result-store"
    _logo_url = HttpUrl(f"{LOGOS}/filesystem.png")
    _documentation_url = HttpUrl(DOCUMENTATION)

    uri: Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_location)] = Field(
        title="Location",
        description="A folder (a path or file:///path), s3://bucket/path, oss://bucket/path, "
        "az://account/container/path, gs://bucket/path, oci://n/namespace/b/bucket/o/path, "
        "github://owner/repository@tag or pvc://claim/path.",
        examples=["oss://my-bucket@cn-hangzhou/benchmarks", "/data/results"],
    )
    s3: _S3 | None = settings_field("s3")  # type: ignore[valid-type]
    oss: _OSS | None = settings_field("oss")  # type: ignore[valid-type]
    oci: _OCI | None = settings_field("oci")  # type: ignore[valid-type]
    az: _AZURE | None = settings_field("az")  # type: ignore[valid-type]
    gs: _GCS | None = settings_field("gs")  # type: ignore[valid-type]
    github: _GITHUB | None = settings_field("github")  # type: ignore[valid-type]
    pvc: _PVC | None = settings_field("pvc")  # type: ignore[valid-type]

    @classmethod
    def of(cls, uri: str, parameters: Mapping[str, str]) -> Self:
        """A store with parameters by the names of `plan/store_parameters.py` or of a BenchmarkJob.

        Raises StoreError for one that cannot be used there.
        """
        scheme = parse_location(uri).scheme
        options, credentials = sort_parameters(scheme, parameters)
        given = {**options, **credentials}
        return cls.model_validate({"uri": uri, **({scheme: given} if given else {})})

    @model_validator(mode="before")
    @classmethod
    def _as_kept(cls, data: Any) -> Any:
        return without_block_type(data, cls.get_block_type_slug())

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = self._problems()
        if problems:
            raise refusals("result store", problems)
        return self

    def _problems(self) -> list[Problem]:
        location = parse_location(self.uri)
        problems = [
            Problem((name,), f"has no effect on a {location.scheme}:// store", "Remove it")
            for name in SCHEMES
            if name != location.scheme and self._settings(name)
        ]
        try:
            options, credentials = self._sorted()
            check_together(options, credentials, location.scheme, location.scheme)
        except StoreError as error:
            problems.append(Problem((location.scheme,), error.what, error.remedy or "Correct it"))
            return problems
        region = getattr(location, "region", None)
        if region and options.get("region", region) != region:
            where = (location.scheme, "region")
            problems.append(
                Problem(where, "is another than the one in the location", "Keep one of them")
            )
        return problems

    def _settings(self, scheme: str) -> dict[str, str]:
        given = getattr(self, scheme, None)
        values = (
            {} if given is None else {name: getattr(given, name) for name in given.model_fields_set}
        )
        return {name: value for name, value in values.items() if value is not None}

    def _sorted(self) -> tuple[dict[str, str], dict[str, str]]:
        scheme = parse_location(self.uri).scheme
        return sort_parameters(scheme, self._settings(scheme))

    @property
    def options(self) -> dict[str, str]:
        """The options of `tidemark.results.store.open_store`, by name."""
        return self._sorted()[0]

    @property
    def credentials(self) -> dict[str, str]:
        """What opens the store, by the names that `open_store` gives it: references, and ids."""
        return self._sorted()[1]
