"""What a section elasticsearch may say."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from connectors.elastic_settings import ElasticSettings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "elasticsearch:9200"}, "expected a url such as"),
        ({"url": "ftp://elasticsearch"}, "expected a url such as"),
        ({"url": "http://mien:hunter2@elasticsearch:9200"}, "without user and password"),
        ({"username": "mien"}, "expected username and password together"),
        ({"password": SecretStr("hunter2")}, "expected username and password together"),
        ({"prefix": "Mien"}, "expected a prefix of lower-case letters"),
        ({"prefix": "_mien"}, "expected a prefix of lower-case letters"),
        ({"prefix": ""}, "expected a prefix of lower-case letters"),
        ({"timeout": 0.0}, "expected a timeout above 0s"),
        ({"replicas": -1}, "expected replicas of 0 or more"),
        ({"keep_alerts_months": -1}, "expected keep_alerts_months of 0 or more"),
        ({"timezone": "Berlin"}, "expected a time zone such as Europe/Berlin"),
        ({"timezone": "Europe"}, "expected a time zone such as Europe/Berlin"),
    ],
)
def test_what_can_not_work_is_refused_without_repeating_a_password(settings, said):
    with pytest.raises(ValueError, match=said) as caught:
        ElasticSettings(**settings)
    assert "hunter2" not in str(caught.value)


def test_a_secret_is_not_shown():
    assert "hunter2" not in repr(ElasticSettings(api_key=SecretStr("hunter2")))
