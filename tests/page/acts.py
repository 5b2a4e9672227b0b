"""What the page's buttons do to the world, in a real browser, against a real daemon. Arguments as those of stories.py."""

import json
import re
import sys

from browser import Browser, Keys


def act(browser, name, resource="", reason=""):
    """Presses a button and carries its dialog through."""
    wanted = f"[data-resource='{resource}']" if resource else ":not([data-resource])"
    browser.wait(f"the button {name} {resource}", "return document.querySelector(arguments[0])",
                 f"button[data-act={name}]{wanted}").click()
    if reason:
        browser.find("#act-reason").send_keys(reason)
    browser.find("#act-do").click()
    browser.wait("an answer that says yes", "return !document.getElementById('act').open"
                 " || document.getElementById('act-wrong').textContent")
    assert not browser.text("#act-wrong"), browser.text("#act-wrong")


def begin(world, browser, scope="operate"):
    browser.get(world["url"])
    browser.sign_in(world[scope])


def reconcile(world):
    with Browser() as browser:
        begin(world, browser)
        before = browser.find(".facts time").get_attribute("datetime")
        browser.run("return new Promise((done) => setTimeout(done, 1100))")
        act(browser, "reconcile", reason="To see it done")
        browser.wait("another turn", "return document.querySelector('.facts time').dateTime !== arguments[0]", before)
        assert not browser.complaints(), browser.complaints()


def suspend(world):
    with Browser() as browser:
        begin(world, browser)
        act(browser, "suspend", "session/1", "Under repair")
        browser.wait_for_text("Under repair", "section[aria-labelledby=suspended]")
        act(browser, "suspend", reason="All of it")
        browser.wait_for_text("Everything", "section[aria-labelledby=suspended]")


def resume(world):
    with Browser() as browser:
        begin(world, browser)
        browser.wait_for_text("Under repair", "section[aria-labelledby=suspended]")
        act(browser, "resume", "session/2", "Mended")
        browser.wait("the end of the suspension", "return !document.querySelector('section[aria-labelledby=suspended]')")


def rotate(world):
    with Browser() as browser:
        begin(world, browser)
        act(browser, "rotate", "host/1", "Left the house")
        browser.wait_for_text("Left the house", "#history tbody")


def approve(world):
    with Browser() as browser:
        begin(world, browser)
        act(browser, "approve", reason="It is meant")
        browser.wait("the end of the notice", "return !document.querySelector('button[data-act=approve]')")
        browser.wait_for_text("Number 12!", "#resources")


def claim(world):
    with Browser() as browser:
        begin(world, browser, "secrets")
        act(browser, "claim", "host/1")
        guid = browser.find("#guid-text").get_attribute("value")
        assert re.fullmatch(r"[0-9a-f-]{36}", guid), guid
        browser.press(Keys.ESCAPE)
        everything = ("(document.documentElement.outerHTML"
                      " + [...document.querySelectorAll('input')].map((input) => input.value))")
        browser.wait("the GUID's end", f"return !{everything}.includes('{guid}')")
        browser.wait("no button any more", "return !document.querySelector('button[data-act=claim]')")


if __name__ == "__main__":
    stories = [reconcile, suspend, resume, rotate, approve, claim]
    dict((story.__name__, story) for story in stories)[sys.argv[1]](json.loads(sys.argv[2]))
