"""A real browser, driven as a person drives it: Debian's Chromium by its own driver."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SECONDS_MAX: Final = 20
WIDE, PHONE, NARROWEST = (1280, 900), (390, 844), (320, 640)


class Browser:
    """One window. What it shows is found as people find it: by id or by the words on it."""

    def __init__(self, driver: Chrome, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def resize(self, size: tuple[int, int]) -> None:
        """Also narrower than a window may be."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def open(self, url: str) -> None:
        self.driver.get(url)

    def find(self, element_id: str) -> WebElement:
        return self.driver.find_element(By.ID, element_id)

    def click(self, element_id: str) -> None:
        self.find(element_id).click()

    def click_words(self, words: str) -> None:
        self.driver.find_element(By.XPATH, f"//button[contains(., '{words}')]").click()

    def write(self, element_id: str, text: str) -> None:
        field = self.find(element_id)
        field.clear()
        field.send_keys(text)

    def choose(self, element_id: str, value: str) -> None:
        self.find(element_id).find_element(By.CSS_SELECTOR, f"option[value='{value}']").click()

    def text(self, element_id: str) -> str:
        return str(self.find(element_id).text)

    def has(self, element_id: str, words: str) -> None:
        """Wait until *words* stand there. By a script: the driver takes seconds to read a long page."""
        shown = "return document.getElementById(arguments[0]).innerText.includes(arguments[1])"
        self.until(
            lambda: self.driver.execute_script(shown, element_id, words),
            lambda: f"{words!r} in: {self.text(element_id)!r}",
        )

    def until(self, condition: Callable[[], object], what: Callable[[], str]) -> None:
        try:
            WebDriverWait(self.driver, SECONDS_MAX, poll_frequency=0.05).until(lambda _: condition())
        except Exception as error:
            raise AssertionError(f"not in {SECONDS_MAX} s: {what()}; the console says {self.complaints()}") from error

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def complaints(self) -> list[str]:
        """Of the browser about the page, since they were last asked for. Answers of the server are none."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if "Failed to load resource" not in entry["message"]]

    def downloaded(self, name: str) -> bytes:
        file = self.downloads / name
        self.until(file.exists, lambda: f"{name} among {[path.name for path in self.downloads.iterdir()]}")
        return file.read_bytes()


@contextmanager
def opened_browser(folder: Path) -> Iterator[Browser]:
    """Where there is none, the test fails in CI and is skipped elsewhere."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing = "there is no chromium with its chromedriver: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    downloads = folder / "downloads"
    downloads.mkdir()
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = Chrome(options=options, service=ChromeService(driver))
    try:
        yield Browser(started, downloads)
    finally:
        started.quit()
