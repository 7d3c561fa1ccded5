"""Runs the program in several processes on this machine.

    python launch/local.py --processes 2 --devices 2 -- --config configs/kinetics.py:mini \\
        --workdir DIR

Arguments after -- are passed to `python -m slowfast_jax.main`. Each line of output starts with the
rank of its process. If one process fails, the others are killed after --grace seconds. Ctrl-C and
SIGTERM are forwarded. With --devices, each process has that number of CPU devices; without it, a
process takes all devices that it sees, so give each its own through the environment. The exit
status is that of the first process that failed.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--processes", type=int, default=2, help="number of processes (default: 2)"
    )
    parser.add_argument(
        "--devices", type=int, default=0, help="CPU devices per process (default: what it sees)"
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port of process 0 (default: any free one)"
    )
    parser.add_argument(
        "--grace", type=float, default=60.0,
        help="seconds for the others to end after one failed (default: 60)",
    )
    parser.add_argument(
        "arguments", nargs="*", help="arguments of `python -m slowfast_jax.main`, after --"
    )
    options = parser.parse_args(argv)
    if options.processes < 1 or options.devices < 0:
        parser.error("--processes must be 1 or more, --devices 0 or more")
    if not options.arguments:
        parser.error("pass the program's arguments after --, such as --config and --workdir")
    running = start(options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: _pass_on(running, number))
    printers = [
        threading.Thread(target=_print, args=(i, process)) for i, process in enumerate(running)
    ]
    for printer in printers:
        printer.start()
    status = wait(running, options.grace)
    for printer in printers:
        printer.join()
    return status


def start(options: argparse.Namespace) -> list[subprocess.Popen]:
    """Starts the processes; stdout and stderr of each go to one pipe."""
    environment = dict(os.environ)
    if options.devices:
        kept = [f for f in environment.get("XLA_FLAGS", "").split() if "device_count" not in f]
        kept.append(f"--xla_force_host_platform_device_count={options.devices}")
        environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(kept)}
    port = options.port or _free_port()
    paths = [str(ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = [sys.executable, "-u", "-m", "slowfast_jax.main", *options.arguments]
    if options.processes > 1:
        command += [f"--coordinator=127.0.0.1:{port}", f"--num_processes={options.processes}"]
    return [
        subprocess.Popen(
            command + ([f"--process_id={i}"] if options.processes > 1 else []),
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is forwarded by this program, once
        )
        for i in range(options.processes)
    ]


def wait(running: Sequence[subprocess.Popen], grace: float) -> int:
    """Waits until all have ended; returns the status of the first that failed."""
    status, deadline, under_way = 0, None, True
    while under_way:
        under_way = any(process.poll() is None for process in running)
        failed = [i for i, process in enumerate(running) if process.returncode]
        if failed and not status:
            code = running[failed[0]].returncode
            status, how = code, f"ended with status {code}"
            if code < 0:  # the convention of shells
                status, how = 128 - code, f"was killed by {signal.Signals(-code).name}"
            deadline = time.monotonic() + grace
            print(f"local: process {failed[0]} {how}; the others have {grace:g} s", flush=True)
        if deadline and time.monotonic() > deadline:
            for process in running:
                process.kill()
        time.sleep(0.05)
    return status


def _pass_on(running: Sequence[subprocess.Popen], number: int) -> None:
    for process in running:
        if process.poll() is None:
            process.send_signal(number)


def _print(number: int, process: subprocess.Popen) -> None:
    for line in process.stdout:
        text = line.decode(errors="replace").rstrip("\n")
        print(f"[{number}] {text}", flush=True)


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
