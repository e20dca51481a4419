// Sends an image in parts. Each part says where it begins, so that a broken connection is gone on with.

const form = document.getElementById('import');
const part = document.getElementById('id_name');
const $id = name => document.getElementById(name);
const PAUSES = [1000, 2000, 5000, 10000, 20000, 30000];

let asked = null;      // what the server called it
let stopped = null;    // an AbortController while one is going on

function leaving(event) { event.preventDefault(); }

function showProblem(text) {
  $id('upload-problem').textContent = text;
  $id('upload-problem').hidden = !text;
}

function showSent(held, size) {
  const megabytes = count => (count / 1e6).toFixed(1);
  $id('upload-words').textContent = form.dataset.of.replace('{done}', megabytes(held)).replace('{total}', megabytes(size));
  const bar = document.querySelector('#upload-progress progress');
  bar.value = 100 * held / size;
  bar.textContent = Math.floor(bar.value) + ' %';
}

function going(isGoing) {
  $id('start').disabled = isGoing;
  $id('stop').hidden = !isGoing;
  $id('upload-progress').hidden = !isGoing;
  window[isGoing ? 'addEventListener' : 'removeEventListener']('beforeunload', leaving);
}

const at = (pattern, number) => pattern.replace('/0/', '/' + number + '/');
const token = () => form.querySelector('[name=csrfmiddlewaretoken]').value;
const wait = milliseconds => new Promise(done => setTimeout(done, milliseconds));

async function post(address, body, signal) {
  const headers = {Accept: 'application/json', 'X-CSRFToken': token()};
  const answer = await fetch(address, {method: 'POST', body, headers, signal});
  let said = {};
  try { said = await answer.json(); } catch { said = {}; }
  return {status: answer.status, ...said};
}

// How many bytes the server has afterwards. Throws a text where going on makes no sense.
async function sendPart(file, held) {
  for (let tries = 0; ; tries++) {
    try {
      const said = await post(at(form.dataset.part, asked.number) + '?at=' + held, file.slice(held, held + asked.part_bytes), stopped.signal);
      if (said.held !== undefined) return said.held;
      if (said.status < 500) throw new Refusal(said.error || 'HTTP ' + said.status);
    } catch (problem) {
      if (problem instanceof Refusal || stopped.signal.aborted) throw problem;
    }
    $id('upload-words').textContent = form.dataset.broke;
    await wait(PAUSES[Math.min(tries, PAUSES.length - 1)]);
  }
}

class Refusal extends Error {}

async function upload(file) {
  stopped = new AbortController();
  asked = null;
  form.elements.file_name.value = file.name;
  form.elements.size.value = file.size;
  going(true);
  showProblem('');
  showSent(0, file.size);
  asked = await post(form.action || location.href, new FormData(form));  // to its end: only what has a number can be cancelled
  if (!asked.number) throw new Refusal(asked.error || 'HTTP ' + asked.status);
  for (let held = 0; held < file.size;) {
    held = await sendPart(file, held);
    showSent(held, file.size);
  }
  going(false);
  location.href = at(form.dataset.import, asked.number);
}

async function gaveUp(problem) {
  if (!stopped.signal.aborted) showProblem(problem.message);
  stopped = null;
  if (asked && asked.number) await post(at(form.dataset.cancel, asked.number));
  going(false);
}

if (form) {
  form.addEventListener('submit', event => {
    if (form.elements.source.value !== 'upload') return;
    event.preventDefault();
    const file = $id('file').files[0];
    if (!file) return showProblem(form.dataset.choose);
    upload(file).catch(gaveUp);
  });
  $id('file').addEventListener('change', () => {
    const file = $id('file').files[0];
    if (file && !part.value) part.value = file.name.replace(/(\.tar)?\.(zst|ext4|img)$/, '').replace(/[^A-Za-z0-9 ._+-]/g, '-').slice(0, 63);
  });
  $id('stop').addEventListener('click', () => stopped.abort());
}
