"""Pages in a real Chromium without a screen, which Debian's packages chromium and chromium-driver bring."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

_BROWSERS, _DRIVER = ("chromium", "chromium-browser", "google-chrome"), "chromedriver"
_FLAGS = (
    "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "force-device-scale-factor=1", "window-size=1400,900",
)  # fmt: skip
_OWN = ("chrome:", "data:", "blob:", "devtools:")  # addresses that lead to no other program


class Page:
    """One tab."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str, ready: str, seconds: float = 30) -> None:
        """Open a page, and wait until a JavaScript expression is true."""
        self.problems()
        self.requests()
        self.driver.get(url)
        self.wait(ready, seconds)

    def wait(self, ready: str, seconds: float = 30) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.driver.execute_script(f"return Boolean({ready})"):
            assert time.monotonic() < end, (ready, self.problems())
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """Run the body of an async function, and return what it returns."""
        ending = "})().then((value) => done({value}), (error) => done({error: String(error)}))"
        answer = self.driver.execute_async_script(
            f"const done = arguments[0]; (async () => {{ {script} {ending}"
        )
        assert "error" not in answer, answer
        return answer.get("value")

    def problems(self) -> list[str]:
        """Return what the console says since the last call, but for plain information."""
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Return the addresses that were requested since the last call."""
        found = list[str]()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [url for url in found if not url.startswith(_OWN)]

    def picture(self) -> NDArray[np.float32]:
        """Return the visible part of the page as red, green and blue, each from 0 to 255."""
        from matplotlib.image import imread

        pixels: NDArray[np.float32] = imread(BytesIO(self.driver.get_screenshot_as_png()))
        return pixels[..., :3] * 255


@contextmanager
def chromium() -> Iterator[Page]:
    """Start Chromium with an empty profile; the test is skipped where Chromium or selenium is absent."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = next(filter(None, map(shutil.which, _BROWSERS)), None), shutil.which(_DRIVER)
    if browser is None or driver is None:
        pytest.skip("Chromium and its driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        service = webdriver.chrome.service.Service(driver)
        started = webdriver.Chrome(options=options, service=service)
        try:
            yield Page(started)
        finally:
            started.quit()
