"""Chromium without a window, driven over its DevTools protocol: what it asks for and shows."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.conftest import becomes

COMMAND = "chromium"

#: It may do without a sandbox, which root's cannot have, and asks nobody for anything.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--no-first-run",
    "--no-default-browser-check", "--remote-debugging-port=0", "--remote-allow-origins=*",
    "--hide-scrollbars",
)  # fmt: skip

GENEROUS_S = 60.0
LARGEST_MESSAGE_BYTES = 1 << 26


def missing_browser() -> list[str]:
    """Return the command where it is missing."""
    return [] if shutil.which(COMMAND) else [COMMAND]


class Tab:
    """A tab of the browser, and all that it has reported.

    Attributes
    ----------
    requests : list of str
        Addresses that it has asked for.
    complaints : list of str
        Errors and warnings of its console, and exceptions.
    """

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (text := await self._socket.read_message()) is not None:
            told = json.loads(text)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
                continue
            facts = told["params"]
            match told["method"]:
                case "Network.requestWillBeSent":
                    self.requests.append(facts["request"]["url"])
                case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                    self.complaints.append(json.dumps(facts))
                case "Log.entryAdded" if facts["entry"]["level"] in ("error", "warning"):
                    self.complaints.append(f"{facts['entry']['text']} {facts['entry'].get('url')}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        # Kept here, since the answer may arrive while the message is still being written.
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.write_message(
            json.dumps({"id": number, "method": method, "params": params})
        )
        told = await asyncio.wait_for(answer, GENEROUS_S)
        assert "error" not in told, told
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> None:
        """Go to an address, and record all that comes of it."""
        for domain in ("Network", "Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def find(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def text(self, selector: str) -> str:
        """Return the text of an element that is shown, or nothing."""
        quoted = json.dumps(selector)
        found = await self.find(f"(document.querySelector({quoted}) || {{}}).innerText || ''")
        return str(found)

    async def becomes(self, expression: str, within_s: float = GENEROUS_S) -> None:
        """Wait until an expression is true, and fail where it does not come to that."""
        deadline = time.monotonic() + within_s
        patient = f"(() => {{ try {{ return {expression} }} catch {{ return false }} }})()"
        while not await self.find(patient):
            if time.monotonic() > deadline:
                shown = await self.text("body")
                raise AssertionError(f"{expression} does not become true of:\n{shown}")
            await asyncio.sleep(0.1)

    async def resize(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Show the page as a window of a size does, in light or dark colours."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await asyncio.sleep(0.3)

    async def shoot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        found = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


class Browser:
    """A browser with a profile of its own, which ends with it."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="scoopsci-browser-")
        self._process = subprocess.Popen(
            [COMMAND, *OPTIONS, f"--user-data-dir={self._profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._profile},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(GENEROUS_S)
        becomes(self._remove)

    def _remove(self) -> bool:
        with contextlib.suppress(OSError):  # its children may still write
            shutil.rmtree(self._profile)
        return not Path(self._profile).exists()

    def _address(self) -> str:
        told = Path(self._profile, "DevToolsActivePort")
        assert becomes(lambda: told.exists() and told.read_text().count("\n") == 1)
        port, path = told.read_text().split()
        return f"ws://127.0.0.1:{port}{path}"

    @contextlib.asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """Yield a new tab."""
        root = await websocket_connect(self._address())
        create = {"id": 0, "method": "Target.createTarget", "params": {"url": "about:blank"}}
        await root.write_message(json.dumps(create))
        while "result" not in (told := json.loads(str(await root.read_message()))):
            continue
        address = self._address().partition("/devtools/")[0]
        socket = await websocket_connect(
            f"{address}/devtools/page/{told['result']['targetId']}",
            max_message_size=LARGEST_MESSAGE_BYTES,
        )
        tab = Tab(socket)
        try:
            yield tab
        finally:
            socket.close()
            await tab._listening
            root.close()
            while await root.read_message() is not None:
                continue


def run_in_browser(act: Callable[[Tab], Any]) -> Any:
    """Run ``act(tab)``, a coroutine, in a browser that ends with it."""

    async def run(browser: Browser) -> Any:
        async with browser.tab() as tab:
            return await act(tab)

    with Browser() as browser:
        return asyncio.run(run(browser))


async def take_pictures(tab: Tab, folder: Path, name: str) -> None:
    """Look at the page in both widths and colours: nothing may stick out at its side."""
    for width in (1280, 400):
        for dark in (False, True):
            await tab.resize(width, dark=dark)
            widths = await tab.find("[document.documentElement.scrollWidth, innerWidth]")
            assert widths[0] <= widths[1] == width, f"{name} at {width}: {widths}"
            path = folder / f"{name}-{width}-{'dark' if dark else 'light'}.png"
            await tab.shoot(path)
            assert path.stat().st_size > 10_000
