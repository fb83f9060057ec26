"""The API does what its documentation says: schemathesis makes up requests, good and bad, and checks every answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.console_bed import made_up_settings, made_up_sources, serving

pytestmark = pytest.mark.integration

TOKEN = "a-token-that-nobody-guesses"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
EXAMPLES = 10
"""Requests that are made up for each operation, of each kind."""
ENDLESS = "/api/events"
PICTURES = "/predict"
"""No schema says which bytes are a picture."""
REFUSED = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]
CHECKS = {
    "checks": {"negative_data_rejection": {"expected-statuses": REFUSED}},
    "operations": [
        {  # whether rules can be read and whether bytes are a picture, no schema says
            "include-path-regex": "^/(predict|api/replays)$",
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]}},
        }
    ],
}
kept_short = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = made_up_settings(tmp_path_factory.mktemp("console"), cameras=1, port=0, history="2m", token=TOKEN)
    with made_up_sources(site, alerts=100) as sources, serving(sources) as url:
        yield url


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_operation_does_what_it_says(url: str, mode: GenerationMode) -> None:
    config = SchemathesisConfig.from_dict(CHECKS)
    api = schemathesis.openapi.from_url(f"{url}api/openapi.json", headers=AUTHORIZED, config=config)
    tried = 0
    for found in api.exclude(path=ENDLESS).get_all_operations():

        @kept_short
        @given(case=found.ok().as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            unsayable = [positive_data_acceptance] if case.path == PICTURES else []
            case.call_and_validate(headers=AUTHORIZED, timeout=20, excluded_checks=unsayable)

        with contextlib.suppress(Unsatisfiable):  # what takes nothing can't be asked wrongly
            check()
    assert tried > 50
