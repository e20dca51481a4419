// Remembers on this device which steps of a checklist were ticked: the page may be closed half-way.
'use strict';
{
  const key = () => 'dodai-ticks-' + document.querySelector('[data-ticks]')?.dataset.ticks;
  const read = () => { try { return JSON.parse(localStorage.getItem(key())) || []; } catch { return []; } };
  const boxes = () => [...document.querySelectorAll('[data-ticks] input[type=checkbox]')];
  const restore = () => { const ticked = read(); for (const box of boxes()) box.checked = ticked.includes(box.id); };
  document.addEventListener('change', event => {
    if (!event.target.closest('[data-ticks]')) return;
    try { localStorage.setItem(key(), JSON.stringify(boxes().filter(box => box.checked).map(box => box.id))); } catch { /* private mode */ }
  });
  restore();
}
