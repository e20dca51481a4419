// The list of machines: a selection that outlives pages and updates, and a list that is one tab stop a row.
'use strict';
(() => {
  const bar = $('#chosen'), KEPT = 'dodai-chosen', STOPS = 'a[href], button, input:not([type=hidden])';
  const chosen = new Map(read());          // id -> whether it is in use
  let active = null;                       // id of the row that holds the tab stop

  function read() { try { return JSON.parse(sessionStorage.getItem(KEPT)) || []; } catch (e) { return []; } }
  function keep() { try { sessionStorage.setItem(KEPT, JSON.stringify([...chosen])); } catch (e) { /* this page only */ } }
  const rows = () => $$('table.machines tbody tr[id]');
  const boxes = () => $$('table.machines tbody input[name=machines]');
  const fill = (text, number) => text.replace('#', number.toLocaleString(document.documentElement.lang));

  function choose(id, on, used) { if (on) chosen.set(id, used); else chosen.delete(id); }

  // After every update of the page: boxes as chosen, one row with the tab stop, the bar with its counts.
  function show() {
    for (const box of boxes()) {
      if (chosen.has(box.value)) chosen.set(box.value, box.dataset.used === '1');
      box.checked = chosen.has(box.value);
      box.closest('tr').classList.toggle('chosen', box.checked);
    }
    rove();
    if (!bar) return;
    keep();
    const here = boxes(), ticked = here.filter(box => box.checked).length, all = $('#pick-all');
    if (all) { all.checked = here.length > 0 && ticked === here.length; all.indeterminate = ticked > 0 && ticked < here.length; }
    const used = [...chosen.values()].filter(Boolean).length, total = Number($('table.machines')?.dataset.total || 0);
    bar.hidden = chosen.size === 0;
    $('#chosen-count').textContent = fill(bar.dataset.one, chosen.size);
    const install = $('#chosen-install span');
    if (install) install.textContent = fill(bar.dataset.install, chosen.size) + (used ? ' ' + fill(bar.dataset.used, used) : '');
    const more = $('#chosen-all'), limit = Number(bar.dataset.limit);
    more.hidden = !(all && all.checked && total > chosen.size && chosen.size < limit);
    more.textContent = fill(total > limit ? bar.dataset.first : bar.dataset.all, total);
  }

  function rove() {
    const all = rows(), current = all.find(row => row.id === active) || all[0];
    for (const row of all) for (const part of $$(STOPS, row)) part.tabIndex = row === current ? 0 : -1;
  }

  function go(step) {
    const all = rows(), at = all.findIndex(row => row.id === active && row.contains(document.activeElement));
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    if (!next) return;
    active = next.id;
    rove();
    $('th a', next).focus();
  }

  // One menu for all rows: filled for the row whose button opens it, before the browser shows it.
  function fillMenu(button) {
    const menu = $('#row-menu'), can = button.dataset.can.split(' ');
    for (const link of $$('a', menu)) {
      link.href = link.dataset.href.replace('NAME', button.dataset.name).replace('ID', button.dataset.id);
      link.hidden = (link.dataset.needs && !can.includes(link.dataset.needs)) || (link.dataset.used || button.dataset.used) !== button.dataset.used;
    }
    const at = button.getBoundingClientRect(), height = 44 + 36 * $$('a:not([hidden])', menu).length;
    menu.style.right = Math.max(8, document.documentElement.clientWidth - at.right) + 'px';
    menu.style.top = (at.bottom + height > innerHeight ? Math.max(8, at.top - height + 24) : at.bottom + 6) + 'px';
  }

  async function chooseAll() {
    const answer = await fetch($('table.machines').dataset.ids + location.search, {cache: 'no-store'});
    if (!answer.ok) return;
    for (const [id, used] of (await answer.json()).machines) choose(String(id), true, used);
    show();
  }

  let lastBox = null;                      // with Shift a click selects the rows between
  document.addEventListener('click', event => {
    const box = event.target.closest('table.machines input[name=machines]');
    if (box) {
      const here = boxes(), from = here.indexOf(lastBox), to = here.indexOf(box);
      const span = event.shiftKey && from >= 0 ? here.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
      for (const other of span) choose(other.value, box.checked, other.dataset.used === '1');
      lastBox = box;
    } else if (event.target.id === 'pick-all') {
      for (const other of boxes()) choose(other.value, event.target.checked, other.dataset.used === '1');
    } else if (event.target.closest('#chosen-none')) {
      chosen.clear();
      $('#pick-all')?.focus();
    } else if (event.target.closest('#chosen-all')) {
      chooseAll();
    } else if (event.target.closest('[popovertarget=row-menu]')) {
      fillMenu(event.target.closest('[popovertarget=row-menu]'));
      return;
    } else if (event.target.closest('[data-keys]')) {
      $('#keys').showModal();
      return;
    } else { return; }
    show();
  });

  document.addEventListener('focusin', event => {
    const row = event.target.closest?.('table.machines tbody tr[id]');
    if (row && row.id !== active) { active = row.id; rove(); }
  });

  document.addEventListener('keydown', event => {
    const typing = event.target.matches?.('input:not([type=checkbox],[type=radio]),textarea,select');
    if (typing || event.ctrlKey || event.metaKey || event.altKey || $('dialog[open], #row-menu:popover-open')) return;
    const inTable = event.target.closest?.('table.machines tbody');
    if (event.key === 'j' || (event.key === 'ArrowDown' && inTable)) go(1);
    else if (event.key === 'k' || (event.key === 'ArrowUp' && inTable)) go(-1);
    else if (event.key === 'x') { const box = active && $('input[name=machines]', document.getElementById(active) || document); if (box) box.click(); }
    else if (event.key === '?') $('#keys').showModal();
    else return;
    event.preventDefault();
  });

  // One field with all of them: the boxes know only of this page.
  bar?.addEventListener('submit', event => {
    event.preventDefault();
    const action = new URL(event.submitter?.getAttribute('formaction') || bar.action, location.href);
    action.searchParams.set('machines', [...chosen.keys()].join(','));
    location.href = action;
  });

  document.addEventListener('dodai:painted', show);
  addEventListener('pageshow', () => { chosen.clear(); for (const [id, used] of read()) chosen.set(id, used); show(); });
  show();
})();
