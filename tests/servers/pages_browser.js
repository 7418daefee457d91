/* A browser just big enough for the payer's scripts: pages, their windows, messages, timers, a few elements.
 *
 * node pages_browser.js FOLDER < scenario.js      the scenario's `seen` is printed as JSON
 *
 * Messages go by the rules of HTML: the receiver is told the sender's true origin and window, and a message
 * for another origin is dropped. Intervals run when a scenario says `page.tick()`.
 */
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const FOLDER = process.argv[2];
const SANDBOX = "http://127.0.0.1:8080";
const SHOP = "http://shop.example:3000";

class Element {
  constructor(values) {
    Object.assign(this, { textContent: "", hidden: false, className: "", dataset: {}, listeners: {} }, values);
  }
  addEventListener(name, call) {
    (this.listeners[name] = this.listeners[name] || []).push(call);
  }
  fire(name, event) {
    return Promise.all((this.listeners[name] || []).map((call) => call(event)));
  }
}

class Page {
  constructor(origin, { opener = null, hash = "", blocked = false, readyState = "complete", wx, dataset } = {}) {
    Object.assign(this, { origin, opener, blocked, closed: false, opened: [], intervals: new Map() });
    Object.assign(this, { posts: [], answers: {}, elements: {}, views: new Map(), replaced: "" });
    this.people = [new Element({ value: "alice", checked: true }), new Element({ value: "bob", checked: false })];
    this.listeners = new Element({});
    this.events = new Element({});
    const page = this;
    const script = { src: `${SANDBOX}/_paysim/bridge.js`, dataset: dataset || {} };
    const document = {
      currentScript: script,
      readyState,
      body: new Element({}),
      addEventListener: (name, call) => page.events.addEventListener(name, call),
      dispatchEvent: (event) => void page.events.fire(event.type, event),
      getElementById: (id) => page.part(id),
      querySelector: (text) => (text.includes("checked") ? page.people.find((one) => one.checked) : script),
      querySelectorAll: () => page.people,
    };
    const shared = { URL, Uint8Array, Event, Promise, console, crypto: globalThis.crypto };
    this.window = vm.createContext({
      ...shared,
      document,
      origin,
      wx,
      opener: opener && page.see(opener),
      location: { hash, pathname: "/_paysim/page", replace: (url) => (page.replaced = url) },
      setTimeout: (call) => setImmediate(call),
      setInterval: (call) => page.intervals.set(page.intervals.size + 1, call).size,
      clearInterval: (number) => page.intervals.delete(number),
      addEventListener: (name, call) => page.listeners.addEventListener(name, call),
      removeEventListener: (name, call) => {
        page.listeners.listeners[name] = page.listeners.listeners[name].filter((one) => one !== call);
      },
      open: (url, target, features) => page.open(url, target, features),
      close: () => (page.closed = true),
      fetch: (where, init) => page.fetch(where, init),
    });
    this.window.window = this.window;
  }

  run(...names) {
    for (const name of names) {
      vm.runInContext(fs.readFileSync(path.join(FOLDER, name), "utf-8"), this.window, { filename: name });
    }
    return this;
  }

  part(id) {
    return (this.elements[id] = this.elements[id] || new Element({}));
  }

  /* Another page's window, as this one holds it. */
  see(other) {
    if (!this.views.has(other)) {
      const sender = this;
      this.views.set(other, {
        get closed() {
          return other.closed;
        },
        postMessage(data, target) {
          const copy = structuredClone(data);
        const from = sender.origin;
          setImmediate(() => {
            if (!other.closed && (target === "*" || target === other.origin)) {
              other.hear({ origin: from, source: other.see(sender), data: copy });
            }
          });
        },
      });
    }
    return this.views.get(other);
  }

  hear(event) {
    this.listeners.fire("message", event);
  }

  open(url, target, features) {
    if (this.blocked) {
      return null;
    }
    const { origin, pathname, search, hash } = new URL(url);
    const popup = new Page(origin, { opener: this, hash });
    this.opened.push(popup);
    Object.assign(popup, { url, target, features, id: hash.slice(1), path: pathname + search });
    return this.see(popup);
  }

  /* What a confirm window says to the page that opened it. */
  say(data, target) {
    this.see(this.opener).postMessage(data, target || this.opener.origin);
  }

  async fetch(where, init) {
    this.posts.push({ where, ...JSON.parse(init.body), headers: init.headers });
    const answer = this.answers[where];
    if (answer === undefined) {
      throw new Error("connection refused");
    }
    return { json: async () => answer };
  }

  /* A person presses a button. */
  choose(outcome) {
    return this.part("choices").fire("submit", { preventDefault() {}, submitter: { value: outcome } });
  }

  tick() {
    [...this.intervals.values()].forEach((call) => call());
  }
}

async function settle() {
  for (let turn = 0; turn < 30; turn += 1) {
    await new Promise((done) => setImmediate(done));
  }
}

async function main() {
  const seen = [];
  const names = ["Page", "SANDBOX", "SHOP", "settle", "seen"];
  const scenario = new (Object.getPrototypeOf(main).constructor)(...names, fs.readFileSync(0, "utf-8"));
  await scenario(Page, SANDBOX, SHOP, settle, seen);
  process.stdout.write(JSON.stringify(seen));
}

main().catch((error) => {
  process.stderr.write(String(error.stack));
  process.exitCode = 1;
});
