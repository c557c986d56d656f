"""What a pass of the reaper came to, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from tidemark.alibaba.reaping import Reaped, ReapReport
from tidemark.money.amounts import sum_text

__all__ = ["report_lines"]


def report_lines(report: ReapReport) -> list[str]:
    """One line for each thing that was done, or would be, or was left; then the money saved."""
    if report.refused is not None:
        return [f"nothing was touched: {report.refused}"]
    return [*_lines(report)]


def _lines(report: ReapReport) -> Iterator[str]:
    would = report.dry_run
    for one in report.reaped:
        yield f"{one.lease_id}: {_done(one, would)} ({one.why})"
    for left in report.left:
        word = "could not be ended" if left.failed else "left as it is"
        yield f"{left.job_id or left.name}: {word}: {left.why}"
    for run_id in report.closed:
        verb = "would be closed" if would else "is closed"
        yield f"run {run_id}: nobody works on it any more: it {verb}, and its money is free"
    if not report.reaped and not report.left and not report.closed:
        yield "nothing is left over"
    for currency, amount in report.saved.items():
        verb = "would save" if would else "saved"
        yield f"{verb} at most {sum_text(amount, currency)}"


def _done(one: Reaped, would: bool) -> str:
    if one.stopped:
        return f"{'would stop' if would else 'stopped'} {', '.join(one.stopped)}"
    if one.ended:
        return f"{', '.join(one.ended)} had ended: {'would close' if would else 'closed'} its lease"
    return f"no job: {'would close' if would else 'closed'} its lease"
