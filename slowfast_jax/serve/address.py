"""The address that a server listens on."""

import argparse
import socket


def why_not_free(host: str, port: int) -> str:
    """Why a server could not listen there, which it does only after minutes of work; "" if it can.
    """
    try:
        (family, kind, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does
            one.bind(address)
    except OSError as error:
        return (
            f"cannot listen on {host}:{port} ({error.strerror}); --host and --port name another "
            "address"
        )
    return ""


def web_address(host: str, port: int) -> str:
    """What to open in a browser: IPv6 addresses stand in brackets there."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def port(text: str) -> int:
    """The type of --port for argparse."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number from 1 to 65535")
    return int(text)
