"""An Airflow connection's plain values, read into a client's settings or refused by the field's name."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_kaleyra.errors import ConfigurationError

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 60.0
CONNECT_TIMEOUT = 10.0
DEFAULT_RCS_POD = "na"
DEFAULT_DETAILS_PATH = "/v1/{sid}/lookup/get-info/{lookup_id}"
EXTRAS = frozenset(
    {
        "pod",
        "rcs_pod",
        "rcs_host",
        "timeout",
        "requests_per_second",
        "burst",
        "shared_limit",
        "verify",
        "proxies",
        "lookup_details_path",
    }
)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client needs to know of an account; :meth:`parse` makes one from a connection's values.

    ``timeout`` is the seconds to wait for an answer, ``verify`` and ``proxies`` are as in requests.
    ``requests_per_second`` holds over any second and all threads; ``burst`` is how many of them may leave at
    once after a pause, ``shared_limit`` where other processes count theirs.
    """

    sid: str
    api_key: str = field(repr=False)
    number_url: str
    rcs_url: str
    timeout: float = DEFAULT_TIMEOUT
    requests_per_second: float | None = None
    burst: int = 1
    shared_limit: str | None = field(default=None, repr=False)
    verify: bool | str = True
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    lookup_details_path: str = DEFAULT_DETAILS_PATH

    @classmethod
    def parse(
        cls,
        *,
        login: str | None,
        password: str | None,
        host: str | None = None,
        port: int | str | None = None,
        schema: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> ClientConfig:
        """Read a connection's values; an unknown extra is warned of by name.

        :raises ConfigurationError: naming the field whose value is missing or wrong.
        """
        # A form sends its empty fields as empty text: not given.
        given = {name: value for name, value in (extra or {}).items() if value not in (None, "")}
        unknown = sorted(set(given) - EXTRAS)
        if unknown:
            log.warning(
                "The Kaleyra connection has unknown extras, which change nothing: %s. Known are: %s.",
                ", ".join(unknown),
                ", ".join(sorted(EXTRAS)),
            )
        for name in ("burst", "shared_limit"):
            if name in given and "requests_per_second" not in given:
                raise _refuse(f"extra {name}", "says nothing without the extra requests_per_second")
        pod = _pod(given.get("pod"), "pod")
        rcs_pod = _pod(given.get("rcs_pod"), "rcs_pod") or DEFAULT_RCS_POD
        number_host = (host or "").strip() or (f"api.{pod}.kaleyra.io" if pod else "api.kaleyra.io")
        rcs_host = str(given.get("rcs_host", f"rcs-api.{rcs_pod}.kaleyra.io"))
        number_url = _base_url(number_host, "host", port=port, scheme=schema)
        rcs_url = _base_url(rcs_host, "extra rcs_host")
        return cls(
            sid=_matching(login, "login (the account SID)", r"[A-Za-z0-9_-]+"),
            api_key=_matching(password, "password (the API key)", r"[!-~]+"),
            number_url=number_url,
            rcs_url=rcs_url,
            timeout=_positive(given.get("timeout", DEFAULT_TIMEOUT), "timeout"),
            requests_per_second=(
                _positive(given["requests_per_second"], "requests_per_second")
                if "requests_per_second" in given
                else None
            ),
            burst=_burst(given.get("burst", 1)),
            shared_limit=_shared_limit(given.get("shared_limit")),
            verify=_verify(given.get("verify", True)),
            proxies=_proxies(given.get("proxies", {}), (number_url, rcs_url)),
            lookup_details_path=_details_path(given.get("lookup_details_path", DEFAULT_DETAILS_PATH)),
        )


def _refuse(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"The Kaleyra connection's {name} {why}")


def _matching(value: str | None, name: str, pattern: str) -> str:
    text = (value or "").strip()
    if not text:
        raise _refuse(name, "is empty: both stand in kaleyra.io under Settings, API keys")
    if not re.fullmatch(pattern, text):
        raise _refuse(name, "holds a character that none has: copy it again from kaleyra.io")
    return text


def _pod(value: object, name: str) -> str:
    pod = str(value or "").strip().lower()
    if pod and not re.fullmatch(r"[a-z0-9-]+", pod):
        raise _refuse(f"extra {name}", f"is no pod's name: {pod!r}. Write in, ap, eu, … or leave it empty")
    return pod


def _positive(value: object, name: str) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else 0.0  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not 1e-6 <= number <= 1e6:
        raise _refuse(f"extra {name}", f"must be a number greater than 0 and up to a million, not {value!r}")
    return number


def _burst(value: object) -> int:
    number = _positive(value, "burst")
    if not number.is_integer():
        raise _refuse("extra burst", f"must be a whole number of requests, not {value!r}")
    return int(number)


def _shared_limit(value: object) -> str | None:
    if value is None:
        return None
    text = str(value).strip()
    if re.fullmatch(r"(rediss?|unix|postgres(ql)?)://[!-~]+", text):
        if _has_readable_port(text):
            return text
    elif text.startswith("/") and os.path.isdir(os.path.dirname(text)):  # noqa: PTH112, PTH120 (as verify)
        return text
    # It may hold a password, and is not shown.
    raise _refuse(
        "extra shared_limit",
        "must be a redis:// or postgresql:// URL, or the whole path of a SQLite file in a folder that exists",
    )


def _has_readable_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _base_url(host: str, name: str, *, port: int | str | None = None, scheme: str | None = None) -> str:
    text = host.strip()
    if "://" not in text:
        own_scheme = (scheme or "").strip().lower() or "https"
        if own_scheme not in ("https", "http"):
            raise _refuse("schema", f"must be https, not {own_scheme!r}")
        text = f"{own_scheme}://{text}"
    no_url = _refuse(name, "must be a host's name or a URL such as https://api.in.kaleyra.io")
    own_port = _port(port)
    try:
        parts = urlsplit(text)
        own_port = parts.port or own_port
    except ValueError:
        raise no_url from None
    hostname = parts.hostname or ""
    if (
        parts.scheme not in ("https", "http")
        or not re.fullmatch(r"[A-Za-z0-9._:-]+", hostname)
        or not re.fullmatch(r"[!-~]*", parts.path)
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise no_url
    if parts.scheme == "http" and not _is_loopback(hostname):
        raise _refuse(
            name, "is plain http, which would send the API key readable over the network: use https"
        )
    named = f"[{hostname}]" if ":" in hostname else hostname
    return f"{parts.scheme}://{named}{f':{own_port}' if own_port else ''}{parts.path.rstrip('/')}"


def _port(value: int | str | None) -> int:
    try:
        port = int(value or 0)
    except (TypeError, ValueError, OverflowError):
        port = -1
    if not 0 <= port <= 65_535:
        raise _refuse("port", f"must be a number up to 65535, not {value!r}")
    return port


def _is_loopback(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost"


def _verify(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    text = str(value).strip()
    if text.lower() in ("true", "1", "false", "0"):
        return text.lower() in ("true", "1")
    if not os.path.exists(text):  # noqa: PTH110 (Path raises for a name that is too long)
        raise _refuse("extra verify", f"must be true, false or the path of a CA bundle, not {value!r}")
    return text


def _proxies(value: object, urls: Sequence[str]) -> dict[str, str]:
    proxies = _read_proxies(value, urls)
    if any(url.startswith("http://") for url in urls):
        # What goes to loopback is not encrypted, and must not leave the machine by way of a proxy either.
        hosts = (urlsplit(url if "://" in url else f"//{url}").hostname or "" for url in proxies.values())
        if not all(map(_is_loopback, hosts)):
            raise _refuse("extra proxies", "would carry the API key readable: a plain http host takes none")
    return proxies


def _read_proxies(value: object, urls: Sequence[str]) -> dict[str, str]:
    if isinstance(value, str) and value.strip() == "environment":
        return _environment_proxies(urls)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            raise _refuse("extra proxies", "is no JSON object") from None
    if isinstance(value, str):
        value = {"http": value, "https": value}
    if isinstance(value, Mapping) and all(map(_is_proxy, value.values())):
        return {str(scheme): url for scheme, url in value.items()}
    raise _refuse(
        "extra proxies", 'must be an object such as {"https": "http://proxy:3128"}, a URL, or "environment"'
    )


def _is_proxy(url: object) -> bool:
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        return parts.port != 0 and re.fullmatch(r"[A-Za-z0-9._:-]+", parts.hostname or "") is not None
    except ValueError:
        return False


def _environment_proxies(urls: Iterable[str]) -> dict[str, str]:
    """Give the proxies that HTTPS_PROXY and its like name for these URLs, and NO_PROXY does not take out."""
    found = getproxies()
    chosen: dict[str, str] = {}
    for url in urls:
        parts = urlsplit(url)
        proxy = found.get(parts.scheme) or found.get("all")
        if proxy and not proxy_bypass(parts.netloc):
            chosen[f"{parts.scheme}://{parts.hostname}"] = proxy
    return chosen


def _details_path(value: object) -> str:
    path = str(value).strip()
    rest = path.replace("{sid}", "").replace("{lookup_id}", "")
    if "{" in rest or "}" in rest:
        raise _refuse("extra lookup_details_path", "may name {sid} and {lookup_id} and no other")
    if not re.fullmatch(r"[!-~]+", path):
        raise _refuse("extra lookup_details_path", "holds a character that no path has")
    if not path.startswith("/") or "{lookup_id}" not in path:
        raise _refuse("extra lookup_details_path", "must begin with / and hold {lookup_id}")
    return path
