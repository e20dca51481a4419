// <details class="menu">: closed by Escape and by a click elsewhere, so that it behaves as menus do.
'use strict';
document.addEventListener('keydown', event => {
  const menu = event.key === 'Escape' && event.target.closest?.('details.menu[open]');
  if (menu) { menu.open = false; menu.querySelector('summary').focus(); }
});
document.addEventListener('click', event => {
  for (const menu of document.querySelectorAll('details.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
  const opener = event.target.closest('[data-opens]');
  if (!opener) return;
  const part = document.getElementById(opener.dataset.opens);
  if (!part) return;
  event.preventDefault();
  opener.closest('details.menu')?.removeAttribute('open');
  part.hidden = false;
  part.querySelector('input:not([type=hidden]), textarea, select')?.focus();
});
document.addEventListener('click', event => {
  const closer = event.target.closest('[data-closes]');
  if (closer) document.getElementById(closer.dataset.closes).hidden = true;
});

// A form that was refused comes back under the address it was sent to: updates are of the page it belongs to, and
// leave alone what was typed (a field that was written to keeps its text).
const home = document.querySelector('[data-address]');
if (home) {
  const [path, search] = home.dataset.address.split('?');
  if (path !== location.pathname || (search && !location.search)) history.replaceState(null, '', home.dataset.address);
}
for (const box of document.querySelectorAll('[data-typed]')) { const typed = box.value; box.value = ''; box.value = typed; }
