"""Saved configuration shown in the Prefect UI."""
