"""Tests of properties over drawn inputs: a few examples in the default run, many in the slow one."""

import hypothesis
import pytest

# Registered by tests/conftest.py. Derandomized: the default run draws the same examples each time.
PROFILES = {
    "quick": {"max_examples": 12, "derandomize": True},
    "slow": {"max_examples": 1000},
}
_COMMON = {"deadline": None, "database": None, "suppress_health_check": list(hypothesis.HealthCheck)}


def register_profiles():
    for name, settings in PROFILES.items():
        hypothesis.settings.register_profile(name, **_COMMON, **settings)
    hypothesis.settings.load_profile("quick")


def drawn(**strategies):
    """Make a test of a property: a function of values drawn from the strategies that raises where it does not hold.

    The test runs twice: with the profile "quick", and, marked slow, with "slow", which takes up to a minute.
    """

    def decorate(check):
        profiles = ["quick", pytest.param("slow", marks=pytest.mark.slow)]  # slow: 1,000 examples

        @pytest.mark.parametrize("profile", profiles)
        def test(profile):
            settings = hypothesis.settings(hypothesis.settings.get_profile(profile))
            settings(hypothesis.given(**strategies)(check))()

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        return test

    return decorate
