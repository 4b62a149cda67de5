"""A ceiling that several processes, on several machines, keep together. Needs the extra ``shared-limit``."""

from __future__ import annotations

import hashlib
import math
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_kaleyra.api.gate import window
from airflow_provider_kaleyra.errors import ConfigurationError, NothingSentError

if TYPE_CHECKING:
    from pyrate_limiter import Rate

EVEN = 20
"""Into how many even parts a second is cut: in none of them may much more leave than its share."""
SWEEP_EVERY = 10.0
REACH_WITHIN = 10.0


class SharedLimit:
    """Counts what all processes send, in Redis, PostgreSQL or a SQLite file, by pyrate-limiter.

    Redis and PostgreSQL tell the time too, so that the machines' clocks don't matter.

    :param url: of Redis or PostgreSQL, or the path of a SQLite file for the processes of one machine.
    :param account: whose ceiling it is.
    :raises ConfigurationError: if the packages for it are not installed.
    """

    def __init__(self, url: str, account: str, requests_per_second: float, burst: int = 1) -> None:
        try:
            from pyrate_limiter import Rate

            most, seconds = window(requests_per_second)
            rates = [Rate(most, math.ceil(seconds * 1000))]
            self.most = max(math.ceil(most / EVEN), min(burst, most))
            if most > self.most:
                rates.insert(0, Rate(self.most, int(seconds * 1000 * self.most / most)))
            name = f"kaleyra_{hashlib.sha256(account.encode()).hexdigest()[:16]}"
            self._bucket: Any = _bucket(url, name, rates)
        except ImportError:
            raise ConfigurationError(
                "The Kaleyra connection's extra shared_limit needs more packages: "
                "pip install 'airflow-provider-kaleyra[shared-limit]'"
            ) from None
        except Exception as error:
            raise _out_of_reach(error) from None
        self._swept = time.monotonic()

    def take(self, requests: int) -> float:
        """Ask for so many requests: 0 if they may leave, else the seconds after which to ask again.

        :raises NothingSentError: if nobody who counts can be reached.
        """
        from pyrate_limiter import RateItem

        try:
            item = RateItem("request", self._now(), weight=requests)
            if self._bucket.put(item):
                self._sweep(item.timestamp)
                return 0.0
            # A bucket that is busy with another process gives no time.
            return max(int(self._bucket.waiting(item)), 1) / 1000
        except Exception as error:
            raise _out_of_reach(error) from None

    def _now(self) -> int:
        return int(self._bucket.now())

    def _sweep(self, now: int) -> None:
        if time.monotonic() - self._swept > SWEEP_EVERY:
            self._swept = time.monotonic()
            self._bucket.leak(now)


def _bucket(url: str, name: str, rates: list[Rate]) -> Any:
    if url.startswith("/"):
        from pyrate_limiter import SQLiteBucket

        return SQLiteBucket.init_from_file(rates, table=name, db_path=url, use_file_lock=True)
    if url.startswith("postgres"):
        from psycopg_pool import ConnectionPool
        from pyrate_limiter import PostgresBucket

        # The times of the requests are kept without a zone.
        pool = ConnectionPool(url, min_size=1, max_size=2, open=True, kwargs={"options": "-c TimeZone=UTC"})
        try:
            pool.wait(REACH_WITHIN)
        except Exception:
            pool.close()
            raise
        return PostgresBucket(pool, name, rates)
    import redis
    from pyrate_limiter import RedisBucket

    class Bucket(RedisBucket):
        def now(self) -> int:
            seconds, microseconds = self.redis.time()  # type: ignore[misc]
            return int(seconds * 1000 + microseconds // 1000)

    return Bucket.init(rates, redis.Redis.from_url(url), name)


def _out_of_reach(error: Exception) -> NothingSentError:
    # Their texts may hold the URL, and with it a password.
    return NothingSentError(f"The shared limit cannot be reached, nothing was sent: {type(error).__name__}")
