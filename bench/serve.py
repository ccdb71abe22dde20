"""Starts what is measured: `python -m bench.serve hub|bare --port P …`.

Promise: both are served by the hub's own server with the hub's own settings. Of the limits that the environment
cannot set, only three differ: the sockets a user may have, the files a process may open and the time between two
sweeps of old rows. The database is one that `bench.world` has migrated.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from bench.bare import create_bare
from bench.machine import allow_files
from hub.app import create_app
from hub.config import Config
from hub.server import serve


def main() -> int:
    """Serve until SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("hub", "bare"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sockets-per-user", type=int, default=20)
    parser.add_argument("--sweep-seconds", type=float, default=Config().sweep_seconds)
    asked = parser.parse_args()
    allow_files()
    config = replace(
        Config.from_environ(),
        port=asked.port,
        workers=asked.workers,
        max_sockets_per_user=asked.sockets_per_user,
        sweep_seconds=asked.sweep_seconds,
    )
    application = create_bare if asked.what == "bare" else create_app
    return serve(application, config, host="127.0.0.1")


if __name__ == "__main__":
    sys.exit(main())
