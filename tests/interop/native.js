// A Native order by Node's own crypto and http, through the proxy that the environment names. Prints each
// answer, and whether the platform's public key has verified it.
"use strict";

const { createSign, createVerify, randomBytes } = require("crypto");
const { readFileSync } = require("fs");
const http = require("http");
const path = require("path");
const tls = require("tls");

const HOST = "api.mch.weixin.qq.com";
const read = (name) => readFileSync(path.join(process.env.PAYSIM_KEYS, name), "utf8");
const shop = JSON.parse(read("sandbox.json")).wechat;

// CONNECT by the proxy, TLS inside: Node trusts what NODE_EXTRA_CA_CERTS names. Node 20 reads no HTTPS_PROXY.
function connected() {
  const { hostname, port } = new URL(process.env.HTTPS_PROXY);
  return new Promise((done, failed) => {
    const asked = http.request({ hostname, port, method: "CONNECT", path: `${HOST}:443` });
    asked.on("connect", (_, socket) => {
      const secure = tls.connect({ socket, servername: HOST }, () => done(secure));
      secure.on("error", failed);
    });
    asked.on("error", failed).end();
  });
}

// The five lines of a request, signed by the merchant's key.
function authorization(method, target, body) {
  const nonce = randomBytes(16).toString("hex");
  const stamp = Math.floor(Date.now() / 1000);
  const lines = [method, target, stamp, nonce, body, ""].join("\n");
  const signature = createSign("RSA-SHA256").update(lines).sign(read(shop.private_key), "base64");
  const { mchid, serial_no } = shop;
  const said = { mchid, serial_no, nonce_str: nonce, timestamp: stamp, signature };
  const parts = Object.entries(said).map(([name, value]) => `${name}="${value}"`);
  return `WECHATPAY2-SHA256-RSA2048 ${parts.join(",")}`;
}

// The three lines of an answer, signed by the platform's key.
function verified(headers, body) {
  const lines = [headers["wechatpay-timestamp"], headers["wechatpay-nonce"], body, ""].join("\n");
  const signature = headers["wechatpay-signature"] || "";
  return createVerify("RSA-SHA256").update(lines).verify(read(shop.public_key), signature, "base64");
}

async function ask(method, target, content) {
  const socket = await connected();
  const body = content ? JSON.stringify(content) : "";
  const headers = {
    Host: HOST,
    Accept: "application/json",
    "User-Agent": "node",
    Authorization: authorization(method, target, body),
    "Wechatpay-Serial": shop.public_key_id,
    ...(body && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) }),
  };
  return new Promise((done, failed) => {
    const options = { method, path: target, headers, createConnection: () => socket };
    const asked = http.request(options, async (answer) => {
      let text = "";
      for await (const part of answer.setEncoding("utf8")) text += part;
      const serial = answer.headers["wechatpay-serial"] || "";
      done({ status: answer.statusCode, text, serial, verified: verified(answer.headers, text) });
      socket.destroy();
    });
    asked.on("error", failed).end(body);
  });
}

async function main() {
  const all = "/v3/pay/transactions";
  const one = `${all}/out-trade-no/T-000001`;
  const order = {
    appid: shop.appid,
    mchid: shop.mchid,
    description: "一壶茶",
    out_trade_no: "T-000001",
    notify_url: "http://127.0.0.1:9/notify",
    amount: { total: 1280, currency: "CNY" },
  };
  const answers = [
    await ask("POST", `${all}/native`, order),
    await ask("GET", `${one}?mchid=${shop.mchid}`),
    await ask("POST", `${one}/close`, { mchid: shop.mchid }),
    await ask("GET", `${all}/out-trade-no/T-999999?mchid=${shop.mchid}`),
  ];
  console.log(JSON.stringify(answers));
}

main().catch((error) => {
  console.error(error.code || error);
  process.exitCode = 1;
});
