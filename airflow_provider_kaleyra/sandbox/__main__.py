"""The command `kaleyra-sandbox`: the stand-in service in a terminal, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kaleyra-sandbox",
        description="A local stand-in for Kaleyra's RCS and number lookup services: free, and calls nobody.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    parser.add_argument("--port", type=int, default=8700, help="port, 0 for a free one (%(default)s)")
    parser.add_argument(
        "--latency-ms", type=_not_negative, default=0, help="wait before each answer (%(default)s)"
    )
    parser.add_argument("--requests-per-second", type=_positive, help="answer 429 above this rate (no limit)")
    parser.add_argument(
        "--details-seconds",
        type=_not_negative,
        default=0,
        help="how long a submitted lookup is pending (%(default)s)",
    )
    parser.add_argument("--sid", help="the account's SID")
    parser.add_argument("--api-key", help="the account's API key")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until a signal ends it; gives the exit code."""
    args = _parser().parse_args(argv)
    try:
        from airflow_provider_kaleyra.sandbox.server import DEFAULT_API_KEY, DEFAULT_SID, Sandbox
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        print("aiohttp is missing: install the extra sandbox of airflow-provider-kaleyra", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    sandbox = Sandbox(
        host=args.host,
        port=args.port,
        latency_ms=args.latency_ms,
        requests_per_second=args.requests_per_second,
        details_seconds=args.details_seconds,
        sid=args.sid or DEFAULT_SID,
        api_key=args.api_key or DEFAULT_API_KEY,
    )
    try:
        sandbox.start()
    except OSError as error:
        print(f"cannot listen at {args.host}:{args.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(f"Kaleyra sandbox at {sandbox.url}\n  SID {sandbox.sid}   API key {sandbox.api_key}\n")
    print(f"Airflow connection:\n  export AIRFLOW_CONN_KALEYRA_DEFAULT='{sandbox.airflow_uri}'\n")
    print(f"What was bought:\n  curl {sandbox.url}/sandbox/purchases\n")
    print(f"A fault for the next request (kinds: curl {sandbox.url}/sandbox/faults):")
    print(f"""  curl {sandbox.url}/sandbox/faults -d '{{"kind": "429", "retry_after": 2}}'\n""")
    print("Ctrl-C ends it.", flush=True)
    ended.wait()
    sandbox.stop()
    print(f"\nSandbox ended. Requests: {len(sandbox.account.requests)}, charged: {sandbox.account.charged}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
