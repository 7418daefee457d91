/* The page behind an H5 link: it stands in the page already; the person decides, and goes back to the shop. */
(function () {
  "use strict";

  const prompt = window.paysimPrompt;
  const { prepay, package: pack, referer, redirect } = document.body.dataset;

  const ENDS = { ok: ["支付成功 Paid", "good"], cancel: ["已取消 Cancelled", "wait"] };

  async function act(person, outcome) {
    const body = { person, outcome, prepay_id: prepay, package: pack, referer, redirect_url: redirect };
    const answer = await prompt.post(window.location.pathname, body);
    if (answer.result === null) {
      prompt.say("还没有付款 Nothing has happened yet", "wait");
    } else if (answer.result === "fail") {
      prompt.say(answer.message, "bad"); // the wallet lets the person try again
    } else if (answer.redirect) {
      window.location.replace(answer.redirect);
    } else {
      prompt.stop("");
      prompt.say(...ENDS[answer.result]);
    }
  }

  prompt.choose(act);
})();
