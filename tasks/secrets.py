"""Secrets that Prefect keeps: what a `prefect:NAME` reference leads to."""

from __future__ import annotations

from blocks.kept_secret import read_kept_secret as read_block

__all__ = ["read_block"]
