/* The prompt that a payer sees: the order, the people, the choices. Used by confirm.js and h5.js. */
(function () {
  "use strict";

  const part = (id) => document.getElementById(id);

  function person() {
    const chosen = document.querySelector('input[name="person"]:checked');
    return chosen ? chosen.value : "";
  }

  /* Show the order that a page asked for; `order` is the server's answer. */
  function show(order) {
    for (const name of ["merchant", "description", "amount", "state"]) {
      part(name).textContent = order[name];
    }
    part("state").hidden = !order.state;
    for (const one of document.querySelectorAll('input[name="person"]')) {
      one.checked = one.checked || one.value === order.payer;
    }
    part("order").hidden = false;
    part("choices").hidden = false;
  }

  /* Say something under the order; `kind` is good, bad or wait. */
  function say(text, kind) {
    const line = part("message");
    line.textContent = text;
    line.className = kind;
    line.hidden = false;
    line.scrollIntoView?.({ block: "nearest" });
  }

  /* Nothing can be chosen any more: why. */
  function stop(text) {
    part("choices").hidden = true;
    say(text, "bad");
  }

  /* The server's answer to a JSON body, always with `result` and `message`. */
  async function post(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      credentials: "omit",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return answer.json();
  }

  /* Call `act(person, outcome)` for what is chosen; one choice at a time. */
  function choose(act) {
    const choices = part("choices");
    choices.addEventListener("submit", async (event) => {
      event.preventDefault();
      const outcome = event.submitter ? event.submitter.value : "";
      const fields = part("fields");
      const payer = person();
      fields.disabled = true;
      try {
        await act(payer, outcome);
      } catch (error) {
        say("沙箱没有应答 The sandbox does not answer: " + error.message, "bad");
      }
      fields.disabled = false;
    });
  }

  window.paysimPrompt = { show, say, stop, post, choose };
})();
