// The page while it is open: signs in, asks for the page again when something has happened and puts in what is different,
// and opens the dialogs of those who may act. Without it the page can be read all the same.
"use strict";

(() => {
  const KEY = "reconcile-token";
  // Milliseconds: how long an answer may take, when a stream that is silent counts as gone, and how long to wait before
  // the next attempt: at first, and at most.
  const ANSWER = 45_000, SILENCE = 40_000, FIRST = 1_000, MOST = 30_000;
  const find = (id) => document.getElementById(id);
  // On `/` a token in this tab is shown as a bearer; on `/page/` the browser itself shows what it was told.
  const isOwn = location.pathname === "/";
  let token = isOwn ? sessionStorage.getItem(KEY) : null;

  const ask = (path, options = {}) => {
    const headers = { ...options.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    const signal = options.signal ?? AbortSignal.timeout(ANSWER);
    // Where the page was asked for with a user in its address, what is relative to it would have one too.
    return fetch(new URL(path, location.origin), { ...options, headers, signal, cache: "no-store", credentials: token ? "omit" : "same-origin" });
  };

  // What an answer that says no has to say: a line, and ways out.
  const problem = async (answer) => {
    const said = await answer.json().catch(() => ({}));
    return { detail: said.detail ?? `${answer.status} ${answer.statusText}`, hints: said.hints ?? [] };
  };

  const say = (text) => { find("said").textContent = text; };

  // --- the page ------------------------------------------------------------------------------------------------------

  // Makes `old` like `fresh`, and leaves alone what is alike, what is the script's own, and what somebody is typing.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.hasAttribute("data-keep") && fresh.hasAttribute("data-keep")) return;
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    let place = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const same = child.id ? named.get(child.id) : undefined;
      if (same && same !== place) old.insertBefore(same, place);
      else if (!same && (!place || child.id || place.id)) {
        old.insertBefore(child, place);
        continue;
      }
      const match = same ?? place;
      place = match.nextSibling;
      morph(match, child);
    }
    while (place) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  };

  let asking = null, again = false, shown = "";

  // Fetches the page and puts in what is different. Asked for while it is under way, it is done once more.
  const load = async (why) => {
    if (asking) {
      again = true;
      return asking;
    }
    asking = (async () => {
      do {
        again = false;
        await put(why);
      } while (again);
    })().finally(() => { asking = null; });
    return asking;
  };

  const put = async (why) => {
    const answer = await ask(`/page/${location.search}`);
    if (answer.status === 401) return signOut("The token is no longer good.");
    if (!answer.ok) throw new Error((await problem(answer)).detail);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = fresh.title;
    document.documentElement.dataset.environment = fresh.documentElement.dataset.environment;
    const at = document.scrollingElement.scrollTop;
    morph(document.body, document.adoptNode(fresh.body));
    document.documentElement.classList.toggle("can-act", Boolean(token));
    if (why === "news") document.scrollingElement.scrollTop = at;
    const now = find("main").dataset.said ?? "";
    if (why === "news" && now !== shown) say(`Updated: ${now}`);
    shown = now;
  };

  const go = async (query, hash) => {
    history.pushState(null, "", `${location.pathname}${query}${hash}`);
    await load("asked").catch(lost);
    const there = hash && find(hash.slice(1));
    if (there) {
      there.scrollIntoView({ block: "start" });
      there.focus({ preventScroll: true });
    }
  };

  // --- news ----------------------------------------------------------------------------------------------------------

  let stream = null, pause = FIRST, timer = 0;

  const connection = (text, isLive) => {
    const shown = find("connection");
    if (shown.textContent !== text) shown.textContent = text;
    shown.classList.toggle("live", isLive);
    shown.classList.toggle("away", !isLive);
  };

  const lost = (error) => {
    stream?.abort();
    stream = null;
    if (document.hidden || (isOwn && !token)) return;
    const wait = Math.round(pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, MOST);
    connection(`Not connected; trying again in ${Math.ceil(wait / 1000)} s`, false);
    console.info("not connected:", error?.message ?? error);
    clearTimeout(timer);
    timer = setTimeout(connect, wait);
  };

  // One stream at a time, and none while nobody looks.
  const connect = async () => {
    stream?.abort();
    const mine = stream = new AbortController();
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => mine.abort(new Error("nothing was heard")), SILENCE);
    };
    try {
      heard();
      const answer = await ask("/page/events", { signal: mine.signal });
      if (answer.status === 401) return signOut("The token is no longer good.");
      if (!answer.ok) throw new Error((await problem(answer)).detail);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        heard();
        pause = FIRST;
        connection("Live", true);
        text += value;
        const events = text.split("\n\n");
        text = events.pop();
        for (const event of events) await told(event);
      }
      // It has lived long enough, or the daemon ends.
      if (stream === mine) lost(new Error("the stream has ended"));
    } catch (error) {
      if (stream === mine) lost(error);
    } finally {
      clearTimeout(silence);
    }
  };

  const told = async (event) => {
    const isNews = event.startsWith("event: news\n");
    const count = isNews ? event.split("data: ")[1] : "";
    if (event.startsWith("event: look\n") || (isNews && find("main").dataset.news !== count)) await load("news");
  };

  document.addEventListener("visibilitychange", () => {
    if (isOwn && !token) return;
    if (document.hidden) {
      clearTimeout(timer);
      const gone = stream;
      stream = null;
      gone?.abort();
    } else {
      connect();
    }
  });

  // --- signing in and out --------------------------------------------------------------------------------------------

  const signOut = (why) => {
    sessionStorage.removeItem(KEY);
    token = null;
    stream?.abort();
    stream = null;
    if (!isOwn) return connection(`Not connected: ${why}`, false);
    if (why) sessionStorage.setItem(`${KEY}-gone`, why);
    location.replace(`/${location.search}`);
  };

  const begin = async () => {
    await load("asked").catch(lost);
    if (!isOwn || token) connect();
  };

  const signIn = async (event) => {
    event.preventDefault();
    const field = find("token"), wrong = find("token-wrong");
    wrong.textContent = "";
    token = field.value.trim();
    try {
      const answer = await ask("/api/v1/me");
      if (!answer.ok) throw new Error((await problem(answer)).detail);
      field.value = "";
      sessionStorage.setItem(KEY, token);
      await begin();
      find("main").focus({ preventScroll: true });
    } catch (error) {
      token = null;
      wrong.textContent = error.message;
      field.focus();
    }
  };

  // --- acting --------------------------------------------------------------------------------------------------------

  const WHAT = (resource) => resource || "everything";
  const SESSION = (resource) => encodeURIComponent(resource.split("/")[1]);
  // By the name of the button: what the dialog says, whether it wants a reason, and what is asked of the API.
  const ACTIONS = {
    reconcile: {
      title: () => "Reconcile now", about: "The daemon looks at everything and applies what has changed.", button: "Reconcile",
      reason: "optional", path: () => "/api/v1/reconcile", body: ({ reason }) => (reason ? { reason } : {}),
      done: () => "Reconciled.",
    },
    suspend: {
      title: ({ resource }) => `Suspend ${WHAT(resource)}`, about: "Nothing is applied to it until somebody resumes it.",
      button: "Suspend", reason: "wanted", path: () => "/api/v1/suspend",
      body: ({ resource, reason }) => (resource ? { resource, reason } : { reason }),
      done: ({ resource }) => `Suspended ${WHAT(resource)}.`,
    },
    resume: {
      title: ({ resource }) => `Resume ${WHAT(resource)}`, about: "What is due is applied again.",
      button: "Resume", reason: "wanted", path: () => "/api/v1/resume",
      body: ({ resource, reason }) => (resource ? { resource, reason } : { reason }),
      done: ({ resource }) => `Resumed ${WHAT(resource)}.`,
    },
    approve: {
      title: () => "Approve the changes that wait", button: "Approve", reason: "wanted", path: () => "/api/v1/approve",
      about: "All of them are applied, however many they are. Changes that have become others wait again.",
      body: ({ digest, reason }) => ({ digest, reason }), done: () => "Approved.",
    },
    rotate: {
      title: ({ resource }) => `Rotate ${resource}`, button: "Rotate", reason: "wanted",
      about: "Its GUID stops opening the session, and a new one waits to be claimed.",
      path: ({ resource }) => `/api/v1/hosts/${SESSION(resource)}/rotate`, body: ({ reason }) => ({ reason }),
      done: ({ resource }) => `Rotated ${resource}; the new GUID waits to be claimed.`,
    },
    claim: {
      title: ({ resource }) => `Claim the GUID of ${resource}`, button: "Claim and show it", reason: "none",
      about: "It is shown once, here, and then kept by nobody: have the place ready where it goes.",
      path: ({ resource }) => `/api/v1/hosts/${SESSION(resource)}/claim`, body: () => ({}),
      done: ({ resource }) => `Claimed the GUID of ${resource}.`,
    },
  };

  let deed = null, opener = null, sent = null;

  const open = (button) => {
    const { act, resource = "", digest = "" } = button.dataset;
    const { title, about, button: label, reason } = ACTIONS[act];
    deed = { act, resource, digest };
    opener = { button, act, resource };
    find("act-title").textContent = title(deed);
    find("act-about").textContent = about;
    for (const id of ["act-reason", "act-reason-label", "act-reason-about"]) find(id).hidden = reason === "none";
    find("act-reason").required = reason === "wanted";
    find("act-reason").value = "";
    find("act-reason-label").textContent = reason === "optional" ? "Reason (not needed)" : "Reason";
    find("act-do").textContent = label;
    find("act-wrong").replaceChildren();
    find("act").showModal();
    find(reason === "none" ? "act-do" : "act-reason").focus();
  };

  // Back to the button, or to the one that has taken its place.
  const back = () => {
    const { button, act, resource } = opener ?? {};
    const same = [...document.querySelectorAll("button[data-act]")].find(
      ({ dataset }) => dataset.act === act && (dataset.resource ?? "") === resource);
    (button?.isConnected ? button : same ?? find("main")).focus();
  };

  // 128 random bits, also where the browser has no `randomUUID` because the page came without TLS.
  const newKey = () =>
    crypto.randomUUID?.() ??
    [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

  const refuse = ({ detail, hints }) => {
    const line = document.createElement("p"), list = document.createElement("ul");
    line.textContent = detail;
    list.append(...hints.map((hint) => Object.assign(document.createElement("li"), { textContent: hint })));
    find("act-wrong").replaceChildren(line, list);
  };

  const act = async (event) => {
    event.preventDefault();
    const action = ACTIONS[deed.act], mine = { ...deed, reason: find("act-reason").value.trim() };
    const path = action.path(mine), body = JSON.stringify(action.body(mine));
    // The same request keeps its key until it is known to be done, so that it is not done twice.
    if (sent?.path !== path || sent.body !== body) sent = { path, body, key: newKey() };
    find("act-wrong").replaceChildren();
    find("act-do").disabled = true;
    try {
      const headers = { "Content-Type": "application/json", "Idempotency-Key": sent.key };
      const answer = await ask(path, { method: "POST", headers, body });
      if (!answer.ok) return refuse(await problem(answer));
      sent = null;
      if (mine.act === "claim") show(mine.resource, (await answer.json()).guid);
      find("act").close();
      say(action.done(mine));
      await load("asked").catch(lost);
    } catch (error) {
      refuse({ detail: `No answer came (${error.message}).`, hints: ["Try again: it is not done twice."] });
    } finally {
      find("act-do").disabled = false;
    }
  };

  const show = (resource, guid) => {
    find("guid-title").textContent = `The GUID of ${resource}`;
    find("guid-said").textContent = guid ? "" : "It was claimed before, and is told to nobody again.";
    find("guid-text").value = guid ?? "";
    find("guid").showModal();
    find("guid-text").focus();
    find("guid-text").select();
  };

  const copy = async () => {
    const field = find("guid-text"), said = find("guid-said");
    try {
      await navigator.clipboard.writeText(field.value);
      said.textContent = "Copied.";
    } catch {
      field.focus();
      field.select();
      said.textContent = "It is selected: copy it with the keyboard.";
    }
  };

  // --- what people do ------------------------------------------------------------------------------------------------

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button"), link = event.target.closest('a[href^="?"]');
    if (button?.dataset.act) open(button);
    else if (button?.id === "sign-out") signOut();
    else if (button?.id === "act-cancel") find("act").close();
    else if (button?.id === "guid-copy") copy();
    else if (button?.id === "guid-close") find("guid").close();
    else if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
      event.preventDefault();
      const { search, hash } = new URL(link.href);
      go(search, hash);
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id === "sign-in") return signIn(event);
    if (form.method === "dialog") return act(event);
    event.preventDefault();
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    go(asked.size ? `?${asked}` : "?", new URL(form.action).hash);
  });

  // `close` does not bubble.
  document.addEventListener("close", (event) => {
    if (event.target.id === "guid") find("guid-text").value = "";
    if (event.target.nodeName === "DIALOG" && !document.querySelector("dialog[open]")) back();
  }, true);

  addEventListener("popstate", () => load("asked").catch(lost));

  if (isOwn && !token) {
    find("sign-in").hidden = false;
    find("token-wrong").textContent = sessionStorage.getItem(`${KEY}-gone`) ?? "";
    sessionStorage.removeItem(`${KEY}-gone`);
    find("token").focus();
  } else if (isOwn) {
    begin();
  } else {
    shown = find("main").dataset.said ?? "";
    connect();
  }
})();
