/* What WeChat gives to a merchant's page, from the sandbox: WeixinJSBridge, wx.chooseWXPay, wx.requestPayment.
 *
 *   <script src="http://127.0.0.1:PORT/_paysim/bridge.js"></script>            in place of WeChat's own
 *   <script src="http://127.0.0.1:PORT/_paysim/bridge.js" data-appid="wx..."></script>      for wx.requestPayment
 *
 * A payment opens a window on the sandbox's origin, where a person decides. The two talk by postMessage:
 *
 *   window -> page   {paysim: "ready", id}                               to anybody: it says nothing
 *   page -> window   {paysim: "open", id, kind, appid, parameters}       to the sandbox's origin
 *   window -> page   {paysim: "result", id, result, message}             to the origin that asked
 *
 * The page hears only this window, on the sandbox's origin, with the id that it drew; the first result counts.
 */
(function () {
  "use strict";

  const CONFIRM = "/_paysim/confirm";
  const FEATURES = "popup,width=420,height=800";
  const POLL_MS = 250;
  const RESULTS = ["ok", "cancel", "fail"];

  if (window.WeixinJSBridge && window.WeixinJSBridge.paysim) {
    return; // included twice
  }
  const script = document.currentScript || document.querySelector('script[src*="/_paysim/bridge.js"]');
  const origin = new URL(script.src).origin;
  const config = { appId: "", jsApiList: [], state: "none", waiting: [], failing: [] };

  function later(work) {
    window.setTimeout(work, 0);
  }

  function newId() {
    const bytes = window.crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /* Ask the payer; `done(result, message)` is called once, never before this returns. */
  function ask(kind, appid, parameters, done) {
    if (window.origin === "null") {
      later(() => done("fail", "this page has no origin (a file, or a sandboxed frame): serve it by HTTP"));
      return;
    }
    let plain;
    try {
      plain = JSON.parse(JSON.stringify(parameters || {}));
    } catch (error) {
      later(() => done("fail", "the parameters are not plain values: " + error.message));
      return;
    }
    const id = newId();
    const popup = window.open(origin + CONFIRM + "#" + id, "_blank", FEATURES);
    if (!popup) {
      later(() => done("fail", "the browser blocked the payment window: ask from a click, or allow pop-ups"));
      return;
    }
    let ready = false;
    let closed = false;

    function settle(result, message) {
      window.clearInterval(timer);
      window.removeEventListener("message", hear);
      done(result, message);
    }

    function hear(event) {
      if (event.origin !== origin || event.source !== popup) {
        return;
      }
      const said = event.data;
      if (!said || typeof said !== "object" || said.id !== id) {
        return;
      }
      if (said.paysim === "ready") {
        ready = true; // again after a reload
        popup.postMessage({ paysim: "open", id, kind, appid, parameters: plain }, origin);
      } else if (said.paysim === "result" && RESULTS.includes(said.result)) {
        settle(said.result, typeof said.message === "string" ? said.message : "");
      }
    }

    function look() {
      if (popup.closed && closed) {
        // Seen twice: a result that was on its way has arrived by now.
        const hint = "the payment window was gone before it was ready (does this page send COOP same-origin?)";
        settle("cancel", ready ? "" : hint);
      }
      closed = popup.closed;
    }

    window.addEventListener("message", hear);
    const timer = window.setInterval(look, POLL_MS);
  }

  function answer(name, result, message) {
    return message ? { [name]: result, err_desc: message } : { [name]: result };
  }

  /* WeixinJSBridge, as a page in WeChat finds it. */
  function invoke(name, parameters, callback) {
    const tell = typeof callback === "function" ? callback : function () {};
    if (name !== "getBrandWCPayRequest") {
      later(() => tell(answer("err_msg", "system:function_not_exist", "paysim does not simulate " + name)));
      return;
    }
    ask("jsapi", "", parameters, (result, message) => {
      tell(answer("err_msg", "get_brand_wcpay_request:" + result, message));
    });
  }

  /* wx, as JS-SDK and mini program have it. */
  function finish(options, end, reply) {
    const call = (name) => typeof options[name] === "function" && options[name](reply);
    call(end);
    call("complete");
  }

  function chooseWXPay(options) {
    const given = options || {};
    const end = (result, message) => finish(given, ends(result), answer("errMsg", "chooseWXPay:" + result, message));
    if (config.state === "none" || config.state === "failed" || !config.jsApiList.includes("chooseWXPay")) {
      const why = "call wx.config first, with appId and chooseWXPay in jsApiList";
      later(() => end("permission denied", why));
      return;
    }
    const parameters = {
      appId: config.appId,
      timeStamp: given.timestamp + "", // the SDK writes it small
      nonceStr: given.nonceStr,
      package: given.package,
      signType: given.signType || "SHA1",
      paySign: given.paySign,
    };
    ask("jsapi", config.appId, parameters, end);
  }

  function ends(result) {
    return { ok: "success", cancel: "cancel" }[result] || "fail";
  }

  function requestPayment(options) {
    const given = options || {};
    const called = ["success", "fail", "complete"].some((name) => typeof given[name] === "function");
    if (called) {
      request(given);
      return undefined;
    }
    return new Promise((success, fail) => request(Object.assign({}, given, { success, fail })));
  }

  function request(given) {
    const parameters = {
      timeStamp: given.timeStamp,
      nonceStr: given.nonceStr,
      package: given.package,
      signType: given.signType || "MD5",
      paySign: given.paySign,
    };
    const appid = script.dataset.appid || config.appId;
    ask("mini_program", appid, parameters, (result, message) => {
      const text = { ok: "ok", cancel: "fail cancel" }[result] || "fail " + (message || "paysim");
      finish(given, result === "ok" ? "success" : "fail", { errMsg: "requestPayment:" + text });
    });
  }

  function configure(options) {
    const given = options || {};
    config.appId = typeof given.appId === "string" ? given.appId : "";
    config.jsApiList = Array.isArray(given.jsApiList) ? given.jsApiList.map(String) : [];
    config.state = config.appId ? "asked" : "failed";
    later(() => {
      if (config.state === "failed") {
        config.failing.forEach((callback) => callback({ errMsg: "config:invalid appid" }));
        return;
      }
      config.state = "ready";
      config.waiting.splice(0).forEach((callback) => callback());
    });
  }

  function ready(callback) {
    if (config.state === "ready") {
      later(callback);
    } else {
      config.waiting.push(callback);
    }
  }

  function error(callback) {
    config.failing.push(callback);
  }

  function checkJsApi(options) {
    const given = options || {};
    const names = Array.isArray(given.jsApiList) ? given.jsApiList : [];
    const checkResult = Object.fromEntries(names.map((name) => [name, name in window.wx]));
    later(() => finish(given, "success", { checkResult, errMsg: "checkJsApi:ok" }));
  }

  function announce() {
    document.dispatchEvent(new window.Event("WeixinJSBridgeReady"));
  }

  window.WeixinJSBridge = { paysim: true, invoke, call: function () {}, on: function () {} };
  window.wx = Object.assign(window.wx || {}, {
    config: configure,
    ready,
    error,
    checkJsApi,
    chooseWXPay,
    requestPayment,
  });
  window.jWeixin = window.wx;
  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", announce);
  } else {
    later(announce);
  }
})();
