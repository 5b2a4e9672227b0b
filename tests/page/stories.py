"""What people do with the page, in a real browser, against a real daemon.

    python3 stories.py STORY WORLD

WORLD is JSON: `url`, where the daemon listens; `read`, `operate`, `secrets`, tokens; `state`, the directory of the state
files; `pid`, the daemon's. A story that ends is well; one that is not raises what it found.
"""

import json
import os
import pathlib
import signal
import sys

from browser import Browser, Keys

# Replaces what the page sends with POST: it is written down, and answered as the test says.
RECORDER = """
    const real = window.fetch;
    window.sent = [];
    window.answers = arguments[0];
    window.fetch = (url, options = {}) => {
        if (options.method !== "POST") return real(url, options);
        window.sent.push({path: url.pathname, body: options.body, headers: options.headers});
        const answer = window.answers.shift();
        if (answer === null) return Promise.reject(new TypeError("Failed to fetch"));
        return Promise.resolve(new Response(JSON.stringify(answer.body), {status: answer.status}));
    };
"""
GUID = "6f1c1b0e-9d3a-4c57-8f43-2f6a8a1b7c55"


def write(world, name, text):
    pathlib.Path(world["state"], name).write_text(text, "utf-8")


def signing_in(world):
    with Browser() as browser:
        browser.get(world["url"])
        assert "reconcile token create --name NAME --scope read" in browser.text()
        assert "development" not in browser.driver.page_source, "a stranger is told of the environment"
        browser.find("#token").send_keys("rct_nonsense", Keys.ENTER)
        browser.wait_for_text("this is no token", "#token-wrong")
        assert browser.focused() == "token"
        browser.find("#token").clear()
        browser.sign_in(world["read"])
        assert browser.driver.title == "development · KSESSIONS_DEV · reconcile"
        browser.wait_for_text("development", ".environment")
        assert "reader (read)" in browser.text(".who")
        assert not [button for button in browser.all("button[data-act]")], "buttons for a token that may only look"
        everything = browser.run("return document.documentElement.outerHTML + location.href + JSON.stringify(localStorage)"
                                 " + [...document.querySelectorAll('input')].map((input) => input.value)")
        assert world["read"] not in everything, "the token is in the page"
        assert browser.run("return Object.values(sessionStorage)") == [world["read"]]
        browser.driver.refresh()
        browser.wait_for_text("live", "#connection")
        browser.find("#sign-out").click()
        browser.wait_for_text("sign in", "h2")
        assert browser.run("return sessionStorage.length") == 0
        assert "One" not in browser.driver.page_source
        complaints = [one for one in browser.complaints() if "401" not in one]
        assert not complaints, complaints


def following(world):
    with Browser(height=600) as browser:
        browser.get(world["url"])
        browser.sign_in(world["operate"])
        browser.run("window.loadedOnce = true; document.getElementById('q').focus()")
        browser.press("half a wor")
        browser.run("document.scrollingElement.scrollTop = 250")
        before = browser.run("return document.scrollingElement.scrollTop")
        write(world, "b.yaml", "sessions:\n  - {id: 2, title: Deux}\n")
        browser.wait_for_text("Deux", "#resources")
        browser.wait_for_text("Updated: 2 in sync, 0 pending, 0 blocked", "#said")
        assert browser.run("return window.loadedOnce"), "the page was loaded anew"
        assert browser.focused() == "q" and browser.find("#q").get_attribute("value") == "half a wor"
        assert abs(browser.run("return document.scrollingElement.scrollTop") - before) < 2
        browser.press("d")
        assert browser.find("#q").get_attribute("value") == "half a word"

        # A dialog that is open stays open, with what was typed.
        browser.find("button[data-act=suspend]").click()
        browser.press("Under rep")
        write(world, "c.yaml", "sessions:\n  - {id: one}\n")
        browser.wait_for_text("desired-state/c.yaml:2:10", ".notice")
        browser.wait_for_text("still enforcing the files as read at", ".notice")
        stumbles(browser, "problems of files")
        browser.press("air")
        assert browser.find("#act-reason").get_attribute("value") == "Under repair"
        browser.press(Keys.ESCAPE)
        write(world, "c.yaml", "sessions:\n  - {id: 3, title: Trois}\n")
        browser.wait_for_text("Trois", "#resources")
        assert not browser.all(".notice")

        complaints = browser.complaints()
        assert not complaints, complaints
        os.kill(world["pid"], signal.SIGTERM)
        browser.wait_for_text("Not connected; trying again in", "#connection")
        assert "Trois" in browser.text("#resources"), "what was known is gone"


