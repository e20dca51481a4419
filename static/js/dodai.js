// Dodai's pages: live updates, theme, filters, confirmation, keyboard. Plain JavaScript, no build step.
'use strict';
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const body = document.body;
const words = JSON.parse(body.dataset.words || '{}');     // in the language of the page
const watched = (body.dataset.live || '').split(' ').filter(Boolean);   // all, poll, machine:7, install:3

/* ---- bringing the page up to date ------------------------------------------------------------------------------ */
const LEAST_GAP = 700, POLL_LIVE = 30000, POLL_ALONE = 10000;
let fetching = null, wanted = false, fetchedAt = Date.now(), streamOn = false;

// Ask for the page as it is now, at most about once in LEAST_GAP, and patch in what is different.
function refresh() {
  if (wanted) return;
  wanted = true;
  setTimeout(async () => {
    if (fetching) await fetching.done;      // a slow answer is waited for, not asked for again and again
    wanted = false;
    fetchPage();
  }, Math.max(0, LEAST_GAP - (Date.now() - fetchedAt)));
}

function fetchPage() {
  if (fetching) fetching.abort();
  const mine = fetching = new AbortController();
  fetchedAt = Date.now();
  mine.done = patchFrom(location.href, mine.signal).finally(() => { if (fetching === mine) fetching = null; });
}

async function patchFrom(address, signal) {
  try {
    const answer = await fetch(address, {headers: {'Dodai-Fragment': '1'}, cache: 'no-store', signal});
    if (answer.redirected) return location.reload();      // logged out meanwhile
    if (!answer.ok) return say(false, words.stale);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of ['side', 'page']) if (fresh.getElementById(part)) patch(document.getElementById(part), fresh.getElementById(part));
    paint();
    if (streamOn) say(true, words.live);
  } catch (problem) {
    if (problem.name !== 'AbortError') say(false, words.stale);
  }
}

// Make `old` like `fresh`, touching only what differs: focus, selection, scroll, typed text and open parts stay.
function patch(old, fresh) {
  if ('paused' in old.dataset) return;
  const kept = (old.dataset.keep || '').split(' ');
  for (const {name, value} of [...fresh.attributes]) if (!kept.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const {name} of [...old.attributes]) if (!kept.includes(name) && name !== 'open' && !fresh.hasAttribute(name)) old.removeAttribute(name);
  const wasAtEnd = old.matches('[data-follow]') && old.scrollHeight - old.scrollTop - old.clientHeight < 4;
  patchChildren(old, fresh);
  if (wasAtEnd && follows(old)) old.scrollTop = old.scrollHeight;
}

