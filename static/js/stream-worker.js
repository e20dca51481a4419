// One EventSource for all tabs of this browser: HTTP/1.1 allows six connections to a site. It is open while a tab is
// visible. A tab that does not speak for a minute is forgotten: a closed one says nothing.
const tabs = new Map();
let source = null, url = '';

onconnect = event => {
  const port = event.ports[0];
  port.onmessage = message => heard(port, message.data);
  port.start();
};

setInterval(() => {
  for (const [port, at] of tabs) if (Date.now() - at > 60000) tabs.delete(port);
  adjust();
}, 20000);

function heard(port, words) {
  if (words.show) { url = words.url; tabs.set(port, Date.now()); if (source && source.readyState === 1 && words.fresh) port.postMessage({on: true}); }
  else tabs.delete(port);
  adjust();
}

function adjust() {
  if (tabs.size && (!source || source.readyState === 2)) {
    source = new EventSource(url);
    source.onopen = () => tell({on: true});
    source.onerror = () => tell({on: false, ended: source.readyState === 2});
    source.onmessage = event => tell({change: event.data});
  }
  if (!tabs.size && source) { source.close(); source = null; }
}

function tell(words) { for (const port of tabs.keys()) port.postMessage(words); }