def finding(world):
    with Browser() as browser:
        rows = lambda: [row.text.split("\n")[0] for row in browser.all("#resources tbody th")]
        browser.get(world["url"])
        browser.sign_in(world["read"])
        assert len(rows()) == 50 and rows()[0] == "session/1"
        assert len(browser.run("return document.documentElement.outerHTML")) < 100_000
        browser.find("#q").send_keys("number 4321.", Keys.ENTER)
        browser.wait("one row", "return document.querySelectorAll('#resources tbody tr').length === 1")
        assert rows() == ["session/4321"] and "q=number+4321." in browser.driver.current_url
        browser.find("#q").clear()
        browser.find("#q").send_keys(Keys.ENTER)
        browser.wait("50 rows", "return document.querySelectorAll('#resources tbody tr').length === 50")
        browser.find("a[rel=next]").click()
        browser.wait("the next page", "return document.querySelector('#resources tbody code').innerText === 'session/51'")
        assert len(rows()) == 50
        browser.driver.back()
        browser.wait("the first page", "return document.querySelector('#resources tbody code').innerText === 'session/1'")
        browser.find("#kind").send_keys("hosts")
        browser.find("#resources button[type=submit]").click()
        browser.wait("no row", "return document.querySelectorAll('#resources tbody tr').length === 0")
        assert "None." in browser.text("#resources")
        browser.get(f"{world['url']}/?of=session/77")
        browser.wait_for_text("session/77", "#history tbody")
        assert len(browser.all("#history tbody tr")) == 1
        assert not browser.complaints()


def seeing(world):
    shots = os.environ.get("PAGE_SHOTS")
    with Browser() as browser:
        browser.get(world["url"])
        stumbles(browser, "the way in")
        browser.sign_in(world["secrets"])
        for text in ("session 999 does not exist", "Way out: declare it under sessions:", "drift", "Under repair",
                     'title "Zwei" -> "Two"', "postgres-pool-1", "0/50"):
            browser.wait_for_text(text, "main")
        assert "<script>alert(1)</script>" in browser.text("#resources")
        assert len(browser.all("script")) == 1, "a title has become a script"
        # Colour alone says nothing: the words stand there too.
        assert browser.text(".environment").lower() == "development"
        chips = [" ".join(chip.text.split()) for chip in browser.all("#resources .chip")]
        assert chips[:5] == ["in sync", "drifted", "pending", "blocked", "suspended"], chips

        for name, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 360, "light"),
                                    ("phone-dark", 360, "dark")):
            browser.look(width, 900, scheme)
            stumbles(browser, name)
            wide = browser.run("return document.scrollingElement.scrollWidth")
            assert wide <= width, f"{name}: {wide} pixels wide"
            if shots:
                browser.shot(f"{shots}/{name}.png")
            browser.run("document.querySelector('button[data-act=rotate]').click()")
            stumbles(browser, f"{name}, with a dialog")
            if shots:
                browser.shot(f"{shots}/{name}-dialog.png", whole=False)
            browser.press(Keys.ESCAPE)

        # By keyboard alone.
        browser.look(1280, 900, "light")
        browser.driver.refresh()
        browser.wait_for_text("live", "#connection")
        browser.press(Keys.TAB)
        assert browser.focused() == "Skip to content", browser.focused()
        browser.press(Keys.ENTER)
        assert browser.focused() == "main", browser.focused()
        browser.press(Keys.TAB)
        assert browser.focused() == "Reconcile now", browser.focused()
        browser.press(Keys.ENTER)
        assert browser.focused() == "act-reason" and browser.all("dialog[open]")
        browser.press(Keys.TAB, Keys.TAB)
        assert browser.focused() == "act-do", browser.focused()
        browser.press(Keys.ESCAPE)
        assert browser.focused() == "Reconcile now" and not browser.all("dialog[open]")
        assert not browser.complaints(), browser.complaints()


def stumbles(browser, where):
    found = browser.axe()
    assert not found, f"{where}:\n" + "\n".join(found)


def without_scripts(world):
    parts = lambda browser: {part: browser.text(part) for part in ("#resources", "#history", ".counts", "header h1")}
    with Browser() as browser:
        browser.get(world["url"])
        browser.sign_in(world["read"])
        with_scripts = parts(browser)
    asked = world["url"].replace("http://", f"http://whoever:{world['read']}@") + "/page/"
    with Browser(scripts=False) as browser:
        browser.get(world["url"])
        assert not browser.find("#token").is_displayed(), "a token could go into an address"
        assert browser.find("main a").get_attribute("href").endswith("/page/")
        browser.get(asked)
        assert parts(browser) == with_scripts
        assert not [button for button in browser.all(".act") if button.is_displayed()]
        browser.find("#q").send_keys("two", Keys.ENTER)
        browser.wait("what was searched for", "return location.search.includes('q=two')"
                     " && document.querySelectorAll('#resources tbody tr').length === 1")
        assert browser.text("#resources tbody code") == "session/2"
        browser.get(f"{world['url']}/page/?limit=2")
        browser.find("a[rel=next]").click()
        browser.wait_for_text("session/3", "#resources tbody code")
        assert not browser.complaints(), browser.complaints()
    # With scripts, a page that was asked for in this way follows what happens, and cannot act.
    with Browser() as browser:
        browser.get(asked)
        browser.wait_for_text("live", "#connection")
        write(world, "z.yaml", "sessions:\n  - {id: 26, title: Last}\n")
        browser.wait_for_text("Last", "#resources")
        assert not [button for button in browser.all(".act") if button.is_displayed()]


