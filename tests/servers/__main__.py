"""Both servers for a person: `make servers`. With `fetch`, their jars only.

They listen where the configuration looks for them when nothing else does, else on free ports.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from tests.servers.elasticsearch import Elasticsearch
from tests.servers.java import MissingError, jars
from tests.servers.kafka import Kafka
from tests.servers.process import ServerError, is_free

WORDS = """
Kafka          {kafka.bootstrap}
Elasticsearch  {elastic.url}

In a configuration:

    kafka: {{bootstrap: ["{kafka.bootstrap}"]}}
    elasticsearch: {{url: "{elastic.url}"}}

Logs and data are in {folder} and go when you press Ctrl-C.
"""


def main() -> int:
    if sys.argv[1:] == ["fetch"]:
        return fetch()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="mien-servers-") as folder:
        kafka = Kafka(Path(folder, "kafka"), port=9092 if is_free(9092) else None)
        elastic = Elasticsearch(Path(folder, "elasticsearch"), port=9200 if is_free(9200) else None)
        try:
            for server in (kafka, elastic):
                server.start()
            print(WORDS.format(kafka=kafka, elastic=elastic, folder=folder), flush=True)
            signal.pause()
        except KeyboardInterrupt:
            print("stopping", flush=True)
        finally:
            for server in (kafka, elastic):
                server.stop()
    return 0


def fetch() -> int:
    """Fetch the jars; a machine that can't have the servers is told so, and goes on."""
    try:
        for name in ("kafka", "elasticsearch"):
            jars(name)
    except MissingError as error:
        print(f"note: tests on a real Kafka and Elasticsearch will skip: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MissingError, ServerError) as error:
        sys.exit(str(error))
