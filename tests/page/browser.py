"""A headless Chromium with nothing of its own to fetch, for the stories of the page."""

import base64
import importlib.util
import json
import pathlib
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

# As root, in a machine without a display, and in silence.
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--disable-search-engine-choice-screen", "--lang=en",
]
# Seconds until something that is waited for counts as missing.
LIMIT = 20


class Browser:
    """One window of its own profile; closed, and all of it gone, at the end of the `with`."""

    def __init__(self, width=1280, height=900, scheme="light", scripts=True):
        self.profile = tempfile.TemporaryDirectory(prefix="reconcile-browser-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, f"--user-data-dir={self.profile.name}", f"--window-size={width},{height}"]:
            options.add_argument(flag)
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.set_page_load_timeout(LIMIT)
        self.driver.set_script_timeout(LIMIT)
        self.look(width, height, scheme)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        self.profile.cleanup()

    def look(self, width, height, scheme):
        """From now on through a window of this size, by day or by night."""
        command = self.driver.execute_cdp_cmd
        command("Emulation.setDeviceMetricsOverride",
                {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        command("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def get(self, address):
        self.driver.get(address)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector="body"):
        """What people see of it."""
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def press(self, *keys):
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self):
        """The id of what has the focus, or else what it says."""
        return self.run("const it = document.activeElement; return it.id || it.innerText")

    def wait(self, what, script, *arguments):
        """Until the script gives something that counts as true, which is given back."""
        deadline = time.monotonic() + LIMIT
        while True:
            found = self.run(script, *arguments)
            if found:
                return found
            assert time.monotonic() < deadline, f"waited {LIMIT} s in vain: {what}\n{self.text()[:4000]}"
            time.sleep(0.02)

    def wait_for_text(self, text, selector="body"):
        self.wait(f"{text!r} in {selector}", "return (document.querySelector(arguments[1])?.innerText ?? '')"
                  ".toLowerCase().includes(arguments[0].toLowerCase())", text, selector)

    def sign_in(self, token):
        self.find("#token").send_keys(token, Keys.ENTER)
        self.wait_for_text("live", "#connection")

    def complaints(self):
        """What the browser itself had to say against the page, such as a breach of its own policy."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def shot(self, path, whole=True):
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        pathlib.Path(path).write_bytes(base64.b64decode(picture["data"]))

    def axe(self):
        """What a reader with other eyes or hands would stumble over: serious and critical findings."""
        package = importlib.util.find_spec("axe_playwright_python").submodule_search_locations[0]
        self.run(pathlib.Path(package, "axe.min.js").read_text("utf-8"))
        found = self.driver.execute_async_script("""
            const done = arguments[arguments.length - 1];
            axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => done(violations.map(
                ({id, impact, nodes}) => ({id, impact, nodes: nodes.map(({html, failureSummary}) => [html, failureSummary])}))));
        """)
        return [json.dumps(one, indent=1) for one in found if one["impact"] in ("serious", "critical")]
