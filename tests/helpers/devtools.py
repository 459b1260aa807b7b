"""A headless Chromium that tests drive: the DevTools protocol through two pipes, so that nothing but the browser is needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.browser import browser

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-extensions", "--disable-renderer-backgrounding", "--remote-debugging-pipe",
)  # fmt: skip
ERRORS = ("Runtime.exceptionThrown", "Log.entryAdded")
"""Events that can tell of an error in a page."""
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "ArrowUp": 38, "Tab": 9, "Enter": 13, "End": 35, "Home": 36}


class Chromium:
    """A running browser; `tab` opens a page."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._rest, self._number = send, receive, b"", 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, seconds: float = 60, **parameters: Any) -> dict[str, Any]:
        """The result of one command of the protocol. Of the events that come before it, only `ERRORS` are remembered."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        last = time.monotonic() + seconds
        while True:
            answer = self._next(last)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            if answer.get("method") in ERRORS:
                self.events.append(answer)

    def _next(self, last: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._receive], [], [], max(0, last - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self._receive, 2**16)
            assert piece, "the browser has ended"
            self._rest += piece
        first, self._rest = self._rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(first)
        return answer

    def tab(self, address: str, width: int = 1200, height: int = 900) -> Tab:
        """Open a page in a new tab of that size."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Runtime", "Log"):
            tab.call(f"{domain}.enable")
        tab.resize(width, height)
        tab.go(address)
        return tab


class Tab:
    """One page."""

    def __init__(self, chromium: Chromium, session: str) -> None:
        self._chromium, self._session = chromium, session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._chromium.call(method, self._session, **parameters)

    def resize(self, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def go(self, address: str) -> None:
        """Load a page and wait until its scripts have started."""
        self.call("Page.navigate", url=address)
        self.wait(f"location.href.startsWith({address.split('#')[0]!r}) && document.readyState === 'complete'")

    def front(self) -> None:
        """Show this tab; a page in the background does not follow."""
        self.call("Page.bringToFront")

    def offline(self) -> None:
        """Let no further request of the page reach a server."""
        self.call("Network.enable")
        self.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    def reload(self) -> None:
        self.run("window.before = true")
        self.call("Page.reload")
        self.wait("!window.before && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true in the page."""
        last = time.monotonic() + seconds
        while not self._true(condition):
            assert time.monotonic() < last, f"still false after {seconds:g} s: {condition}"
            time.sleep(0.02)

    def _true(self, condition: str) -> bool:
        answer = self.call("Runtime.evaluate", expression=f"Boolean({condition})", returnByValue=True)
        return answer["result"].get("value") is True

    def press(self, key: str) -> None:
        """Press and release a key of the keyboard."""
        code = KEYS.get(key, ord(key.upper()[0]))
        event = {"key": key, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code}
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def upload(self, selector: str, file: Path) -> None:
        """Choose a file in an input of the page."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def errors(self) -> list[str]:
        """Exceptions of scripts that nothing caught, and errors in the browser's log such as a file that is missing or blocked."""
        self.run("0")  # its answer comes after all events so far
        texts = []
        for event in self._chromium.events:
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                details = event["params"]["exceptionDetails"]
                texts.append(details.get("exception", {}).get("description", details["text"]))
            elif (entry := event["params"]["entry"])["level"] == "error":
                texts.append(f"{entry['text']} {entry.get('url', '')}")
        return texts

    def screenshot(self, file: Path) -> None:
        """The whole page as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    """Start the browser with a profile of its own; it is stopped at the end."""
    program = browser()
    assert program is not None, "ask browser() first"
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, from_write)]

    def connect() -> None:  # the browser reads from descriptor 3 and writes to 4
        os.dup2(theirs[0], 3)
        os.dup2(theirs[1], 4)

    process = subprocess.Popen(
        [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=connect,
        pass_fds=(3, 4),
    )
    for end in (*theirs, to_read, from_write):
        os.close(end)
    try:
        yield Chromium(to_write, from_read)
    finally:
        process.terminate()
        process.wait(30)
        os.close(to_write)
        os.close(from_read)
