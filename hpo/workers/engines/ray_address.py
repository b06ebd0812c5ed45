"""Whether a Ray cluster listens at an address, told within seconds and in a line.

Ray itself asks again and again, without end, and writes pages (2.60: 40 s a round, more than 9 minutes).
"""

from __future__ import annotations

import os
import re
import socket

import grpc
import ray

from hpo.errors import HpoError

SECONDS = 5.0
START = "Start one there, ray start --head, or name another --address."
# "The cluster was started with: Ray: 2.60.0 Python: 3.11.7 This process ...: Ray: ..."
_VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")


def found_at(address: str) -> str:
    """The HOST:PORT of the cluster at an address, which may be "auto". Raises HpoError if none listens."""
    place = f"engine ray: address {address}"
    try:
        found = ray._private.services.canonicalize_bootstrap_address_or_die(address)
        host, port = found.rsplit(":", 1)
        number = int(port)
    except ConnectionError:
        raise HpoError(place, "there is no Ray on this machine", remedy=START) from None
    except (ValueError, OSError):
        raise HpoError(place, "must be auto, or HOST:PORT of a Ray cluster") from None
    try:
        socket.create_connection((host.strip("[]"), number), timeout=SECONDS).close()
        if os.environ.get("RAY_USE_TLS", "0") != "1":
            with grpc.insecure_channel(found) as channel:
                grpc.channel_ready_future(channel).result(timeout=SECONDS)
    except (OSError, grpc.FutureTimeoutError):
        raise HpoError(place, "no Ray listens there", remedy=START) from None
    return str(found)


def warning_about(address: str) -> str | None:
    """What a Ray cluster exposes that has let this process in without a token; None where nothing is."""
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return None
    return (
        f"Ray at {address} runs whatever anybody who reaches it sends: it asks for no token"
        " (start it and this command with RAY_AUTH_MODE=token)"
    )


def refusal(address: str, error: Exception) -> HpoError:
    """What Ray has said of a cluster that it does not join, in a line."""
    place, versions = f"engine ray: address {address}", _VERSIONS.findall(str(error))
    if len(versions) == 2:
        theirs, ours = (f"Ray {of_ray} and Python {of_python}" for of_ray, of_python in versions)
        remedy = "Install the cluster's here, or start it with this one's."
        return HpoError(place, f"must be a cluster of {ours}, and is of {theirs}", remedy=remedy)
    return HpoError(place, f"cannot be joined: {str(error).strip().splitlines()[0].rstrip('.')}")
