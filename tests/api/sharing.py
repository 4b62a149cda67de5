"""One of several processes that keep a ceiling together: `python -m tests.api.sharing CONNECTION NUMBERS`."""

from __future__ import annotations

import json
import sys

from airflow_provider_kaleyra.api.client import KaleyraClient
from airflow_provider_kaleyra.api.config import ClientConfig


def main(connection: str, numbers: str) -> None:
    client = KaleyraClient(ClientConfig.parse(**json.loads(connection)))
    print("ready", flush=True)
    sys.stdin.readline()
    lookups = client.lookup_numbers(numbers.split(","), batch_size=1, max_workers=8)
    print(sum(lookup.status == "ok" for lookup in lookups))


if __name__ == "__main__":
    main(*sys.argv[1:])
