// Panels of lines: search (marked without touching the lines), pause, wrap. Following is done by dodai.js.
'use strict';
(() => {
  const panelOf = id => document.getElementById(id);
  const state = new Map();                                  // id -> {ranges, at}
  const marks = window.Highlight && CSS.highlights ? {all: new Highlight(), here: new Highlight()} : null;
  if (marks) { CSS.highlights.set('found', marks.all); CSS.highlights.set('found-here', marks.here); }

  function rangesIn(panel, sought) {
    const ranges = [], walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const text = node.data.toLowerCase();
      for (let at = text.indexOf(sought); at >= 0; at = text.indexOf(sought, at + sought.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + sought.length);
        ranges.push(range);
      }
    }
    return ranges;
  }

  function search(box, {step = 0} = {}) {
    const id = box.dataset.finds, panel = panelOf(id), sought = box.value.trim().toLowerCase();
    if (!panel) return;
    const before = state.get(id) || {at: 0};
    const ranges = sought ? rangesIn(panel, sought) : [];
    const at = ranges.length ? (before.at + step + ranges.length) % ranges.length : 0;
    state.set(id, {at});
    const said = document.querySelector(`[data-found="${id}"]`);
    const text = sought ? `${ranges.length ? at + 1 : 0}/${ranges.length}` : '';
    if (said && said.textContent !== text) said.textContent = text;
    if (marks) { marks.all.clear(); marks.here.clear(); ranges.forEach(range => marks.all.add(range)); if (ranges[at]) marks.here.add(ranges[at]); }
    if (ranges[at] && step !== null) show(panel, ranges[at], id);
  }

  function show(panel, range, id) {
    const follow = document.querySelector(`[data-follows~="${id}"]`);
    if (follow) follow.checked = false;                     // else the next line would scroll away from what was found
    const line = range.getBoundingClientRect(), frame = panel.getBoundingClientRect();
    panel.scrollTop += line.top - frame.top - frame.height / 2;
  }

  document.addEventListener('input', event => {
    const box = event.target;
    if (box.matches('[data-finds]')) { state.delete(box.dataset.finds); search(box); }
    if (box.matches('[data-wraps]')) { const panel = panelOf(box.dataset.wraps); if (panel) panel.style.setProperty('--wrap', box.checked ? 'pre-wrap' : 'pre'); }
    if (box.matches('[data-follows]') && box.checked) for (const id of box.dataset.follows.split(' ')) { const panel = panelOf(id); if (panel) panel.scrollTop = panel.scrollHeight; }
  });
  document.addEventListener('keydown', event => {
    if (event.target.matches?.('[data-finds]') && event.key === 'Enter') { event.preventDefault(); search(event.target, {step: event.shiftKey ? -1 : 1}); }
  });
  document.addEventListener('click', event => {
    const button = event.target.closest('[data-pauses]');
    if (!button) return;
    const panel = panelOf(button.dataset.pauses), paused = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', paused);
    if (panel) panel.toggleAttribute('data-paused', paused);
    if (!paused) fetchPage();                               // of dodai.js: what came meanwhile
  });
  // New lines may match what is sought as well.
  new MutationObserver(() => { for (const box of document.querySelectorAll('[data-finds]')) if (box.value) search(box, {step: null}); })
    .observe(document.getElementById('main'), {childList: true, subtree: true, characterData: true});
})();
