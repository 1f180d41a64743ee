"use strict";

// Everything that comes from elsewhere is put in as text, never as HTML.
const $ = (id) => document.getElementById(id);

function element(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function row(cells, className) {
  const tr = element("tr", undefined, className);
  for (const c of cells) tr.append(element("td", c));
  return tr;
}

async function call(path, body) {
  const answer = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (answer.status === 204) return null;
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

// choices returns what is chosen in a form.
function choices(form) {
  const chosen = {};
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.name === "algorithms") {
      chosen.algorithms ??= [];
      if (field.checked) chosen.algorithms.push(Number(field.value));
    } else {
      chosen[field.name] = field.type === "checkbox" ? field.checked : field.value;
    }
  }
  return chosen;
}

function verdict(text, className) {
  $("verdict").textContent = text;
  $("verdict").className = className ?? "";
}

function clear() {
  for (const id of ["facts", "chain"]) $(id).replaceChildren();
  $("checks").tBodies[0].replaceChildren();
  $("checks").hidden = true;
}

function fact(list, name, value) {
  if (value === undefined || value === "") return;
  list.append(element("dt", name), element("dd", String(value)));
}

const types = {
  none: "none: nothing says which model this is",
  basic_surrogate: "self attestation: nothing proves the model",
  basic_full: "signed with the maker's key",
  attca: "signed with a key of the device, for which an attestation CA vouches",
  anonca: "by an anonymization CA",
};

const outcomes = { pass: "pass", fail: "fail", "not applicable": "skipped" };

function show(ceremony, outputs) {
  const what = ceremony.type === "registration" ? "registration" : "sign-in";
  verdict(`The ${what} of ${ceremony.user} ${ceremony.verified ? "is accepted." : "is refused."}`, ceremony.verified ? "accepted" : "refused");
  const facts = $("facts");
  fact(facts, "Credential ID", ceremony.credentialId);
  const a = ceremony.attestation;
  if (a) {
    fact(facts, "Model", a.model);
    fact(facts, "AAGUID", a.aaguid);
    fact(facts, "Attestation", a.type === "none" ? types.none : `${a.format}, ${types[a.type]}`);
    if (a.root !== "none") fact(facts, "Root", a.root);
    fact(facts, "Certification", a.certification);
    fact(facts, "Firmware", a.firmware);
  }
  for (const [name, value] of Object.entries(outputs)) fact(facts, name, JSON.stringify(value));
  for (const c of ceremony.checks) {
    $("checks").tBodies[0].append(row([c.outcome, c.name, [c.detail, c.error].filter(Boolean).join(": ")], outcomes[c.outcome]));
  }
  $("checks").hidden = false;
  (a?.chain ?? []).forEach((c, i) => {
    const list = element("dl");
    fact(list, "Subject", c.subject);
    fact(list, "Issued by", c.issuer);
    fact(list, "Valid", `${c.notBefore.slice(0, 10)} to ${c.notAfter.slice(0, 10)}`);
    fact(list, "Key", c.key);
    fact(list, "SHA-256", c.sha256);
    $("chain").append(element("h3", `${c.root ? "Root" : "Certificate"} ${i + 1}`), list);
  });
}

// answerOf takes the secrets of prf out of an answer: they stay in this browser.
function answerOf(credential) {
  const json = credential.toJSON();
  const outputs = json.clientExtensionResults ?? {};
  json.clientExtensionResults = structuredClone(outputs);
  if (json.clientExtensionResults.prf) delete json.clientExtensionResults.prf.results;
  return [json, outputs];
}

async function register(form) {
  const options = await call("api/registration/options", choices(form));
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options.publicKey);
  const [json, outputs] = answerOf(await navigator.credentials.create({ publicKey }));
  show(await call("api/registration", json), outputs);
}

async function authenticate(form) {
  const options = await call("api/authentication/options", choices(form));
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options.publicKey);
  const [json, outputs] = answerOf(await navigator.credentials.get({ publicKey }));
  show(await call("api/authentication", json), outputs);
}

// shorten cuts an ID to what fits into a table.
const shorten = (id) => (id.length > 24 ? id.slice(0, 24) + "…" : id);

async function list() {
  const credentials = await (await fetch("api/credentials")).json();
  $("credentials").tBodies[0].replaceChildren(...credentials.map((c) =>
    row([c.user, c.model ?? c.aaguid, c.algorithm, c.signCount, c.signIns, shorten(c.id)])));
}

function on(form, doing, run) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear();
    verdict(doing);
    const buttons = document.querySelectorAll("button");
    for (const b of buttons) b.disabled = true;
    try {
      if (!window.PublicKeyCredential?.parseCreationOptionsFromJSON) throw new Error("this browser is too old, or the page has neither https nor localhost");
      await run(form);
    } catch (e) {
      verdict(`${e.name}: ${e.message}`, "refused");
    }
    for (const b of buttons) b.disabled = false;
    await list();
  });
}

on($("register"), "Use your security key…", register);
on($("authenticate"), "Use your security key…", authenticate);
$("reset").addEventListener("click", async () => {
  await call("api/reset", {});
  clear();
  verdict("Nothing is registered any more.");
  await list();
});
list();
