"""When Airflow is to try a task again: a retry policy, where Airflow has them (3.3 and later)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_provider_kaleyra.compat import RetryDecision, RetryPolicy
from airflow_provider_kaleyra.errors import RateLimitedError, SetupError


def default_policy() -> Any:
    """Give the operators' policy, or ``None`` where Airflow has no policies."""
    return KaleyraRetryPolicy() if RetryPolicy is not None else None


if RetryPolicy is not None:

    class KaleyraRetryPolicy(RetryPolicy):
        """Fail at once where no retry can help, and come back when the service said to.

        Also for your own tasks that use the hook: ``@task(retries=3, retry_policy=KaleyraRetryPolicy())``.
        """

        def evaluate(
            self,
            exception: BaseException,
            try_number: int,  # noqa: ARG002
            max_tries: int,  # noqa: ARG002
            context: Any = None,  # noqa: ARG002
        ) -> RetryDecision:
            """Decide by the kind of error; what is not Kaleyra's is decided by the task's own settings."""
            if isinstance(exception, SetupError):
                return RetryDecision.fail(str(exception))
            if isinstance(exception, RateLimitedError) and exception.retry_after is not None:
                return RetryDecision.retry(timedelta(seconds=exception.retry_after), str(exception))
            return RetryDecision.default()
