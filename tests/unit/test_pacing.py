"""Faust's services as we have changed them."""

from __future__ import annotations

import logging

from mode import Service

from pipeline.worker import pacing, run

OURS = [one for one in vars(pacing).values() if isinstance(one, type) and issubclass(one, Service)]


def test_services_of_ours_are_as_quiet_as_those_of_faust() -> None:
    """What they say at INFO is each step of starting and stopping; errors come through."""
    assert len(OURS) == 3
    for service in OURS:
        library = service.logger.name.partition(".")[0]
        assert run.LIBRARIES[library] == logging.WARNING, service
