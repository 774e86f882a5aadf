"""GET /examples in a real browser: everything by clicking, typing and dropping."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.conformance.cli.browser import NARROWEST, PHONE, WIDE, Browser, opened_browser
from tests.system.processes import ALPHA, Cluster

CONTRAST = """
const luminance = (color) => {
  const [r, g, b] = color.map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const parsed = (text) => text.match(/[\\d.]+/g).map(Number);
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const [r, g, b, a = 1] = parsed(getComputedStyle(one).backgroundColor);
    if (a === 1) return [r, g, b];
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const shown = element.checkVisibility({ visibilityProperty: true }) && !element.closest(":disabled, noscript, .skip");
  if (!says || !shown) continue;
  const [one, two] = [luminance(parsed(getComputedStyle(element).color).slice(0, 3)), luminance(behind(element))];
  const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
  if (ratio < 4.5) found.push(`${element.tagName} ${element.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return found;
"""
NAMELESS = """
const isNamed = (one) => one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim();
return [...document.querySelectorAll("input, select, textarea, button, progress")].filter((one) => !isNamed(one))
  .map((one) => one.outerHTML);
"""
TOO_WIDE = "return document.documentElement.scrollWidth - innerWidth;"
DROP = """
const given = new DataTransfer();
given.items.add(new File(["dropped\\n"], "dropped.csv", { type: "text/csv" }));
const how = { dataTransfer: given, bubbles: true, cancelable: true };
for (const name of ["dragenter", "dragover", "drop"])
  document.getElementById("drop").dispatchEvent(new DragEvent(name, how));
"""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser, cluster: Cluster) -> Iterator[Browser]:
    """The page, freshly opened, by somebody who was never there. It must not have broken its own rules afterwards."""
    window.resize(WIDE)
    window.prefer("light")
    window.open(f"{cluster.a.url}/examples")
    window.run("sessionStorage.clear()")
    window.open(f"{cluster.a.url}/examples")
    for left in window.downloads.iterdir():
        left.unlink()
    yield window
    assert window.complaints() == []


def enter_key(browser: Browser, key: str = ALPHA) -> None:
    browser.write("key", key)
    browser.click_words("Use key")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_upload_run_stream_and_download_by_clicking(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    browser.resize(size)
    browser.has("key-state", "needs a key")
    enter_key(browser)
    browser.has("key-state", "Ready: 4 commands.")
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    browser.find("pick").send_keys(str(tmp_path / "data.csv"))
    browser.has("upload-state", "data.csv is uploaded.")
    browser.choose("command", "copy")
    browser.write("argument-output", "copy.csv")
    browser.click("run")
    browser.has("status", "succeeded")
    assert (browser.text("output"), browser.text("exit-code")) == ("copied", "0")
    browser.has("files", "copy.csv")
    browser.driver.find_element("css selector", "[aria-label='Download copy.csv']").click()
    assert browser.downloaded("copy.csv") == b"a,b\n1,2\n"
    browser.click("zip")
    assert browser.downloaded(f"{browser.text('job-id')}.zip").startswith(b"PK")
    assert browser.run(TOO_WIDE) <= 0


def test_output_and_progress_come_while_the_command_runs(browser: Browser) -> None:
    enter_key(browser)
    browser.has("examples", "Count to five, live")
    browser.click_words("Count to five, live")
    browser.write("argument-count", "3")
    browser.write("argument-delay", "1")
    browser.click("run")
    browser.has("output", "tick 1")
    assert browser.text("status") == "running"
    assert "tick 3" not in browser.text("output")
    browser.has("status", "succeeded")
    assert [line for line in browser.text("output").splitlines() if line.startswith("tick")] == [
        "tick 1",
        "tick 2",
        "tick 3",
    ]
    browser.click("show-stderr")
    assert "tock" not in browser.text("output")


def test_a_run_that_is_waited_for_and_fails_shows_its_exit_code_and_its_errors(browser: Browser) -> None:
    enter_key(browser)
    browser.has("examples", "Fail")
    browser.click_words("A command that fails is an answer")
    browser.click("run")
    browser.has("status", "failed")
    assert browser.text("exit-code") == "3"
    browser.has("output", "failing with exit code 3")
    browser.has("output", "command exited with status 3")
    browser.has("files-empty", "The command left none.")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_wrong_key_is_told_and_the_right_one_helps(browser: Browser, size: tuple[int, int]) -> None:
    browser.resize(size)
    enter_key(browser, "wrong")
    browser.has("key-state", "The client token is not valid.")
    assert browser.find("key").get_attribute("aria-invalid") == "true"
    assert not browser.find("run").is_enabled()
    assert browser.run(TOO_WIDE) <= 0
    enter_key(browser)
    browser.has("key-state", "Ready")
    assert browser.find("key").get_attribute("aria-invalid") is None


def test_a_refusal_is_shown_as_the_server_tells_it(browser: Browser) -> None:
    enter_key(browser)
    browser.has("key-state", "Ready")
    browser.choose("command", "tick")
    browser.write("argument-count", "many")
    browser.click("run")
    browser.has("run-problem", "422 Unprocessable")
    browser.has("run-problem", "args.count must be a whole number, not 'many'.")
    assert browser.find("argument-count").get_attribute("aria-invalid") == "true"
    browser.choose("command", "copy")
    browser.write("argument-input", "file_id:none")
    browser.write("argument-output", "x")
    browser.click("run")
    browser.has("run-problem", "There is no uploaded file none.")


def test_a_file_can_be_dropped(browser: Browser) -> None:
    enter_key(browser)
    browser.has("key-state", "Ready")
    browser.choose("command", "copy")
    browser.run(DROP)
    browser.has("upload-state", "dropped.csv is uploaded.")
    assert str(browser.find("argument-input").get_attribute("value")).startswith("file_id:")


def test_everything_can_be_done_with_the_keyboard(browser: Browser) -> None:
    browser.write("key", ALPHA + Keys.ENTER)
    browser.has("examples", "Say hello")
    browser.driver.find_element("css selector", "#examples button").send_keys(Keys.ENTER)
    focused = browser.driver.switch_to.active_element
    assert focused.get_attribute("id") == "argument-text"
    focused.send_keys(" again", Keys.ENTER)
    browser.has("status", "succeeded")
    browser.has("output", "hello again")


def test_a_key_in_the_address_is_used_and_taken_out_of_it(browser: Browser, cluster: Cluster) -> None:
    browser.open(f"{cluster.b.url}/examples?api_key={ALPHA}")
    browser.has("key-state", "Ready: 3 commands.")
    assert browser.driver.current_url == f"{cluster.b.url}/examples"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_has_a_name_and_every_text_can_be_read(browser: Browser, scheme: str) -> None:
    browser.prefer(scheme)
    enter_key(browser)
    browser.has("key-state", "Ready")
    browser.choose("command", "tick")
    browser.write("argument-count", "x")
    browser.click("run")
    browser.has("run-problem", "422")
    browser.write("argument-count", "1")
    browser.write("argument-delay", "0")
    browser.click("run")
    browser.has("files", "output.txt")
    assert browser.run(NAMELESS) == []
    assert browser.run(CONTRAST) == []
    browser.resize(NARROWEST)
    assert browser.run(TOO_WIDE) <= 0


def test_the_reference_works_at_its_further_addresses(browser: Browser, cluster: Cluster) -> None:
    browser.open(f"{cluster.a.url}/docs")
    browser.has("reference", "/cli/run")
    described = "return window.ui && ui.specSelectors.specStr().includes('/cli/run')"
    for address in ("redoc", "_public/docs"):  # that it is drawn takes seconds, and is seen above
        browser.open(f"{cluster.a.url}/{address}")
        browser.until(lambda: browser.run(described), lambda: "the description has come")
