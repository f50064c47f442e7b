"""A read-only page that shows the growing object in a browser, by default only on this computer."""

from __future__ import annotations

import socket
import threading
import time
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from ptychopinn_backend.errors import BackendUnavailableError, OutputError
from ptychopinn_backend.live.display import VIEWS, Display

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_FILES: Final = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS: Final = {
    # Everything comes from this server. The page asks no other origin, and no other origin may show or read it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_EVERYWHERE: Final = ("0.0.0.0", "::")
_START_S: Final = 10.0


def application(display: Display, hosts: list[str]) -> Starlette:
    """Return the page as an application.

    Args:
        display: the display to show.
        hosts: names under which a browser may ask for the page. Others are refused, so that a foreign page cannot read
            it through a name that leads here. '*' allows any name.

    Returns:
        The application; it answers only GET and HEAD.

    Raises:
        BackendUnavailableError: Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise _missing(error) from error

    place = files("ptychopinn_backend.live").joinpath("page_files")
    fixed = {name: (place.joinpath(file).read_bytes(), kind) for name, (file, kind) in _FILES.items()}

    def file(request: Request) -> Response:
        content, kind = fixed[request.url.path.lstrip("/")]
        return Response(content, media_type=kind, headers=_HEADERS)

    def state(_: Request) -> Response:
        return JSONResponse(display.now(), headers=_HEADERS)

    def picture(request: Request) -> Response:
        view = request.path_params["view"]
        png = display.png(view) if view in VIEWS else None
        if png is None:
            return Response("There is no such picture yet.", status_code=404, headers=_HEADERS)
        return Response(png, media_type="image/png", headers=_HEADERS)

    routes = [Route(f"/{name}", file, methods=["GET"]) for name in _FILES]
    routes += [Route("/state.json", state, methods=["GET"]), Route("/{view}.png", picture, methods=["GET"])]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)])


class PageServer:
    """Serves the page from its own thread."""

    def __init__(self, display: Display, address: str, port: int) -> None:
        """Start the server.

        Args:
            display: the display to show.
            address: address of the interface; 127.0.0.1 is for this computer alone.
            port: TCP port of the page; 0 takes a free one.

        Raises:
            BackendUnavailableError: Starlette or uvicorn is not installed.
            OutputError: the port is in use, or the address is not one of this computer.
        """
        try:
            import uvicorn
        except ImportError as error:
            raise _missing(error) from error
        hosts = ["*"] if address in _EVERYWHERE else [*_LOCAL_NAMES, address]
        app = application(display, hosts)
        try:
            listening = socket.create_server(
                (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
            )
        except OSError as error:
            raise OutputError(
                f"The page cannot be served at {address}, port {port} ({error.strerror or error}). Choose another port "
                "with --page, or another address with --page-address."
            ) from error
        self.url = f"http://{'localhost' if address in _LOCAL_NAMES else address}:{listening.getsockname()[1]}/"
        """Address of the page for a browser."""
        config = uvicorn.Config(app, log_level="warning", lifespan="off", server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        until = time.monotonic() + _START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)

    def close(self) -> None:
        """Stop the server."""
        self._server.should_exit = True
        self._thread.join(timeout=5)


def _missing(error: ImportError) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"The page needs the packages 'starlette' and 'uvicorn', and they cannot be loaded ({error}). Install them "
        "with: pip install 'ptychopinn-backend[live]', or leave out --page."
    )
