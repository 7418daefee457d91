/* The window that bridge.js opens: it is told what to pay, asks the person, and tells the result. See bridge.js.
 *
 * It hears only the page that opened it, once; what it says goes to the origin that the browser named then.
 */
(function () {
  "use strict";

  const ORDER = "/_paysim/confirm/order";
  const PAY = "/_paysim/confirm";
  const prompt = window.paysimPrompt;
  const page = window.opener;
  const id = window.location.hash.slice(1);
  let asked = null;
  let told = false;

  if (!page || !/^[0-9a-f]{32}$/.test(id)) {
    prompt.stop("此窗口由商户页面打开 A merchant's page opens this window, by bridge.js");
    return;
  }

  function tell(result, message) {
    if (!told) {
      told = true;
      page.postMessage({ paysim: "result", id, result, message }, asked.opener);
    }
  }

  async function open() {
    const answer = await prompt.post(ORDER, asked);
    if (!answer.order) {
      prompt.stop(answer.message);
      tell("fail", answer.message);
      return;
    }
    prompt.show(answer.order);
  }

  async function act(person, outcome) {
    const answer = await prompt.post(PAY, Object.assign({ person, outcome }, asked));
    if (answer.result === null) {
      prompt.say("页面还没有得到结果 The page is told nothing until you choose again, or close this window", "wait");
      return;
    }
    if (answer.result === "fail") {
      tell("fail", answer.message);
      prompt.stop(answer.message);
    } else {
      tell(answer.result, "");
      window.close();
    }
  }

  function hear(event) {
    const said = event.data;
    if (asked || event.source !== page || !said || said.paysim !== "open" || said.id !== id) {
      return;
    }
    if (!/^https?:\/\//.test(event.origin)) {
      prompt.stop("页面没有来源 The page has no origin: serve it by HTTP");
      return;
    }
    const { kind, appid, parameters } = said;
    asked = { kind, appid, parameters, opener: event.origin };
    document.getElementById("opener").textContent = event.origin;
    open().catch((error) => prompt.stop("沙箱没有应答 The sandbox does not answer: " + error.message));
  }

  prompt.choose(act);
  window.addEventListener("message", hear);
  page.postMessage({ paysim: "ready", id }, "*");
})();