function patchChildren(old, fresh) {
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const same = counterpart(old, at, next);
    if (!same) { old.insertBefore(document.importNode(next, true), at); continue; }
    if (same !== at) old.insertBefore(same, at); else at = at.nextSibling;
    if (next.nodeType === Node.ELEMENT_NODE) patch(same, next);
    else if (same.data !== next.data) same.data = next.data;
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

// The node of the page that the fetched one stands for: by id, else the one in its place if it is of the same kind.
function counterpart(parent, at, fresh) {
  if (fresh.id) { const same = document.getElementById(fresh.id); return same && same.parentNode === parent ? same : null; }
  return at && !at.id && at.nodeName === fresh.nodeName ? at : null;
}

function concerns(change) {
  if (change.all || watched.includes('all')) return true;
  return watched.some(word => word === 'install:' + change.install || word === 'machine:' + change.machine);
}

/* ---- the stream ------------------------------------------------------------------------------------------------ */
const live = $('#live');
function say(on, text) { if (live) { live.dataset.on = on ? 1 : 0; const said = live.lastElementChild; if (said.textContent !== text) said.textContent = text; } }

function onStream(news) {
  if ('on' in news) {
    streamOn = news.on;
    say(news.on, news.on ? words.live : words.reconnecting);
    if (news.ended) refresh();
  }
  if (news.change) {
    let change = {};
    try { change = JSON.parse(news.change); } catch (e) { return; }
    if (change.lost) { streamOn = false; say(false, words.deaf); }   // the server hears of no changes: poll
    if (change.all) { streamOn = true; say(true, words.live); }
    if (!change.lost && concerns(change)) refresh();
  }
}

function startStream() {
  const url = new URL(body.dataset.stream, location.href).href;
  if (window.SharedWorker) {
    const worker = new SharedWorker(body.dataset.worker, 'dodai-stream');
    worker.port.onmessage = event => onStream(event.data);
    worker.port.start();
    const tell = fresh => worker.port.postMessage({show: !document.hidden, url, fresh});
    setInterval(() => tell(false), 20000);
    addEventListener('pagehide', () => worker.port.postMessage({show: false}));
    return tell;
  }
  let source = null;
  return () => {
    if (document.hidden && source) { source.close(); source = null; }
    if (!document.hidden && (!source || source.readyState === 2)) {
      source = new EventSource(url);
      source.onopen = () => onStream({on: true});
      source.onerror = () => onStream({on: false, ended: source && source.readyState === 2});
      source.onmessage = event => onStream({change: event.data});
    }
  };
}

if (live && watched.length) {
  const tell = startStream();
  tell(true);
  addEventListener('pageshow', event => { if (event.persisted) { tell(true); refresh(); } });
  document.addEventListener('visibilitychange', () => { tell(true); if (!document.hidden) refresh(); });
  setInterval(() => {
    if (document.hidden) return;
    if (!streamOn) tell(true);
    if (Date.now() - fetchedAt >= (streamOn && !watched.includes('poll') ? POLL_LIVE : POLL_ALONE)) refresh();
  }, 1000);
} else if (live) { live.hidden = true; }

/* ---- times that go on by themselves ------------------------------------------------------------------------------ */
const ahead = Date.parse(body.dataset.now) - Date.now();      // how far the server's clock is before this one
const count = (unit, number) => words[unit].replace('#', number);
function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const two = (big, name, small, rest) => count(name, Math.floor(s / big)) + (Math.floor(s % big / small) ? ' ' + count(rest, Math.floor(s % big / small)) : '');
  return s < 60 ? count('s', s) : s < 3600 ? two(60, 'min', 1, 's') : s < 172800 ? two(3600, 'h', 60, 'min') : count('days', Math.floor(s / 86400));
}
function ago(seconds) {
  const s = Math.max(0, Math.round(seconds));
  return s < 90 ? count('s', s) : s < 5400 ? count('min', Math.floor(s / 60)) : s < 172800 ? count('h', Math.floor(s / 3600)) : count('days', Math.floor(s / 86400));
}
function tick() {
  for (const time of $$('time[data-ago], time[data-elapsed]')) {
    const seconds = (Date.now() + ahead - Date.parse(time.dateTime)) / 1000;
    const text = 'elapsed' in time.dataset ? duration(seconds) : ago(seconds);
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(() => { if (!document.hidden) tick(); }, 1000);

/* ---- logs and tabs --------------------------------------------------------------------------------------------- */
function follows(log) { const box = $(`[data-follows~="${log.id}"]`); return !box || box.checked; }
const placed = new WeakSet();
function paint() {
  tick();
  for (const log of $$('[data-follow]')) if (!placed.has(log)) { placed.add(log); log.scrollTop = log.scrollHeight; }
  for (const list of $$('[role=tablist]')) choose(list.querySelector('[aria-selected=true]') || list.firstElementChild);
  document.dispatchEvent(new Event('dodai:painted'));       // pages with scripts of their own go on from here
}
function choose(tab) {
  for (const other of $$('[role=tab]', tab.parentNode)) {
    other.setAttribute('aria-selected', other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    const panel = document.getElementById(other.getAttribute('aria-controls'));
    if (panel) panel.hidden = other !== tab;
  }
  for (const log of $$('[data-follow]')) if (follows(log) && log.id !== 'detail') log.scrollTop = log.scrollHeight;
}

/* ---- clicks, keys, forms --------------------------------------------------------------------------------------- */
document.addEventListener('click', event => {
  const target = event.target;
  if (target.closest('#themebtn')) {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme:dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
    try { localStorage.setItem('dodai-theme', root.dataset.theme); } catch (e) { /* this page only */ }
  } else if (target.closest('#navbtn')) {
    $('#navbtn').setAttribute('aria-expanded', $('#side').classList.toggle('open'));
  } else if (target.closest('[role=tab]')) {
    choose(target.closest('[role=tab]'));
  }
});

document.addEventListener('keydown', event => {
  const typing = event.target.matches?.('input:not([type=checkbox],[type=radio]),textarea,select');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) { const box = $('#fq') || $('#gs'); if (box) { event.preventDefault(); box.focus(); } }
  const tab = event.target.closest?.('[role=tab]');
  if (tab && (event.key === 'ArrowRight' || event.key === 'ArrowLeft')) { const other = event.key === 'ArrowRight' ? tab.nextElementSibling : tab.previousElementSibling; if (other) { choose(other); other.focus(); } }
  const group = event.target.closest?.('[data-roving]');
  if (group && event.key.startsWith('Arrow')) rove(event, group);
});

// One tab stop for the whole map; the arrow keys move within a rack and to the same height of the next one, and from
// tile to tile where racks are tiles.
function rove(event, group) {
  const [dx, dy] = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key] || [0, 0];
  const next = group.classList.contains('tiles') ? nextTile(event.target, group, dx, dy) : nextUnit(event.target, group, dx, dy);
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
function nextUnit(unit, group, dx, dy) {
  const racks = $$('.rack', group).map(rack => $$(group.dataset.roving, rack));
  const column = racks.findIndex(units => units.includes(unit));
  const units = column < 0 ? null : racks[column + dx];
  return units && units[Math.min(Math.max(racks[column].indexOf(unit) + dy, 0), units.length - 1)];
}
function nextTile(tile, group, dx, dy) {
  const tiles = $$(group.dataset.roving, group), across = tiles.filter(other => other.offsetTop === tiles[0].offsetTop).length;
  return tiles[tiles.indexOf(tile) + dx + dy * across];
}

document.addEventListener('submit', event => {
  const form = event.target;
  if (form.matches('[data-filter]')) { event.preventDefault(); filter(form); return; }
  if (!form.dataset.confirm || form.dataset.sure) return;
  event.preventDefault();
  const dialog = $('#confirm'), button = event.submitter;
  $('#confirm-text').textContent = form.dataset.confirm;
  $('#confirm-yes').textContent = form.dataset.yes || words.yes;
  dialog.returnValue = '';
  dialog.onclose = () => { if (dialog.returnValue === 'yes') { form.dataset.sure = 1; form.requestSubmit(button); } };
  dialog.showModal();
});

// A filter form changes the address and fetches the page for it: the server filters, the address can be kept.
let typed = null;
function filter(form) {
  const values = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ''));
  if (values.get('sort') === 'name') values.delete('sort');
  history.replaceState(null, '', values.size ? '?' + values : location.pathname);
  fetchPage();
}
document.addEventListener('input', event => {
  const form = event.target.closest('[data-filter]');
  if (!form) return;
  clearTimeout(typed);
  typed = setTimeout(() => filter(form), event.target.type === 'search' ? 250 : 0);
});

paint();
