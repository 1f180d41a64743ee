'use strict';
const search = document.getElementById('search'), boxes = [...document.querySelectorAll('.outcome')];
const cases = [...document.querySelectorAll('.case')].map(e => ({e, text: e.textContent.toLowerCase()}));
function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const outcomes = new Set(boxes.filter(b => b.checked).map(b => b.value));
  for (const c of cases)
    c.e.hidden = !outcomes.has(c.e.dataset.outcome) || !words.every(w => c.text.includes(w));
  const shown = [...document.querySelectorAll('#groups .case')].filter(e => !e.hidden).length;
  for (const g of document.querySelectorAll('.group')) {
    g.hidden = !g.querySelector('.case:not([hidden])');
    if (words.length) g.open = !g.hidden;
  }
  document.getElementById('count').textContent = shown + ' cases';
}
search.addEventListener('input', show);
boxes.forEach(b => b.addEventListener('change', show));
function jump() {
  const found = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let e = found; e; e = e.parentElement) if (e.tagName === 'DETAILS') e.open = true;
  if (found) found.scrollIntoView();
}
addEventListener('hashchange', jump);
show();
jump();

let exchanges = {};
async function unpack() {
  const packed = document.getElementById('packed');
  const bytes = Uint8Array.from(atob(packed.textContent.replaceAll('-', '+').replaceAll('_', '/')), c => c.charCodeAt(0));
  packed.remove();
  exchanges = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
  for (const c of cases)
    for (const d of c.e.querySelectorAll('[data-packed]'))
      c.text += exchanges[d.dataset.packed].flat().join(' ').toLowerCase();
  document.querySelectorAll('.exchange[open]').forEach(fill);
  show();
}
function fill(details) {
  const at = details.lastElementChild, messages = exchanges[details.dataset.packed];
  if (!messages || at.childElementCount) return;
  for (const [from, headline, text] of messages) {
    const line = document.createElement('div'), bytes = document.createElement('pre');
    line.className = 'message ' + from;
    line.textContent = headline;
    bytes.textContent = text;
    at.append(line, bytes);
  }
}
addEventListener('toggle', e => fill(e.target), true);
unpack().catch(e => { document.getElementById('count').textContent = 'The messages of cases that pass cannot be unpacked here: ' + e.message; });