def acting(world):
    refused = {"status": 409, "body": {"detail": "it is suspended", "hints": ["resume it"]}}
    done = {"status": 200, "body": {}}
    with Browser() as browser:
        browser.get(world["url"])
        browser.sign_in(world["secrets"])
        stumbles(browser, "a plan that is held back")

        def act(name, resource, reason, answers):
            """What is sent when a button is pressed and its dialog carried through, as often as there are answers."""
            is_set = browser.run("return window.sent !== undefined")
            browser.run("window.answers = arguments[0]; window.sent = []" if is_set else RECORDER, list(answers))
            wanted = f"[data-resource='{resource}']" if resource else ":not([data-resource])"
            browser.find(f"button[data-act={name}]{wanted}").click()
            assert browser.find("#act-reason-label").is_displayed() == (name != "claim")
            if reason:
                browser.find("#act-reason").send_keys(reason)
            for count in range(1, len(answers) + 1):
                browser.find("#act-do").click()
                browser.wait("an answer", "return window.sent.length === arguments[0]"
                             " && !document.getElementById('act-do').disabled", count)
            return browser.run("return window.sent")

        def expect(sent, path, body):
            for request in sent:
                assert (request["path"], json.loads(request["body"])) == (path, body), request
                headers = request["headers"]
                assert headers["Authorization"] == f"Bearer {world['secrets']}"
                assert headers["Content-Type"] == "application/json" and len(headers["Idempotency-Key"]) == 36
            return [request["headers"]["Idempotency-Key"] for request in sent]

        expect(act("reconcile", "", "", [done]), "/api/v1/reconcile", {})
        browser.wait_for_text("Reconciled.", "#said")
        expect(act("reconcile", "", "Now", [done]), "/api/v1/reconcile", {"reason": "Now"})
        sent = act("suspend", "session/1", "Repair", [refused])
        assert browser.text("#act-wrong").split() == ["it", "is", "suspended", "resume", "it"]
        browser.find("#act-cancel").click()
        expect(sent, "/api/v1/suspend", {"resource": "session/1", "reason": "Repair"})
        # What got no answer, or was refused, keeps its key when it is sent again; what was done does not.
        sent = act("suspend", "", "All", [None, refused, done])
        assert len(set(expect(sent, "/api/v1/suspend", {"reason": "All"}))) == 1
        again = act("suspend", "", "All", [done])
        assert expect(again, "/api/v1/suspend", {"reason": "All"})[0] != sent[0]["headers"]["Idempotency-Key"]
        expect(act("resume", "session/2", "Done", [done]), "/api/v1/resume", {"resource": "session/2", "reason": "Done"})
        expect(act("rotate", "host/1", "Left", [done]), "/api/v1/hosts/1/rotate", {"reason": "Left"})
        digest = browser.find("button[data-act=approve]").get_attribute("data-digest")
        assert len(digest) == 32 and digest in browser.text(".notice")
        expect(act("approve", "", "Meant", [done]), "/api/v1/approve", {"digest": digest, "reason": "Meant"})

        # A reason that is wanted is not left out.
        browser.run("window.sent = []")
        browser.find("button[data-act=rotate]").click()
        browser.find("#act-do").click()
        assert browser.all("dialog[open]") and browser.run("return window.sent.length") == 0
        browser.press(Keys.ESCAPE)

        answer = {"status": 200, "body": {"session": 1, "guid": GUID}}
        expect(act("claim", "host/1", "", [answer]), "/api/v1/hosts/1/claim", {})
        assert browser.find("#guid-text").get_attribute("value") == GUID
        stumbles(browser, "the GUID's dialog")
        browser.find("#guid-copy").click()
        browser.wait("a word on the copy", "return document.getElementById('guid-said').textContent")
        browser.press(Keys.ESCAPE)
        browser.wait("the end of the dialog", "return !document.querySelector('dialog[open]')")
        everything = browser.run("return document.documentElement.outerHTML"
                                 " + [...document.querySelectorAll('input')].map((input) => input.value)"
                                 " + JSON.stringify(sessionStorage)")
        assert GUID not in everything, "the GUID is still there"
        assert "claim" in browser.run("return document.activeElement.dataset.act"), "the focus is lost"
        assert not browser.complaints(), browser.complaints()


if __name__ == "__main__":
    stories = [signing_in, following, finding, seeing, without_scripts, acting]
    dict((story.__name__, story) for story in stories)[sys.argv[1]](json.loads(sys.argv[2]))
