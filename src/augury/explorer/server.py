"""Serve the explorer at an address."""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import uvicorn

from augury.errors import RunFolderError, SettingsError
from augury.explorer.access import is_loopback
from augury.explorer.application import application
from augury.explorer.view import RunView
from augury.pipeline.run_folder import Run


@dataclass(frozen=True)
class Address:
    """Where the explorer listens: host, port (0: any free one), and the token, which only a loopback address may lack."""

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""

    @classmethod
    def of(cls, host: str, port: int) -> Address:
        """The address with a new token unless it is loopback."""
        return cls(host, port, "" if is_loopback(host) else secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        """The address of the first page, with the name of the machine where the explorer listens at all its addresses."""
        host = socket.gethostname() if _is_unspecified(self.host) else self.host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")


def _is_unspecified(host: str) -> bool:
    """Whether a host stands for all addresses of this machine, as 0.0.0.0 and :: do; it cannot be opened from another one."""
    try:
        return not host or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises SettingsError when the port is in use, not allowed, or the host is not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {port} is in use, perhaps by another augury explore; choose another with --port, or --port 0 for any free one"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise SettingsError(f"port {port} needs special rights; choose one from 1024 on with --port") from error
        raise SettingsError(
            f"--host {host}: this machine cannot listen there ({error.strerror or error}); leave it out for 127.0.0.1"
        ) from error
    return sock


def serve(
    run: Run, address: Address, device: str = "cpu", ready: Callable[[Address], None] = lambda address: None
) -> None:
    """Serve the pages of a run until the process is interrupted.

    Parameters
    ----------
    run
        The run folder. It need not be finished.
    address
        Where to listen.
    device
        Device of the generator.
    ready
        Called with the address, and the port that was chosen, once connections are accepted.

    Raises
    ------
    RunFolderError
        For what is no run folder.
    SettingsError
        When the address cannot be used.
    """
    _ = run.metadata
    view = RunView(run, device)
    with listening(address.host, address.port) as sock:
        address = Address(address.host, sock.getsockname()[1], address.token)
        config = uvicorn.Config(
            application(view, address.token),
            log_level="error",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        threading.Thread(target=_warm_up, args=(view,), daemon=True).start()
        ready(address)
        try:
            with suppress(KeyboardInterrupt):  # Ctrl-C is how it is stopped
                uvicorn.Server(config).run(sockets=[sock])
        finally:
            view.photographs.close()


def _warm_up(view: RunView) -> None:
    """Read the generator before the first page asks for it; a run without one is no error here."""
    try:
        _ = view.synthesizer
    except RunFolderError:
        return
