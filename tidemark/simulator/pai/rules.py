"""A scenario at work: counts what comes, and says which rule applies."""

from __future__ import annotations

import random
from collections.abc import Collection
from fnmatch import fnmatchcase

from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean
from tidemark.simulator.pai.job_script import JobScript
from tidemark.simulator.pai.scenario import (
    CallEffect,
    CallMatch,
    CallRule,
    JobMatch,
    JobRule,
    Scenario,
)

__all__ = ["Rules", "check_actions"]


def check_actions(scenario: Scenario, actions: Collection[str]) -> None:
    """See that every rule for calls can apply to one of these operations. Raises ConfigError."""
    for index, rule in enumerate(scenario.calls):
        pattern = rule.when.action
        if not any(fnmatchcase(action, pattern) for action in actions):
            raise ConfigError(
                "no operation is called so",
                f"calls[{index}].when.action: {pattern}",
                did_you_mean(pattern, sorted(actions)),
            )


class _Counted:
    """A rule with how often it matched and how often it was used."""

    def __init__(self, when: CallMatch | JobMatch) -> None:
        self._when = when
        self._seen = 0
        self._used = 0

    def applies(self, chance: random.Random) -> bool:
        """Count something that matches, and say whether the rule is for it."""
        when = self._when
        self._seen += 1
        if when.nth is not None and self._seen != when.nth:
            return False
        if when.every is not None and self._seen % when.every:
            return False
        if when.count is not None and self._used >= when.count:
            return False
        if isinstance(when, CallMatch) and when.probability is not None:
            return chance.random() < when.probability
        return True

    def use(self) -> None:
        """The rule is the one that is used."""
        self._used += 1


class Rules:
    """The rules of one scenario, with their counts."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._calls: list[tuple[CallRule, _Counted]] = [
            (rule, _Counted(rule.when)) for rule in scenario.calls
        ]
        self._jobs: list[tuple[JobRule, _Counted]] = [
            (rule, _Counted(rule.when)) for rule in scenario.jobs
        ]
        self._chance = random.Random(scenario.seed)

    def effect(self, action: str, method: str) -> CallEffect | None:
        """What becomes of the next call of this action, None for what is ordinary."""
        applying = [
            (rule, counted)
            for rule, counted in self._calls
            if fnmatchcase(action, rule.when.action)
            and rule.when.method in (None, method)
            and counted.applies(self._chance)
        ]
        if not applying:
            return None
        applying[0][1].use()
        return applying[0][0].then

    def script(self, name: str) -> JobScript:
        """The life of the next job of this name."""
        applying = [
            (rule, counted)
            for rule, counted in self._jobs
            if fnmatchcase(name, rule.when.name) and counted.applies(self._chance)
        ]
        if not applying:
            return JobScript()
        applying[0][1].use()
        return applying[0][0].then
