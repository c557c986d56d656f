"""Metric definitions, verdicts, the parquet schema, the store."""
